"""What a request may cost and did cost: exact, in integers, never above what was set aside."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.meter import Reading, affordable_output_tokens, bill, worst_case
from settlement.money import MicroUsdc, Price, gross_for, split_gross

prices = st.builds(
    Price,
    input_per_1m_microusdc=st.integers(1, 10**12),
    output_per_1m_microusdc=st.integers(1, 10**12),
)
tokens = st.integers(0, 10**6)


@given(st.lists(prices, min_size=1, max_size=4), tokens, tokens)
def test_the_worst_case_covers_every_offer(offers: list[Price], went_in: int, limit: int) -> None:
    held = worst_case(offers, input_tokens=went_in, output_tokens=limit)
    grosses = [gross_for(each, input_tokens=went_in, output_tokens=limit) for each in offers]
    assert held == max(grosses)


@given(prices, tokens, st.integers(0, 10**15))
def test_what_is_affordable_fits_and_one_token_more_does_not(
    price: Price, went_in: int, budget: int
) -> None:
    fits = affordable_output_tokens(price, input_tokens=went_in, budget_microusdc=budget)
    assert fits >= 0
    if fits:
        assert gross_for(price, input_tokens=went_in, output_tokens=fits) <= budget
    assert gross_for(price, input_tokens=went_in, output_tokens=fits + 1) > budget


@given(prices, tokens, tokens)
def test_a_bill_is_exact_and_its_shares_add_up(price: Price, went_in: int, came_out: int) -> None:
    reading = Reading(input_tokens=went_in, output_tokens=came_out)
    held = MicroUsdc(2**62)
    gross = bill(price, reading, reserved_microusdc=held)
    exact = went_in * price.input_per_1m_microusdc + came_out * price.output_per_1m_microusdc
    assert gross * 1_000_000 >= exact > (gross - 1) * 1_000_000
    share = split_gross(gross)
    assert share.operator_microusdc + share.treasury_microusdc == gross
    assert share.treasury_microusdc == gross * 20 // 100


def test_the_worked_example_of_the_docs() -> None:
    price = Price(input_per_1m_microusdc=400_000, output_per_1m_microusdc=600_000)
    reading = Reading(input_tokens=50_000, output_tokens=20_000)
    assert bill(price, reading, reserved_microusdc=MicroUsdc(32_000)) == 32_000
    assert split_gross(MicroUsdc(32_000)).operator_microusdc == 25_600


def test_a_bill_above_what_was_set_aside_is_a_bug() -> None:
    price = Price(input_per_1m_microusdc=1_000_000, output_per_1m_microusdc=1_000_000)
    with pytest.raises(AssertionError):
        bill(price, Reading(input_tokens=5, output_tokens=6), reserved_microusdc=10)
