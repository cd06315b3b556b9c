"""`post_bond` and `fund_bond`: a bond opens with exactly its amount, once per code and person."""

from collections.abc import Callable

import pytest
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from settlement.chain import program
from settlement.chain.program import BondState, SeizureState
from tests.program.cases import CODE, Case, fund_case, post_case, release_case
from tests.program.world import BOND_AMOUNT, COOLDOWN_SECONDS, START, USDC, World, with_account

BAD_CODES = [b"Enroll0-", b"\0" * 8, b"Enroll 1", bytes.fromhex("00ff10a2b3c4d5e6"), b"Enroll0\x80"]


def check_fresh_bond(world: World, beneficiary: Pubkey) -> None:
    bond = world.bond(CODE, beneficiary)
    assert bond.state is BondState.POSTED
    assert bond.code == CODE
    assert bond.beneficiary == bond.first_beneficiary == beneficiary
    assert bond.rent_payer == world.funder.pubkey()
    assert bond.amount_microusdc == BOND_AMOUNT
    assert bond.posted_at == START
    assert (bond.retiring_at, bond.release_at) == (0, 0)
    assert bond.cooldown_seconds == COOLDOWN_SECONDS
    assert (bond.dispute_seconds, bond.decision_seconds) == (604_800, 1_209_600)
    assert bond.execution_seconds == 1_209_600
    assert bond.seizure_state is SeizureState.NONE
    assert bond.evidence_used == ()
    assert world.held == world.escrow().total_bonded_microusdc == BOND_AMOUNT
    assert world.escrow().open_count == 1


def test_posting_moves_exactly_the_bond_amount() -> None:
    case = post_case()
    case.send()
    depositor = case.signers[0].pubkey()
    check_fresh_bond(case.world, depositor)
    assert case.world.balance(case.world.ata(depositor)) == BOND_AMOUNT


def test_funding_takes_it_from_the_till_under_a_number() -> None:
    beneficiary = Keypair().pubkey()
    case = fund_case(sequence=5, beneficiary=beneficiary)
    case.send()
    world = case.world
    check_fresh_bond(world, beneficiary)
    assert world.till == 200 * USDC - BOND_AMOUNT
    payouts = world.payouts()
    assert payouts.is_paid(5)
    assert payouts.is_used(5)
    assert (payouts.paid_count, payouts.paid_total_microusdc) == (1, BOND_AMOUNT)
    assert payouts.half_window_spent_microusdc == BOND_AMOUNT


def test_strangers_may_bond_the_same_code_for_themselves() -> None:
    case = post_case()
    case.send()
    world, other = case.world, Keypair()
    world.post_bond(CODE, other.pubkey())
    assert world.bond(CODE, other.pubkey()).beneficiary == other.pubkey()
    assert world.escrow().open_count == 2
    assert world.held == world.escrow().total_bonded_microusdc == 2 * BOND_AMOUNT


@pytest.mark.parametrize("make", [post_case, fund_case])
def test_not_twice(make: Callable[[], Case]) -> None:
    case = make()
    case.send()
    assert case.refuse(case.instruction) == "AlreadyInitialized"


@pytest.mark.parametrize("funded", [False, True])
def test_never_again_after_release(*, funded: bool) -> None:
    case = release_case()
    beneficiary = case.instruction.accounts[1].pubkey
    case.send()
    world = case.world
    depositor = world.wallet(BOND_AMOUNT)
    if funded:
        world.fill_till(BOND_AMOUNT)
        again = program.fund_bond(
            world.deployment,
            payer=world.payer.pubkey(),
            funder=world.funder.pubkey(),
            sequence=1,
            code=CODE,
            beneficiary=beneficiary,
        )
    else:
        again = program.post_bond(
            world.deployment,
            depositor=depositor.pubkey(),
            funder=world.funder.pubkey(),
            code=CODE,
            beneficiary=beneficiary,
        )
    signers = [world.payer, world.funder] if funded else [depositor, world.funder]
    assert world.refuse(again, signers=signers) == "Tombstoned"


@pytest.mark.parametrize("code", BAD_CODES)
@pytest.mark.parametrize("make", [post_case, fund_case])
def test_codes_that_are_no_bond_codes(make: Callable[[], Case], code: bytes) -> None:
    case = make()
    data = bytes(case.instruction.data).replace(CODE, code)
    spoiled = Instruction(case.instruction.program_id, data, list(case.instruction.accounts))
    assert case.refuse(spoiled) == "WrongCode"


@pytest.mark.parametrize("nobody", ["zero", "till", "escrow"])
def test_beneficiaries_that_could_never_be_paid(nobody: str) -> None:
    case = fund_case()
    world, deployment, depositor = case.world, case.world.deployment, case.world.wallet(BOND_AMOUNT)
    beneficiary = {
        "zero": Pubkey.default(),
        "till": deployment.till_authority,
        "escrow": deployment.escrow,
    }[nobody]
    posted = program.post_bond(
        deployment,
        depositor=depositor.pubkey(),
        funder=world.funder.pubkey(),
        code=CODE,
        beneficiary=beneficiary,
    )
    assert world.refuse(posted, signers=[depositor, world.funder]) == "ForbiddenAddress"
    funded = program.fund_bond(
        deployment,
        payer=world.payer.pubkey(),
        funder=world.funder.pubkey(),
        sequence=0,
        code=CODE,
        beneficiary=beneficiary,
    )
    assert case.refuse(funded) == "ForbiddenAddress"


def test_lamports_sent_ahead_stop_nobody() -> None:
    for lamports in (1_000_000, 1_000_000_000):
        case = post_case()
        world = case.world
        bond = world.deployment.bond(CODE, case.signers[0].pubkey())
        world.svm.airdrop(bond, lamports)
        case.send()
        check_fresh_bond(world, case.signers[0].pubkey())


def test_too_little_money() -> None:
    case = post_case()
    world, poor = case.world, case.world.wallet(BOND_AMOUNT - 1)
    instruction = program.post_bond(
        world.deployment,
        depositor=poor.pubkey(),
        funder=world.funder.pubkey(),
        code=CODE,
        beneficiary=poor.pubkey(),
    )
    assert world.refuse(instruction, signers=[poor, world.funder]) == "WrongAmount"
    world.mint_to(world.ata(poor.pubkey()), 1)
    world.send(instruction, signers=[poor, world.funder])


def test_too_little_in_the_till() -> None:
    case = fund_case()
    case.world.set_balance(case.world.deployment.till_vault, BOND_AMOUNT - 1)
    assert case.refuse(case.instruction) == "InsufficientVault"


def test_the_bond_vault_cannot_post_to_itself() -> None:
    case = post_case()
    spoiled = with_account(case.instruction, 2, pubkey=case.world.deployment.bond_vault)
    assert case.refuse(spoiled) == "DuplicateAccount"


@pytest.mark.parametrize("place", [2, 3])
def test_frozen_accounts_stop_posting(place: int) -> None:
    case = post_case()
    case.world.freeze(case.instruction.accounts[place].pubkey)
    assert case.refuse(case.instruction) == "FrozenTokenAccount"


@pytest.mark.parametrize("place", [3, 4])
def test_frozen_vaults_stop_funding(place: int) -> None:
    case = fund_case()
    case.world.freeze(case.instruction.accounts[place].pubkey)
    assert case.refuse(case.instruction) == "FrozenTokenAccount"


def test_posting_is_a_deposit_and_funding_a_payout_to_the_pauses() -> None:
    for make, stops in ((post_case, "deposits"), (fund_case, "payouts")):
        for pause in ("deposits", "payouts", "seizures", "releases"):
            case = make()
            case.world.pause(pause, case.world.now + 60)
            if pause == stops:
                assert case.refuse(case.instruction) == "Paused"
            else:
                case.send()


def test_funding_shares_the_numbers_of_pay() -> None:
    case = fund_case(sequence=9)
    case.world.skip(first=9)
    assert case.refuse(case.instruction) == "AlreadySkipped"
    case.world.set_caps(single=0)  # the number is told before the caps
    assert case.refuse(case.instruction) == "AlreadySkipped"


def test_funding_counts_in_the_caps() -> None:
    case = fund_case()
    case.world.set_caps(single=BOND_AMOUNT - 1)
    assert case.refuse(case.instruction) == "CapExceeded"
    case.world.set_caps(window=BOND_AMOUNT - 1)
    assert case.refuse(case.instruction) == "CapExceeded"
    case.world.set_caps(single=BOND_AMOUNT, window=BOND_AMOUNT)
    case.send()


def test_only_the_payer_funds() -> None:
    case = fund_case()
    for other in (case.world.admin, case.world.proposer, case.world.guardian):
        spoiled = with_account(case.instruction, 0, pubkey=other.pubkey())
        assert case.refuse(spoiled, other) == "Unauthorized"
    case.world.vacate("payer")
    assert case.refuse(case.instruction) == "RoleVacant"


def test_depositor_and_funder_may_be_one() -> None:
    world = post_case().world
    alone = world.wallet(BOND_AMOUNT)
    instruction = program.post_bond(
        world.deployment,
        depositor=alone.pubkey(),
        funder=alone.pubkey(),
        code=CODE,
        beneficiary=alone.pubkey(),
    )
    world.send(instruction, signers=[alone])
    assert world.bond(CODE, alone.pubkey()).rent_payer == alone.pubkey()
