"""Prices, splits and amounts: whole microunits, rounded once, never in the operator's disfavour."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.money import (
    LARGEST_AMOUNT_MICROUSDC,
    InvalidAmount,
    MicroUsdc,
    Price,
    format_usdc,
    gross_for,
    parse_usdc,
    positive_amount,
    split_gross,
)

gross = st.integers(0, LARGEST_AMOUNT_MICROUSDC).map(MicroUsdc)
tokens = st.integers(0, 10**9)
per_million = st.integers(0, 10**12)


@given(gross, st.integers(0, 10_000))
def test_a_split_loses_nothing_and_favours_the_operator(amount: MicroUsdc, bps: int) -> None:
    shared = split_gross(amount, bps)
    assert shared.operator_microusdc + shared.treasury_microusdc == amount
    assert min(shared.operator_microusdc, shared.treasury_microusdc) >= 0
    assert shared.treasury_microusdc * 10_000 <= amount * bps
    assert (shared.treasury_microusdc + 1) * 10_000 > amount * bps


@pytest.mark.parametrize(
    ("amount", "operator", "treasury"),
    [
        (0, 0, 0),
        (1, 1, 0),
        (4, 4, 0),
        (5, 4, 1),
        (9, 8, 1),
        (10, 8, 2),
        (9_999_999, 8_000_000, 1_999_999),
    ],
)
def test_eighty_twenty(amount: int, operator: int, treasury: int) -> None:
    shared = split_gross(MicroUsdc(amount))
    assert (shared.operator_microusdc, shared.treasury_microusdc) == (operator, treasury)


@pytest.mark.parametrize(("amount", "bps"), [(-1, 2_000), (1, -1), (1, 10_001)])
def test_a_split_that_cannot_be_is_a_bug(amount: int, bps: int) -> None:
    with pytest.raises(AssertionError):
        split_gross(MicroUsdc(amount), bps)


@given(per_million, per_million, tokens, tokens)
def test_a_gross_is_rounded_up_once(ask_in: int, ask_out: int, sent: int, made: int) -> None:
    price = Price(input_per_1m_microusdc=ask_in, output_per_1m_microusdc=ask_out)
    exact = sent * ask_in + made * ask_out
    found = gross_for(price, input_tokens=sent, output_tokens=made)
    assert exact <= found * 1_000_000 < exact + 1_000_000


def test_input_and_output_are_summed_before_they_are_rounded() -> None:
    price = Price(input_per_1m_microusdc=500_000, output_per_1m_microusdc=500_000)
    assert gross_for(price, input_tokens=1, output_tokens=1) == 1
    assert gross_for(price, input_tokens=1, output_tokens=0) == 1
    assert gross_for(price, input_tokens=0, output_tokens=0) == 0


@pytest.mark.parametrize(("sent", "made"), [(-1, 0), (0, -1)])
def test_tokens_are_not_negative(sent: int, made: int) -> None:
    price = Price(input_per_1m_microusdc=1, output_per_1m_microusdc=1)
    with pytest.raises(AssertionError):
        gross_for(price, input_tokens=sent, output_tokens=made)


@given(st.integers(1, LARGEST_AMOUNT_MICROUSDC))
def test_dollars_go_out_and_come_back(amount: int) -> None:
    assert parse_usdc(format_usdc(amount), field="amount") == amount


@pytest.mark.parametrize(
    ("written", "amount"),
    [
        ("25", 25_000_000),
        ("25.000000", 25_000_000),
        ("0.000001", 1),
        ("1e2", 100_000_000),
        (" 7 ", 7_000_000),
        (".5", 500_000),
        ("5." + "0" * 60, 5_000_000),
        ("0.0000050e6", 5_000_000),
        (Decimal("50000e-4"), 5_000_000),
        (50, 50_000_000),
        (Decimal("0.10"), 100_000),
        ("9223372036854.775807", LARGEST_AMOUNT_MICROUSDC),
    ],
)
def test_what_people_write(written: Decimal | int | str, amount: int) -> None:
    assert parse_usdc(written, field="amount") == amount


@pytest.mark.parametrize(
    "written",
    [
        *("", "abc", "1,5", "--1", "0x10", "1 2", "NaN", "sNaN", "Infinity", "-Infinity"),
        *("0", "0.0", "-1", "-0.000001", "0.0000001", "1.0000005", "0e-999999999", "."),
        # More digits than Python's decimal arithmetic keeps: rounded they would look whole.
        *("5." + "0" * 40 + "1", Decimal("5." + "0" * 40 + "1"), "5." + "9" * 60),
        *("1_000", "\uff15", "5\u00a0000", "\u0665"),
        *("9223372036854.775808", "18446744073709.551615", "1e999999999", "1e-999999999", "1e21"),
        *(0, -1, 2**63, Decimal("0.0000001")),
        "9" * 5_000,
    ],
    ids=lambda written: str(written)[:24] or "empty",
)
def test_what_is_no_amount(written: Decimal | int | str) -> None:
    with pytest.raises(InvalidAmount) as refused:
        parse_usdc(written, field="amount_usdc")
    assert refused.value.details["field"] == "amount_usdc"


@given(st.text(max_size=30))
def test_any_text_is_an_amount_or_refused(written: str) -> None:
    try:
        amount = parse_usdc(written, field="amount")
    except InvalidAmount:
        return
    assert 0 < amount <= LARGEST_AMOUNT_MICROUSDC


@pytest.mark.parametrize("amount", [0, -1, 2**63])
def test_a_count_outside_the_books(amount: int) -> None:
    with pytest.raises(InvalidAmount):
        positive_amount(amount, field="amount")


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (0, "0.000000"),
        (1, "0.000001"),
        (-1, "-0.000001"),
        (1_234_567, "1.234567"),
        (-25_000_000, "-25.000000"),
    ],
)
def test_money_as_people_read_it(amount: int, shown: str) -> None:
    assert format_usdc(amount) == shown
