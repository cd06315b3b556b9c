"""The caps: one payment's, and that of two half windows; every edge from both sides."""

import random

import pytest

from tests.program.till.counter import Counter, new_counter
from tests.program.world import BOND_AMOUNT, START

HALF = 43_200
CAP = 100


def counter_with(*, single: int = 2**64 - 1, window: int = 2**64 - 1) -> Counter:
    counter = new_counter()
    counter.cap(single=single, window=window)
    return counter


def at(counter: Counter, second: int) -> None:
    """So many seconds after the beginning."""
    counter.world.advance(START + second - counter.world.now)


def most_payable(counter: Counter, number: int, most: int) -> None:
    """Just this much more can be paid now: one microunit above is refused, and so are huge ones."""
    for above in (most + 1, CAP + 1, 2**63, 2**64 - 1):
        assert counter.refuse(counter.pay(number, above)) == "CapExceeded"
    if most:
        counter.send(counter.pay(number, most))
        assert counter.refuse(counter.pay(number + 1)) == "CapExceeded"


# --- the single cap


@pytest.mark.parametrize("cap", [1, 99, 2**40])
def test_the_single_cap_at_its_edge(cap: int) -> None:
    counter = counter_with(single=cap)
    assert counter.refuse(counter.pay(0, cap + 1)) == "CapExceeded"
    assert counter.refuse(counter.pay(0, 2**64 - 1)) == "CapExceeded"
    if cap < counter.world.till:
        counter.send(counter.pay(0, cap), counter.pay(1, cap - 1 or 1))
    else:
        assert counter.refuse(counter.pay(0, cap)) == "InsufficientVault"


@pytest.mark.parametrize("which", ["single", "window"])
def test_a_cap_of_nothing_stops_everything_but_skipping(which: str) -> None:
    counter = counter_with(**{which: 0})
    assert counter.refuse(counter.pay(0)) == "CapExceeded"
    assert counter.refuse(counter.fund(0)) == "CapExceeded"
    assert counter.refuse(counter.pay(0, 0)) == "WrongAmount"
    counter.send(counter.skip(0))


def test_without_caps_only_the_till_limits() -> None:
    counter = new_counter()
    assert counter.refuse(counter.pay(0, 2**64 - 1)) == "InsufficientVault"
    counter.send(counter.pay(0, counter.world.till))


# --- the window cap


def test_what_is_left_after_a_payment_through_both_halves() -> None:
    for second in (0, 1, HALF - 1, HALF, HALF + 1, 2 * HALF - 1):
        counter = counter_with(window=CAP)
        counter.send(counter.pay(0, 60))
        at(counter, second)
        most_payable(counter, 1, 40)
    counter = counter_with(window=CAP)
    counter.send(counter.pay(0, 60))
    at(counter, 2 * HALF)
    most_payable(counter, 1, CAP)


def test_halves_follow_one_another_without_a_gap() -> None:
    counter = counter_with(window=CAP)
    counter.send(counter.pay(0, 60))
    at(counter, 2 * HALF - 1)
    counter.send(counter.pay(1, 40))
    # The second half began at HALF, not with its first payment.
    at(counter, 2 * HALF)
    payouts = counter.payouts
    assert payouts.half_window_started_at == START + HALF
    assert payouts.half_window_spent_microusdc == 40
    assert payouts.previous_half_window_spent_microusdc == 60
    most_payable(counter, 2, 60)
    assert counter.payouts.half_window_started_at == START + 2 * HALF
    assert counter.payouts.previous_half_window_spent_microusdc == 40
    at(counter, 3 * HALF - 1)
    most_payable(counter, 3, 0)
    at(counter, 3 * HALF)
    most_payable(counter, 3, 40)


def test_after_two_quiet_halves_a_new_window_begins_with_the_payment() -> None:
    counter = counter_with(window=CAP)
    counter.send(counter.pay(0, CAP))
    at(counter, 2 * HALF - 1)
    most_payable(counter, 1, 0)
    at(counter, 2 * HALF + 77)
    counter.send(counter.pay(1, 1))
    assert counter.payouts.half_window_started_at == START + 2 * HALF + 77
    assert counter.payouts.previous_half_window_spent_microusdc == 0


@pytest.mark.parametrize("back", [1, HALF, 100 * HALF])
def test_a_clock_that_steps_back_frees_nothing(back: int) -> None:
    counter = counter_with(window=CAP)
    counter.send(counter.pay(0, 60))
    at(counter, -back)
    most_payable(counter, 1, 40)
    at(counter, HALF - 1)
    most_payable(counter, 2, 0)


def test_many_small_payments_add_up() -> None:
    counter = counter_with(single=10, window=CAP)
    for number in range(10):
        counter.send(counter.pay(number, 10))
    assert counter.refuse(counter.pay(10)) == "CapExceeded"
    assert counter.payouts.half_window_spent_microusdc == CAP


def test_funding_counts_and_skipping_and_failures_do_not() -> None:
    counter = counter_with(window=2 * BOND_AMOUNT)
    counter.send(counter.fund(0), counter.skip(1))
    assert counter.refuse(counter.pay(1, 5)) == "AlreadySkipped"
    assert counter.refuse(counter.pay(2, BOND_AMOUNT + 1)) == "CapExceeded"
    assert counter.payouts.half_window_spent_microusdc == BOND_AMOUNT
    counter.send(counter.pay(2, BOND_AMOUNT))
    assert counter.refuse(counter.fund(3)) == "CapExceeded"


@pytest.mark.parametrize("cap", ["single", "window"])
def test_funding_at_the_edge_of_a_cap(cap: str) -> None:
    below = counter_with(**{cap: BOND_AMOUNT - 1})
    assert below.refuse(below.fund(0)) == "CapExceeded"
    enough = counter_with(**{cap: BOND_AMOUNT})
    enough.send(enough.fund(0))


def test_a_failed_payment_counts_nothing_and_uses_no_number() -> None:
    counter = counter_with(window=CAP)
    payouts = counter.payouts
    assert counter.refuse(counter.pay(0, 60), counter.pay(1, 60)) == "CapExceeded"
    assert counter.payouts == payouts


# --- changed caps


def test_a_cut_holds_at_once_for_what_was_paid_already() -> None:
    counter = counter_with(window=CAP)
    counter.send(counter.pay(0, 60))
    counter.cap(window=60)
    assert counter.refuse(counter.pay(1)) == "CapExceeded"
    counter.cap(window=59)  # more is paid than may be: nothing overflows
    assert counter.refuse(counter.pay(1)) == "CapExceeded"
    at(counter, 2 * HALF)
    counter.send(counter.pay(1, 59))


def test_a_raise_waits() -> None:
    counter = counter_with(single=10)
    wider = new_counter().world.config().parameters
    counter.set_params(wider)
    assert counter.refuse(counter.pay(0, 11)) == "CapExceeded"


# --- whatever is tried


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_whenever_paid_no_half_window_holds_more_than_the_cap(seed: int) -> None:
    chance = random.Random(seed)
    counter = counter_with(window=CAP)
    paid: list[tuple[int, int]] = []
    second = 0
    for number in range(150):
        second += chance.choice([0, 1, 500, HALF // 3, HALF - 1, HALF, HALF + 1])
        at(counter, second)
        amount = chance.randint(1, CAP)
        if amount <= CAP - still_counted(counter):
            counter.send(counter.pay(number, amount))
            paid.append((second, amount))
            assert sum(each for then, each in paid if then > second - HALF) <= CAP
        else:
            assert counter.refuse(counter.pay(number, amount)) == "CapExceeded"
            # Nothing is refused for longer than two halves.
            assert sum(each for then, each in paid if then > second - 2 * HALF) + amount > CAP
    assert counter.paid_out == sum(amount for _, amount in paid)


def still_counted(counter: Counter) -> int:
    """What the payments of this half and the one before take from the cap now."""
    payouts = counter.payouts
    current = payouts.half_window_spent_microusdc
    halves_gone = (counter.world.now - payouts.half_window_started_at) // HALF
    return [current + payouts.previous_half_window_spent_microusdc, current, 0][min(halves_gone, 2)]
