"""Who serves a request: every filter, the order, and the wishes that cannot be understood."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.match import (
    Candidate,
    Ceilings,
    NoProvider,
    NoProviderAtPrice,
    RoutingHeaderInvalid,
    RoutingMode,
    rank,
    read_wish,
)
from coordinator.offers import Offer
from settlement.money import Price

START = datetime(2026, 1, 1, tzinfo=UTC)


def candidate(
    number: int = 1, *, prices: tuple[int, int] = (100, 200), **facts: object
) -> Candidate:
    offer = Offer(
        provider_id=UUID(int=number),
        model="m",
        name="m",
        provider_model_id="m",
        price=Price(input_per_1m_microusdc=prices[0], output_per_1m_microusdc=prices[1]),
    )
    good = Candidate(
        offer=offer,
        enrolled_at=START + timedelta(days=number),
        bonded=True,
        online=True,
        throttled=False,
        free_slots=1,
    )
    return replace(good, **facts)  # pyright: ignore[reportArgumentType] # each test knows its fact


def order(found: list[Candidate]) -> list[int]:
    return [each.offer.provider_id.int for each in found]


@pytest.mark.parametrize(
    "facts", [{"bonded": False}, {"online": False}, {"throttled": True}, {"free_slots": 0}]
)
def test_who_may_not_serve_is_left_out(facts: dict[str, Any]) -> None:
    assert order(rank("m", [candidate(1, **facts), candidate(2)], Ceilings())) == [2]
    with pytest.raises(NoProvider, match="no healthy provider for model: m"):
        rank("m", [candidate(1, **facts)], Ceilings())


def test_nobody_is_no_provider() -> None:
    with pytest.raises(NoProvider):
        rank("m", [], Ceilings())


@pytest.mark.parametrize(
    ("ceilings", "admits"),
    [
        (Ceilings(), True),
        (Ceilings(input_per_1m_microusdc=100, output_per_1m_microusdc=200), True),
        (Ceilings(input_per_1m_microusdc=99), False),
        (Ceilings(output_per_1m_microusdc=199), False),
        (Ceilings(input_per_1m_microusdc=10**9, output_per_1m_microusdc=199), False),
    ],
)
def test_a_ceiling_holds_on_either_axis(ceilings: Ceilings, admits: bool) -> None:
    if admits:
        assert order(rank("m", [candidate()], ceilings)) == [1]
        return
    with pytest.raises(NoProviderAtPrice):
        rank("m", [candidate()], ceilings)


def test_a_ceiling_that_is_too_low_is_told_what_would_do() -> None:
    offers = [candidate(1, prices=(300, 300)), candidate(2, prices=(100, 400))]
    with pytest.raises(NoProviderAtPrice, match="at your price ceiling") as raised:
        rank("m", offers, Ceilings(input_per_1m_microusdc=1))
    told = raised.value.details
    assert told == {"suggested_min_input_per_1m": 100, "suggested_min_output_per_1m": 400}
    again = Ceilings(input_per_1m_microusdc=100, output_per_1m_microusdc=400)
    assert order(rank("m", offers, again)) == [2]


def test_a_busy_provider_within_the_ceiling_is_not_a_price_problem() -> None:
    with pytest.raises(NoProvider):
        rank("m", [candidate(free_slots=0)], Ceilings(input_per_1m_microusdc=100))


def test_cheapest_first_then_input_price_then_who_came_first() -> None:
    offers = [
        candidate(1, prices=(200, 200)),
        candidate(2, prices=(150, 150)),
        candidate(3, prices=(100, 200)),
        candidate(4, prices=(100, 200)),
    ]
    assert order(rank("m", reversed(offers), Ceilings())) == [3, 4, 2, 1]


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5), st.booleans()), max_size=8))
def test_whoever_is_chosen_may_serve_and_nobody_cheaper_was_passed_over(
    drawn: list[tuple[int, int, bool]],
) -> None:
    offers = [
        candidate(number, prices=(low, high), bonded=bonded)
        for number, (low, high, bonded) in enumerate(drawn)
    ]
    ceilings = Ceilings(input_per_1m_microusdc=3)
    fit = [each for each in offers if each.bonded and ceilings.admit(each.offer)]
    if not fit:
        with pytest.raises((NoProvider, NoProviderAtPrice)):
            rank("m", offers, ceilings)
        return
    found = rank("m", offers, ceilings)
    assert sorted(order(found)) == sorted(order(fit))
    sums = [
        sum((e.offer.price.input_per_1m_microusdc, e.offer.price.output_per_1m_microusdc))
        for e in found
    ]
    assert sums == sorted(sums)


def test_a_wish_is_read_from_the_headers() -> None:
    wish = read_wish(
        [
            (b"X-Pod-Max-Price-Input", b" 400000 "),
            (b"x-pod-max-price-output", b"0"),
            (b"x-pod-routing-mode", b"Marketplace-Only"),
            (b"x-pod-no-retention", b"true"),
            (b"authorization", b"Bearer whatever"),
        ]
    )
    assert wish.mode is RoutingMode.MARKETPLACE_ONLY
    assert wish.ceilings == Ceilings(input_per_1m_microusdc=400_000, output_per_1m_microusdc=0)


def test_no_header_is_no_wish() -> None:
    wish = read_wish([])
    assert (wish.mode, wish.ceilings, wish.pinned) == (RoutingMode.AUTO, Ceilings(), ())


def test_a_pin_implies_centralized_only() -> None:
    wish = read_wish([(b"x-pod-providers", b"Venice, groq")])
    assert (wish.mode, wish.pinned) == (RoutingMode.CENTRALIZED_ONLY, ("venice", "groq"))


@pytest.mark.parametrize(
    "value",
    [b"", b"-1", b"+1", b"1.5", b"1e3", b"0x10", b"1_000", b"abc", "\u0661".encode(), b"1" * 16],
)
@pytest.mark.parametrize("axis", [b"x-pod-max-price-input", b"x-pod-max-price-output"])
def test_a_ceiling_that_is_no_whole_number_is_refused(axis: bytes, value: bytes) -> None:
    with pytest.raises(RoutingHeaderInvalid) as raised:
        read_wish([(axis, value)])
    assert raised.value.details["field"] == axis.decode()


@pytest.mark.parametrize("value", [b"", b"automatic", b"marketplace", b"auto,auto"])
def test_a_mode_that_is_none_is_refused(value: bytes) -> None:
    with pytest.raises(RoutingHeaderInvalid) as raised:
        read_wish([(b"x-pod-routing-mode", value)])
    assert "marketplace-only" in str(raised.value.details["valid"])


def test_an_unknown_pin_is_refused_and_the_valid_ones_are_named() -> None:
    for value in (b"", b",", b"venice,nobody"):
        with pytest.raises(RoutingHeaderInvalid) as raised:
            read_wish([(b"x-pod-providers", value)])
        assert "openrouter" in str(raised.value.details["valid"])


def test_a_pin_and_the_marketplace_do_not_go_together() -> None:
    with pytest.raises(RoutingHeaderInvalid):
        read_wish([(b"x-pod-providers", b"venice"), (b"x-pod-routing-mode", b"marketplace-only")])


def test_a_header_sent_twice_is_refused() -> None:
    with pytest.raises(RoutingHeaderInvalid, match="more than once"):
        read_wish([(b"x-pod-max-price-input", b"1"), (b"X-Pod-Max-Price-Input", b"2")])
