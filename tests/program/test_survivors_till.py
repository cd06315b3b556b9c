"""What the mutation run found unwatched in the till: damaged sums, and edges."""

import pytest

from tests.program.till.counter import Counter, new_counter
from tests.program.world import BOND_AMOUNT

HALF_STARTED_AT, CURRENT_AT, PREVIOUS_AT = 2_088, 2_096, 2_104
MOST = 2**64 - 1
END_OF_TIME = 2**63 - 1


def patch(counter: Counter, at: int, value: int) -> None:
    counter.world.patch(counter.world.deployment.payouts, at, value.to_bytes(8, "little"))


def test_two_halves_that_cannot_be_summed() -> None:
    counter = new_counter()
    counter.send(counter.pay(0))
    patch(counter, CURRENT_AT, 1)
    patch(counter, PREVIOUS_AT, MOST)
    assert counter.refuse(counter.pay(1)) == "Overflow"
    assert counter.refuse(counter.fund(1)) == "Overflow"
    patch(counter, PREVIOUS_AT, 0)
    counter.send(counter.pay(1))


@pytest.mark.parametrize("before_the_end", [0, 43_199, 43_200, 86_399])
def test_a_half_window_that_never_ends(before_the_end: int) -> None:
    counter = new_counter()
    patch(counter, HALF_STARTED_AT, END_OF_TIME - before_the_end)
    assert counter.refuse(counter.pay(1)) == "Overflow"


def test_the_last_half_windows_of_time_still_count() -> None:
    counter = new_counter()
    patch(counter, HALF_STARTED_AT, END_OF_TIME - 86_400)
    counter.send(counter.pay(1))


def test_a_bond_takes_the_till_to_nothing() -> None:
    counter = new_counter()
    vault = counter.world.deployment.till_vault
    counter.world.set_balance(vault, BOND_AMOUNT - 1)
    assert counter.refuse(counter.fund(0)) == "InsufficientVault"
    counter.world.set_balance(vault, BOND_AMOUNT)
    counter.send(counter.fund(0))
    assert counter.world.till == 0
