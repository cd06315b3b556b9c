"""Who gets how much: to the last microunit, to nobody more than the loss."""

from collections import Counter
from fractions import Fraction
from random import Random
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.cases.shares import Loss, apportioned, credit_shares, loss_of
from settlement.ledger import accounts
from settlement.money import LARGEST_AMOUNT_MICROUSDC, MicroUsdc

AMOUNTS = st.integers(1, 50) | st.integers(1, LARGEST_AMOUNT_MICROUSDC)
LOSSES = st.lists(st.tuples(st.integers(1, 4), AMOUNTS), min_size=1, max_size=12)


def losses_of(drawn: list[tuple[int, int]]) -> list[Loss]:
    """One request for each, of the user of that number."""
    return [
        Loss(
            request_id=UUID(int=number),
            user=accounts.user(UUID(int=user)),
            loss_microusdc=MicroUsdc(amount),
        )
        for number, (user, amount) in enumerate(drawn)
    ]


@given(LOSSES, st.data())
def test_a_pool_is_shared_to_the_last_microunit(
    drawn: list[tuple[int, int]], data: st.DataObject
) -> None:
    losses = losses_of(drawn)
    total = sum(one.loss_microusdc for one in losses)
    pool = MicroUsdc(data.draw(st.integers(0, total + 5)))
    shares = credit_shares(pool, losses)
    assert [one.loss.request_id for one in shares] == sorted(one.request_id for one in losses)
    assert sum(one.amount_microusdc for one in shares) == min(pool, total)
    assert all(0 <= one.amount_microusdc <= one.loss.loss_microusdc for one in shares)
    lost: Counter[str] = Counter()
    got: Counter[str] = Counter()
    for one in shares:
        lost[one.loss.user] += one.loss.loss_microusdc
        got[one.loss.user] += one.amount_microusdc
    for user, whole in lost.items():
        part = Fraction(min(pool, total) * whole, total)
        assert abs(got[user] - part) < 1, "nobody's share is off by a whole microunit"


@given(LOSSES, st.integers(0, 2**40), st.randoms(use_true_random=False))
def test_the_order_of_the_losses_does_not_matter(
    drawn: list[tuple[int, int]], pool: int, chance: Random
) -> None:
    losses = losses_of(drawn)
    shuffled = list(losses)
    chance.shuffle(shuffled)
    assert credit_shares(MicroUsdc(pool), shuffled) == credit_shares(MicroUsdc(pool), losses)


def test_the_largest_remainders_get_what_is_left() -> None:
    keys = [UUID(int=number) for number in range(3)]
    losses = dict(zip(keys, map(MicroUsdc, (10, 20, 40)), strict=True))
    assert list(apportioned(MicroUsdc(10), losses).values()) == [1, 3, 6]  # 1.43, 2.86, 5.71
    even = dict.fromkeys(reversed(keys), MicroUsdc(5))
    assert apportioned(MicroUsdc(4), even) == dict(zip(keys, (2, 1, 1), strict=True))


def test_it_does_not_matter_in_how_many_requests_a_loss_was_suffered() -> None:
    """Seven of one microunit each are as much as one of seven."""
    losses = losses_of([(1, 1)] * 7 + [(2, 7)])
    shares = credit_shares(MicroUsdc(6), losses)
    assert [one.amount_microusdc for one in shares] == [1, 1, 1, 0, 0, 0, 0, 3]


@pytest.mark.parametrize(
    ("paid", "claimed", "refunded", "loss"),
    [(10, 10, 0, 10), (10, 4, 0, 4), (10, 10, 3, 7), (10, 4, 3, 4), (10, 9, 3, 7), (10, 1, 10, 0)],
)
def test_a_loss_is_what_is_claimed_and_still_paid(
    paid: int, claimed: int, refunded: int, loss: int
) -> None:
    assert loss_of(MicroUsdc(paid), MicroUsdc(claimed), MicroUsdc(refunded)) == loss
