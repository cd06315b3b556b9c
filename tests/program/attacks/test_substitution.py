"""Account substitution: real accounts of the deployment, and of other people, in each place."""

import pytest
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.transaction_metadata import TransactionMetadata
from solders.transaction_status import InstructionErrorCustom, TransactionErrorInstructionError

from settlement.chain import program
from settlement.chain.abi import SHAPES
from settlement.chain.program import ERRORS
from tests.program.bonds.life import Life, Step, new_life, proposed, retiring
from tests.program.case import Case
from tests.program.cases import CASES
from tests.program.world import BOND_AMOUNT, COOLDOWN_SECONDS, with_account

RENT = Pubkey.from_string("SysvarRent111111111111111111111111111111111")
# Everything a substituted account can be told to be.
REFUSALS = {
    *("WrongProgram", "WrongOwner", "WrongTag", "WrongAddress", "NotWritable", "WrongMint"),
    *("WrongTokenAccount", "DuplicateAccount", "ForbiddenAddress", "AlreadyInitialized"),
    *("MissingSignature", "Unauthorized"),
}


def known_accounts(case: Case) -> list[Pubkey]:
    """Every account of the deployment, the programs, and somebody's money."""
    deployment = case.world.deployment
    rich = case.world.wallet(10 * BOND_AMOUNT)
    return [
        deployment.config,
        deployment.payouts,
        deployment.escrow,
        deployment.till_authority,
        deployment.till_vault,
        deployment.bond_vault,
        deployment.mint,
        deployment.program_id,
        deployment.program_data,
        program.TOKEN_PROGRAM,
        program.ATA_PROGRAM,
        program.SYSTEM_PROGRAM,
        RENT,
        case.world.ata(rich.pubkey()),
        rich.pubkey(),
    ]


@pytest.mark.parametrize("name", CASES)
def test_every_known_account_in_every_place(name: str) -> None:
    case = CASES[name]()
    named = {meta.pubkey for meta in case.instruction.accounts}
    known = [key for key in known_accounts(case) if key not in named]
    for place, (account, flags) in enumerate(SHAPES[name].accounts):
        for key in known:
            if account == "destination" and key == known[-2]:
                continue  # anybody's money may be where a payment goes
            # Nobody signs for these: the place is left unsigned where a signer belongs.
            changes = {"is_signer": False} if "s" in flags else {}
            spoiled = with_account(case.instruction, place, pubkey=key, **changes)
            assert answer(case, spoiled) in REFUSALS, (account, key)


def answer(case: Case, spoiled: Instruction) -> str:
    """The error's name; nothing of the case may have changed."""
    needed = {meta.pubkey for meta in spoiled.accounts if meta.is_signer}
    before = {meta.pubkey: case.world.svm.get_account(meta.pubkey) for meta in spoiled.accounts}
    signers = [key for key in case.signers if key.pubkey() in needed]
    result = case.world._run([spoiled], signers)
    if isinstance(result, TransactionMetadata):
        return "done"
    assert {key: case.world.svm.get_account(key) for key in before} == before
    error = result.err()
    assert isinstance(error, TransactionErrorInstructionError), error
    assert isinstance(error.err, InstructionErrorCustom), error
    return ERRORS[error.err.code]


# --- somebody else's bond of the same code


def neighbour(life: Life) -> Life:
    """Another bond of the same code, of somebody else."""
    other = life.world.wallet()
    life.world.post_bond(life.code, other.pubkey())
    return Life(world=life.world, owner=other, first=other.pubkey(), code=life.code)


def at_bond_of(step: Step, place: int, other: Life) -> Step:
    return Step(with_account(step.instruction, place, pubkey=other.address), step.signers)


def test_the_owner_of_one_has_no_say_in_another() -> None:
    life = new_life()
    other = neighbour(life)
    assert life.refuse(at_bond_of(life.retire(), 1, other)) == "Unauthorized"
    other.send(other.retire())
    assert life.refuse(at_bond_of(life.cancel_retire(), 1, other)) == "Unauthorized"
    assert life.refuse(at_bond_of(life.hand_over(Keypair()), 2, other)) == "Unauthorized"
    other.send(other.propose())
    assert life.refuse(at_bond_of(life.contest(), 1, other)) == "Unauthorized"


@pytest.mark.parametrize("signed", [False, True])
def test_ones_cooldown_releases_no_other(*, signed: bool) -> None:
    life = retiring()
    other = neighbour(life)
    other.send(other.retire())
    life.world.advance(COOLDOWN_SECONDS)
    attempt = at_bond_of(life.release(signed=signed), 0, other)
    assert life.refuse(attempt) == "WrongAddress"
    life.send(life.release(signed=signed))
    assert life.world.held == BOND_AMOUNT


def test_ones_seizure_takes_no_other() -> None:
    life = proposed()
    other = neighbour(life)
    life.until(life.bond.execute_after)
    assert life.refuse(at_bond_of(life.execute(), 0, other)) == "NoSeizure"
    assert life.refuse(at_bond_of(life.lapse(), 0, other)) == "NoSeizure"
    other.send(other.propose())
    assert life.refuse(at_bond_of(life.execute(), 0, other)) == "WindowNotOver"


def test_a_verdict_on_one_is_none_on_another() -> None:
    life = proposed()
    other = neighbour(life)
    other.send(other.propose())
    life.send(life.contest())
    assert life.refuse(at_bond_of(life.uphold(), 1, other)) == "NotContested"
    assert life.refuse(at_bond_of(life.dismiss(), 1, other)) == "NotContested"


def test_the_rent_payer_of_one_is_not_that_of_another() -> None:
    life = retiring()
    world, sponsor = life.world, life.world.wallet(BOND_AMOUNT)
    posting = program.post_bond(
        world.deployment,
        depositor=sponsor.pubkey(),
        funder=sponsor.pubkey(),
        code=life.code,
        beneficiary=sponsor.pubkey(),
    )
    world.send(posting, signers=[sponsor])
    life.until(life.bond.release_at)
    attempt = with_account(life.release().instruction, 3, pubkey=sponsor.pubkey())
    assert life.refuse(Step(attempt)) == "WrongAddress"
