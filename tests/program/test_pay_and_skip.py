"""`pay` and `skip`: a number is used at most once, ever, and either way tells which."""

import pytest
from solders.instruction import Instruction
from solders.keypair import Keypair

from settlement.chain import program
from settlement.chain.layouts import WINDOW_NUMBERS
from settlement.money import MicroUsdc
from tests.program.cases import REFERENCE, USER_CODE, Case, pay_case, skip_case
from tests.program.world import USDC, with_account

BASE_AT = 16
HALF_WINDOW_SECONDS = 43_200


def pay(case: Case, sequence: int, amount: int = 1) -> Instruction:
    return program.pay(
        case.world.deployment,
        payer=case.world.payer.pubkey(),
        sequence=sequence,
        amount_microusdc=MicroUsdc(amount),
        code=USER_CODE,
        reference=REFERENCE,
        destination=case.instruction.accounts[1].pubkey,
    )


def skip(case: Case, first: int, mask: int = 1) -> Instruction:
    return program.skip(
        case.world.deployment, signer=case.world.payer.pubkey(), first=first, mask=mask
    )


def test_a_payment() -> None:
    case = pay_case(sequence=7, amount_microusdc=5 * USDC)
    case.send()
    world = case.world
    assert world.balance(case.instruction.accounts[1].pubkey) == 5 * USDC
    assert world.till == 195 * USDC
    payouts = world.payouts()
    assert payouts.is_used(7)
    assert payouts.is_paid(7)
    assert not payouts.is_used(6)
    assert not payouts.is_used(8)
    assert payouts.first_free == 0
    assert (payouts.paid_count, payouts.paid_total_microusdc) == (1, 5 * USDC)


def test_the_same_again_is_refused_whatever_it_says() -> None:
    case = pay_case()
    case.send()
    assert case.refuse(case.instruction) == "AlreadyPaid"
    assert case.refuse(pay(case, 7, amount=1)) == "AlreadyPaid"


def test_pay_then_skip_and_skip_then_pay() -> None:
    case = pay_case()
    case.send()
    assert case.refuse(skip(case, 7)) == "AlreadyPaid"
    case.world.send(skip(case, 8), signers=case.signers)
    assert case.refuse(pay(case, 8)) == "AlreadySkipped"
    assert case.refuse(skip(case, 8)) == "AlreadySkipped"
    payouts = case.world.payouts()
    assert payouts.is_used(8)
    assert not payouts.is_paid(8)


def test_one_paid_number_refuses_the_whole_mask() -> None:
    case = pay_case(sequence=7)
    case.send()
    assert case.refuse(skip(case, 5, 0b111)) == "AlreadyPaid"
    case.world.send(skip(case, 5, 0b1011), signers=case.signers)
    used = [number for number in range(20) if case.world.payouts().is_used(number)]
    assert used == [5, 6, 7, 8]


def test_skipped_numbers_may_be_in_a_later_mask() -> None:
    case = skip_case(first=3, mask=0b101)
    case.send()
    assert case.refuse(case.instruction) == "AlreadySkipped"
    case.world.send(skip(case, 3, 0b111), signers=case.signers)
    assert case.world.payouts().first_free == 0
    assert [case.world.payouts().is_used(n) for n in range(2, 7)] == [
        False,
        True,
        True,
        True,
        False,
    ]


def test_an_empty_mask_is_no_instruction() -> None:
    case = skip_case(mask=0)
    assert case.refuse(case.instruction) == "InvalidInstruction"
    unsigned = with_account(case.instruction, 0, is_signer=False)  # data is looked at first
    assert case.refuse(unsigned) == "InvalidInstruction"


def test_both_edges_of_the_window() -> None:
    case = pay_case(sequence=WINDOW_NUMBERS - 1)
    world = case.world
    assert case.refuse(pay(case, WINDOW_NUMBERS)) == "SequenceTooFar"
    assert case.refuse(pay(case, 2**64 - 1)) == "SequenceTooFar"
    assert case.refuse(skip(case, WINDOW_NUMBERS - 1, 0b11)) == "SequenceTooFar"
    case.send()
    world.send(skip(case, 0, 2**64 - 1), signers=case.signers)
    assert world.payouts().base == 64
    assert case.refuse(pay(case, 63)) == "SequenceTooOld"
    assert case.refuse(skip(case, 63, 0b11)) == "SequenceTooOld"
    world.send(pay(case, 64), pay(case, WINDOW_NUMBERS + 63), signers=case.signers)
    assert case.refuse(pay(case, WINDOW_NUMBERS + 64)) == "SequenceTooFar"
    # The ring has come round: what was paid before the wrap is still known as paid.
    assert case.refuse(pay(case, WINDOW_NUMBERS - 1)) == "AlreadyPaid"
    assert world.payouts().first_free == 65


def test_the_window_moves_on_over_what_is_used() -> None:
    case = pay_case()
    for first in range(64, 64 * 7, 64):
        case.world.send(skip(case, first, 2**64 - 1), signers=case.signers)
    assert case.world.payouts().base == 0
    case.world.send(skip(case, 0, 2**64 - 1), signers=case.signers)
    assert case.world.payouts().base == 4 * 64  # four words at most each time
    case.world.send(skip(case, 7 * 64), signers=case.signers)
    assert case.world.payouts().base == 7 * 64
    assert case.world.payouts().first_free == 7 * 64 + 1


def test_numbers_near_the_end_of_all_numbers() -> None:
    case = pay_case()
    case.world.patch(case.world.deployment.payouts, BASE_AT, (2**64 - 128).to_bytes(8, "little"))
    case.world.send(pay(case, 2**64 - 1), pay(case, 2**64 - 65), signers=case.signers)
    assert case.refuse(pay(case, 2**64 - 1)) == "AlreadyPaid"
    assert case.refuse(skip(case, 2**64 - 1, 0b11)) == "SequenceTooFar"
    assert case.refuse(pay(case, 2**64 - 129)) == "SequenceTooOld"


@pytest.mark.parametrize(
    ("amount", "error"), [(0, "WrongAmount"), (200 * USDC + 1, "InsufficientVault")]
)
def test_amounts_that_cannot_be(amount: int, error: str) -> None:
    case = pay_case(amount_microusdc=amount)
    assert case.refuse(case.instruction) == error


def test_the_last_microunit() -> None:
    case = pay_case(amount_microusdc=200 * USDC)
    case.send()
    assert case.world.till == 0


def test_never_to_ourselves() -> None:
    case = pay_case()
    world = case.world
    till = with_account(case.instruction, 1, pubkey=world.deployment.till_vault)
    assert case.refuse(till) == "DuplicateAccount"
    vault = with_account(case.instruction, 1, pubkey=world.deployment.bond_vault)
    assert case.refuse(vault) == "ForbiddenAddress"
    foreign = world.open_account(Keypair().pubkey(), world.new_mint())
    assert case.refuse(with_account(case.instruction, 1, pubkey=foreign)) == "WrongMint"
    wallet = with_account(case.instruction, 1, pubkey=world.wallet().pubkey())
    assert case.refuse(wallet) == "WrongTokenAccount"


@pytest.mark.parametrize("place", [1, 3])
def test_a_frozen_account_fails_cleanly_and_uses_no_number(place: int) -> None:
    case = pay_case()
    case.world.freeze(case.instruction.accounts[place].pubkey)
    assert case.refuse(case.instruction) == "FrozenTokenAccount"
    assert not case.world.payouts().is_used(7)


def test_only_the_payer_pays() -> None:
    case = pay_case()
    for other in (case.world.admin, case.world.guardian, case.world.upgrade_authority):
        spoiled = with_account(case.instruction, 0, pubkey=other.pubkey())
        assert case.refuse(spoiled, other) == "Unauthorized"
    case.world.vacate("payer")
    assert case.refuse(case.instruction) == "RoleVacant"


def test_payer_and_admin_skip_and_nobody_else() -> None:
    case = skip_case()
    world = case.world
    for other in (world.guardian, world.proposer, world.arbiter, world.upgrade_authority):
        spoiled = with_account(case.instruction, 0, pubkey=other.pubkey())
        assert case.refuse(spoiled, other) == "Unauthorized"
    by_admin = with_account(case.instruction, 0, pubkey=world.admin.pubkey())
    world.send(by_admin, signers=[world.admin])


def test_the_payouts_pause_stops_pay_and_never_skip() -> None:
    for pause in ("deposits", "payouts", "seizures", "releases"):
        case = pay_case()
        case.world.pause(pause, case.world.now + 60)
        case.world.send(skip(case, 100), signers=case.signers)
        if pause == "payouts":
            assert case.refuse(case.instruction) == "Paused"
            case.world.advance(60)
        case.send()


def test_the_single_cap_at_its_edge() -> None:
    case = pay_case(amount_microusdc=100)
    case.world.set_caps(single=99)
    assert case.refuse(case.instruction) == "CapExceeded"
    case.world.set_caps(single=100)
    case.send()


def test_the_window_cap_is_not_doubled_at_a_boundary() -> None:
    case = pay_case()
    world = case.world
    world.set_caps(window=100)
    world.send(pay(case, 0, 60), signers=case.signers)
    for _ in range(2):
        assert case.refuse(pay(case, 1, 41)) == "CapExceeded"
        world.advance(HALF_WINDOW_SECONDS - 1)
        assert case.refuse(pay(case, 1, 41)) == "CapExceeded"
        world.advance(1)
        if world.payouts().previous_half_window_spent_microusdc == 0:
            world.send(pay(case, 2, 1), signers=case.signers)
    world.send(pay(case, 1, 41), signers=case.signers)
    assert world.payouts().paid_total_microusdc == 102
    assert case.refuse(pay(case, 3, 2**64 - 1)) == "CapExceeded"


def test_the_number_is_decided_before_caps_amounts_and_funds() -> None:
    case = pay_case()
    case.send()
    case.world.set_caps(single=0)
    assert case.refuse(pay(case, 7, 2**63)) == "AlreadyPaid"
    assert case.refuse(pay(case, 8, 0)) == "WrongAmount"
    assert case.refuse(pay(case, 8, 2**63)) == "CapExceeded"
