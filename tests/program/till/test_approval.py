"""`approve_pay`: one payment above the caps by two keys, exactly as approved, once, for a day."""

import pytest
from solders.keypair import Keypair

from settlement.chain.layouts import VACANT, WINDOW_NUMBERS
from settlement.chain.program import Payouts
from settlement.money import MicroUsdc
from tests.program.case import REFERENCE
from tests.program.till.counter import ALL_64, Counter, new_counter
from tests.program.world import BOND_AMOUNT

DAY = 86_400
CAP = 100
AMOUNT = 5_000
END_OF_TIME = 2**63 - 1


def capped(*, single: int = CAP, window: int = 2**64 - 1) -> Counter:
    counter = new_counter()
    counter.cap(single=single, window=window)
    return counter


def approved() -> Counter:
    """Number 7 may be paid `AMOUNT`, which is above the cap."""
    counter = capped()
    counter.send(counter.approve(7, AMOUNT))
    return counter


def is_empty(payouts: Payouts) -> bool:
    return (
        payouts.approved_sequence,
        payouts.approved_amount_microusdc,
        payouts.approved_destination,
        payouts.approved_reference,
        payouts.approval_expires_at,
    ) == (0, 0, VACANT, bytes(16), 0)


def test_the_slot_says_exactly_what_was_approved() -> None:
    counter = new_counter()
    assert is_empty(counter.payouts)
    counter.send(counter.approve(7, AMOUNT))
    payouts = counter.payouts
    assert (payouts.approved_sequence, payouts.approved_amount_microusdc) == (7, AMOUNT)
    assert payouts.approved_destination == counter.destination
    assert payouts.approved_reference == REFERENCE
    assert payouts.approval_expires_at == counter.world.now + DAY
    assert not payouts.is_used(7)


def test_the_approved_payment_is_made_once_and_empties_the_slot() -> None:
    counter = approved()
    counter.send(counter.pay(7, AMOUNT))
    assert counter.paid_out == AMOUNT
    assert is_empty(counter.payouts)
    assert counter.payouts.is_paid(7)
    assert (counter.payouts.paid_count, counter.payouts.paid_total_microusdc) == (1, AMOUNT)
    assert counter.refuse(counter.pay(7, AMOUNT)) == "AlreadyPaid"
    assert counter.refuse(counter.pay(8, AMOUNT)) == "CapExceeded"


# --- exactly


@pytest.mark.parametrize("sequence", [0, 6, 8, 7 + 64, WINDOW_NUMBERS - 1])
def test_another_number(sequence: int) -> None:
    counter = approved()
    assert counter.refuse(counter.pay(sequence, AMOUNT)) == "ApprovalMismatch"


@pytest.mark.parametrize("amount", [CAP + 1, AMOUNT - 1, AMOUNT + 1, AMOUNT + 2**32, 2**64 - 1])
def test_another_amount(amount: int) -> None:
    counter = approved()
    assert counter.refuse(counter.pay(7, amount)) == "ApprovalMismatch"


@pytest.mark.parametrize("place", range(16))
def test_another_reference(place: int) -> None:
    counter = approved()
    other = bytearray(REFERENCE)
    other[place] ^= 1
    assert counter.refuse(counter.pay(7, AMOUNT, reference=bytes(other))) == "ApprovalMismatch"


def test_another_destination_even_of_the_same_owner() -> None:
    counter = approved()
    world = counter.world
    others = world.ata(world.wallet().pubkey())
    assert counter.refuse(counter.pay(7, AMOUNT, destination=others)) == "ApprovalMismatch"
    real = world.svm.get_account(counter.destination)
    assert real is not None
    twin = Keypair().pubkey()
    world.set_account(twin, real.data, real.owner)
    assert counter.refuse(counter.pay(7, AMOUNT, destination=twin)) == "ApprovalMismatch"


def test_after_every_mismatch_the_approved_payment_still_can_be_made() -> None:
    counter = approved()
    for step in (counter.pay(8, AMOUNT), counter.pay(7, AMOUNT + 1)):
        assert counter.refuse(step) == "ApprovalMismatch"
    counter.send(counter.pay(7, AMOUNT))


# --- a day


@pytest.mark.parametrize("early_by", [1, 2, DAY])
def test_until_the_second_before_it_expires(early_by: int) -> None:
    counter = approved()
    counter.world.advance(DAY - early_by)
    counter.send(counter.pay(7, AMOUNT))


@pytest.mark.parametrize("late_by", [0, 1, 100 * DAY])
def test_not_at_or_after_its_second(late_by: int) -> None:
    counter = approved()
    counter.world.advance(DAY + late_by)
    assert counter.refuse(counter.pay(7, AMOUNT)) == "CapExceeded"
    assert counter.refuse(counter.pay(8, AMOUNT)) == "CapExceeded"  # no mismatch with nothing
    counter.send(counter.approve(7, AMOUNT), counter.pay(7, AMOUNT))


def test_a_time_that_cannot_be_counted() -> None:
    counter = new_counter()
    counter.world.advance(END_OF_TIME - DAY + 1 - counter.world.now)
    assert counter.refuse(counter.approve(7, AMOUNT)) == "Overflow"


# --- one slot


def test_the_next_approval_takes_its_place() -> None:
    counter = approved()
    counter.send(counter.approve(8, AMOUNT + 1))
    assert counter.refuse(counter.pay(7, AMOUNT)) == "ApprovalMismatch"
    counter.send(counter.pay(8, AMOUNT + 1))
    assert counter.refuse(counter.pay(7, AMOUNT)) == "CapExceeded"


def test_the_same_again_starts_its_day_again() -> None:
    counter = approved()
    counter.world.advance(DAY - 1)
    counter.send(counter.approve(7, AMOUNT))
    counter.world.advance(DAY - 1)
    counter.send(counter.pay(7, AMOUNT))


def test_an_approval_cannot_be_used_twice_in_one_transaction() -> None:
    counter = approved()
    assert counter.refuse(counter.pay(7, AMOUNT), counter.pay(8, AMOUNT)) == "CapExceeded"
    assert counter.refuse(counter.pay(7, AMOUNT), counter.pay(7, AMOUNT)) == "AlreadyPaid"
    assert not counter.payouts.is_used(7)


# --- caps and the slot


def test_nothing_approved() -> None:
    counter = capped()
    assert counter.refuse(counter.pay(0, CAP + 1)) == "CapExceeded"
    assert counter.refuse(counter.pay(0, CAP + 1, reference=bytes(16))) == "CapExceeded"


def test_a_payment_within_the_caps_leaves_the_slot_alone() -> None:
    counter = approved()
    before = counter.payouts
    counter.send(counter.pay(8, CAP))
    after = counter.payouts
    assert after.approved_sequence == before.approved_sequence == 7
    assert after.approval_expires_at == before.approval_expires_at
    counter.send(counter.pay(7, AMOUNT))


def test_the_approved_payment_itself_within_the_caps_is_an_everyday_one() -> None:
    counter = new_counter()
    counter.send(counter.approve(7, AMOUNT), counter.pay(7, AMOUNT))
    assert not is_empty(counter.payouts)
    assert counter.payouts.half_window_spent_microusdc == AMOUNT
    counter.cap(single=CAP)
    assert counter.refuse(counter.pay(7, AMOUNT)) == "AlreadyPaid"


@pytest.mark.parametrize("window", [0, CAP, 2 * CAP])
def test_it_does_not_count_against_the_window(window: int) -> None:
    counter = capped(window=window)
    counter.send(counter.approve(7, AMOUNT), counter.pay(7, AMOUNT))
    assert counter.payouts.half_window_spent_microusdc == 0
    if window:
        counter.send(counter.pay(8, CAP))
        assert counter.payouts.half_window_spent_microusdc == CAP
    else:
        assert counter.refuse(counter.pay(8)) == "CapExceeded"


def test_above_the_window_cap_alone_it_is_needed_too() -> None:
    counter = capped(single=2**64 - 1, window=CAP)
    counter.send(counter.pay(0, CAP))
    assert counter.refuse(counter.pay(7, 5)) == "CapExceeded"
    counter.send(counter.approve(7, 5))
    assert counter.refuse(counter.pay(8, 5)) == "ApprovalMismatch"
    counter.send(counter.pay(7, 5))
    assert counter.payouts.half_window_spent_microusdc == CAP


def test_funding_a_bond_has_no_approvals() -> None:
    counter = capped(single=BOND_AMOUNT - 1)
    counter.send(counter.approve(7, BOND_AMOUNT))
    assert counter.refuse(counter.fund(7)) == "CapExceeded"
    bond_vault = counter.world.deployment.bond_vault
    counter.send(counter.approve(7, BOND_AMOUNT, destination=bond_vault))
    assert counter.refuse(counter.fund(7)) == "CapExceeded"
    assert counter.refuse(counter.pay(7, BOND_AMOUNT, destination=bond_vault)) == "ForbiddenAddress"


# --- what an approval does not lift


def test_only_the_admin_approves() -> None:
    counter = new_counter()
    world = counter.world
    roles = (world.payer, world.proposer, world.arbiter, world.guardian, world.upgrade_authority)
    for other in (*roles, world.funder, Keypair()):
        assert counter.refuse(counter.approve(7, AMOUNT, by=other)) == "Unauthorized"


def test_the_admin_who_approved_cannot_pay() -> None:
    counter = approved()
    assert counter.refuse(counter.pay(7, AMOUNT, by=counter.world.admin)) == "Unauthorized"


def test_an_amount_of_nothing() -> None:
    counter = capped(single=0)
    assert counter.refuse(counter.approve(7, 0)) == "WrongAmount"


def test_a_number_that_is_gone() -> None:
    counter = new_counter()
    counter.send(counter.skip(0, ALL_64), counter.pay(70), counter.skip(71))
    assert counter.refuse(counter.approve(63, AMOUNT)) == "SequenceTooOld"
    assert counter.refuse(counter.approve(70, AMOUNT)) == "AlreadyPaid"
    assert counter.refuse(counter.approve(71, AMOUNT)) == "AlreadySkipped"
    too_far = 64 + WINDOW_NUMBERS
    assert counter.refuse(counter.approve(too_far, AMOUNT)) == "SequenceTooFar"
    assert counter.refuse(counter.approve(too_far, 0)) == "SequenceTooFar"
    assert is_empty(counter.payouts)
    counter.send(counter.approve(too_far - 1, AMOUNT), counter.approve(64, AMOUNT))


def test_a_number_used_after_its_approval() -> None:
    counter = approved()
    counter.send(counter.skip(7))
    assert counter.refuse(counter.pay(7, AMOUNT)) == "AlreadySkipped"
    counter = approved()
    counter.send(counter.pay(7))
    assert counter.refuse(counter.pay(7, AMOUNT)) == "AlreadyPaid"


def test_the_payouts_pause_and_a_vacant_payer_stop_it() -> None:
    counter = approved()
    counter.world.pause("payouts", counter.world.now + 60)
    assert counter.refuse(counter.pay(7, AMOUNT)) == "Paused"
    counter.send(counter.approve(7, AMOUNT))  # approving moves nothing
    counter.world.advance(60)
    counter.world.vacate("payer")
    assert counter.refuse(counter.pay(7, AMOUNT)) == "RoleVacant"


def test_never_to_ourselves() -> None:
    counter = capped()
    deployment = counter.world.deployment
    for vault, error in (
        (deployment.till_vault, "DuplicateAccount"),
        (deployment.bond_vault, "ForbiddenAddress"),
    ):
        counter.send(counter.approve(7, AMOUNT, destination=vault))
        assert counter.refuse(counter.pay(7, AMOUNT, destination=vault)) == error


def test_a_frozen_receiver_and_an_empty_till_leave_the_approval_open() -> None:
    counter = approved()
    world = counter.world
    account, till = world.svm.get_account(counter.destination), world.till
    assert account is not None
    world.freeze(counter.destination)
    assert counter.refuse(counter.pay(7, AMOUNT)) == "FrozenTokenAccount"
    world.svm.set_account(counter.destination, account)
    world.set_balance(world.deployment.till_vault, AMOUNT - 1)
    assert counter.refuse(counter.pay(7, AMOUNT)) == "InsufficientVault"
    assert counter.payouts.approved_amount_microusdc == MicroUsdc(AMOUNT)
    world.set_balance(world.deployment.till_vault, till)
    counter.send(counter.pay(7, AMOUNT))
