"""What is offered per compute unit: never outside the bounds, and more after each failure."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.payouts.priority import FeePolicy, offer

POLICY = FeePolicy(
    floor_microlamports=100, cap_microlamports=10_000, percentile=75, raise_percent=50
)
RECENT = st.lists(st.integers(0, 10**12), max_size=150)


@given(recent=RECENT, in_vain=st.integers(0, 1_000))
def test_never_outside_the_bounds_and_never_less_after_a_failure(
    recent: list[int], in_vain: int
) -> None:
    first = offer(recent, in_vain=in_vain, policy=POLICY)
    assert 100 <= first <= 10_000
    again = offer(recent, in_vain=in_vain + 1, policy=POLICY)
    assert again > first or first == 10_000 == again


@pytest.mark.parametrize(
    ("recent", "in_vain", "price"),
    [
        ([], 0, 100),
        ([0, 0, 0], 0, 100),
        ([200, 400, 300, 100], 0, 300),  # three quarters offered no more
        ([200, 400, 300, 100], 1, 450),
        ([200, 400, 300, 100], 2, 675),
        ([5_000] * 150, 2, 10_000),
        ([10**9], 0, 10_000),
    ],
)
def test_what_is_offered(recent: list[int], in_vain: int, price: int) -> None:
    assert offer(recent, in_vain=in_vain, policy=POLICY) == price


def test_the_percentile_is_that_of_the_sorted() -> None:
    for percentile, price in ((0, 1_000), (1, 1_000), (50, 50_000), (100, 100_000)):
        policy = FeePolicy(percentile=percentile)
        recent = [1_000 * n for n in range(100, 0, -1)]
        assert offer(recent, in_vain=0, policy=policy) == price


def test_a_floor_of_nothing_rises_too() -> None:
    policy = FeePolicy(floor_microlamports=0)
    assert [offer([], in_vain=n, policy=policy) for n in range(4)] == [0, 1, 2, 3]


@pytest.mark.parametrize("wrong", [{"floor_microlamports": 100_001}, {"percentile": 101}])
def test_a_policy_that_contradicts_itself_is_none(wrong: dict[str, int]) -> None:
    with pytest.raises(AssertionError):
        FeePolicy(**wrong)
