"""Non-canonical bumps: an account of ours is at one address, though others would derive too."""

import hashlib

import pytest
from solders.pubkey import Pubkey

from settlement.chain.abi import SHAPES
from settlement.chain.program import ATA_PROGRAM
from tests.program.bonds.life import STATES, Step, new_life
from tests.program.case import CODE
from tests.program.cases import CASES, fund_case, post_case, release_case
from tests.program.world import new_world, with_account

BUMP_AT = 9
SEEDS = {"config": b"config", "escrow": b"escrow", "payouts": b"payouts", "till_authority": b"till"}
SINGLETONS = [
    (name, account, place)
    for name in CASES
    for place, (account, _) in enumerate(SHAPES[name].accounts)
    if account in SEEDS
]
OPENINGS = {"post_bond": post_case, "fund_bond": fund_case}


def others(seeds: list[bytes], program_id: Pubkey) -> list[Pubkey]:
    """Addresses these seeds derive besides the canonical one."""
    _, canonical = Pubkey.find_program_address(seeds, program_id)
    candidates = [derived(seeds, bump, program_id) for bump in range(canonical)]
    # What lies on the curve is nobody's derived address, but somebody's key.
    return [address for address in candidates if not address.is_on_curve()][-3:]


def derived(seeds: list[bytes], bump: int, program_id: Pubkey) -> Pubkey:
    text = b"".join((*seeds, bytes([bump]), bytes(program_id), b"ProgramDerivedAddress"))
    return Pubkey(hashlib.sha256(text).digest())


def test_these_are_what_the_chain_derives() -> None:
    program_id = Pubkey.new_unique()
    address, bump = Pubkey.find_program_address([b"config"], program_id)
    assert derived([b"config"], bump, program_id) == address
    assert address not in others([b"config"], program_id)
    assert len(others([b"config"], program_id)) == 3


@pytest.mark.parametrize(("name", "account", "place"), SINGLETONS)
def test_one_of_ours_under_another_bump(name: str, account: str, place: int) -> None:
    case = CASES[name]()
    world = case.world
    real = world.svm.get_account(case.instruction.accounts[place].pubkey)
    for address in others([SEEDS[account]], world.deployment.program_id):
        if real is not None:
            world.svm.set_account(address, real)
        assert case.refuse(with_account(case.instruction, place, pubkey=address)) == "WrongAddress"


@pytest.mark.parametrize("state", ["posted", "retiring", "posted, contested"])
def test_a_bond_under_another_bump(state: str) -> None:
    life = STATES[state]()
    seeds = [b"bond", life.code, bytes(life.first)]
    real = life.world.svm.get_account(life.address)
    assert real is not None
    for address in others(seeds, life.world.deployment.program_id):
        life.world.svm.set_account(address, real)
        spoiled = with_account(life.propose().instruction, 1, pubkey=address)
        assert life.refuse(Step(spoiled, (life.world.proposer,))) == "WrongAddress"


@pytest.mark.parametrize("name", OPENINGS)
def test_a_bond_is_opened_at_no_other_bump(name: str) -> None:
    case = OPENINGS[name]()
    world = case.world
    place = [account for account, _ in SHAPES[name].accounts].index("bond")
    beneficiary = Pubkey.from_bytes(bytes(case.instruction.data)[-32:])
    assert case.instruction.accounts[place].pubkey == world.deployment.bond(CODE, beneficiary)
    seeds = [b"bond", CODE, bytes(beneficiary)]
    for address in others(seeds, world.deployment.program_id):
        assert case.refuse(with_account(case.instruction, place, pubkey=address)) == "WrongAddress"


@pytest.mark.parametrize("bump", [0, 1, 254, 255])
def test_a_bond_that_names_a_wrong_bump(bump: int) -> None:
    life = new_life()
    account = life.world.svm.get_account(life.address)
    assert account is not None
    if account.data[BUMP_AT] == bump:
        return
    life.world.patch(life.address, BUMP_AT, bytes([bump]))
    for step in (life.retire(), life.cancel_retire(), life.propose(), life.lapse()):
        assert life.refuse(step) == "WrongAddress"


def test_the_canonical_token_account_has_one_bump_too() -> None:
    case = release_case()
    world, beneficiary = case.world, case.instruction.accounts[1].pubkey
    token_program = case.instruction.accounts[8].pubkey
    seeds = [bytes(beneficiary), bytes(token_program), bytes(world.deployment.mint)]
    real = world.svm.get_account(world.ata(beneficiary))
    assert real is not None
    for address in others(seeds, ATA_PROGRAM):
        world.svm.set_account(address, real)
        spoiled = with_account(case.instruction, 2, pubkey=address)
        assert case.refuse(spoiled) == "WrongTokenAccount"


def test_initialize_makes_no_other_bump() -> None:
    case = CASES["initialize"]()
    assert case.world.svm.get_account(case.world.deployment.config) is None
    for account in ("config", "escrow", "payouts", "till_authority"):
        place = [each for each, _ in SHAPES["initialize"].accounts].index(account)
        for address in others([SEEDS[account]], case.world.deployment.program_id):
            spoiled = with_account(case.instruction, place, pubkey=address)
            assert case.refuse(spoiled) == "WrongAddress"


def test_two_deployments_know_nothing_of_each_other() -> None:
    life, other = new_life(), new_world()
    other.initialize()
    foreign = other.svm.get_account(other.deployment.config)
    assert foreign is not None
    life.world.svm.set_account(other.deployment.config, foreign)
    step = life.propose().instruction
    spoiled = with_account(step, 2, pubkey=other.deployment.config)
    assert life.refuse(Step(spoiled, (life.world.proposer,))) == "WrongOwner"
