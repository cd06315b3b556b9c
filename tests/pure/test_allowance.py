"""What an answer may deliver: what is reserved pays for it; more on demand, within bounds."""

import asyncio
from dataclasses import dataclass, field
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from coordinator.reserve import Allowance
from settlement.charges import Reservation
from settlement.db.pool import DatabaseUnavailable
from settlement.money import MicroUsdc, Price, gross_for

prices = st.builds(
    Price,
    input_per_1m_microusdc=st.integers(1, 10**9),
    output_per_1m_microusdc=st.integers(1, 10**9),
)


@dataclass(kw_only=True)
class Reserved:
    """A reservation that can grow to `most_microusdc`."""

    amount_microusdc: int
    most_microusdc: int
    is_away: bool = False
    asked: list[int] = field(default_factory=list[int])

    async def extend(self, more_microusdc: int, *, least_microusdc: int) -> bool:
        assert 0 < least_microusdc <= more_microusdc
        self.asked.append(more_microusdc)
        if self.is_away:
            raise DatabaseUnavailable
        more = min(more_microusdc, self.most_microusdc - self.amount_microusdc)
        if more < least_microusdc:
            return False
        self.amount_microusdc += more
        return True


def allowance(reserved: Reserved, price: Price, *, went_in: int, most: int) -> Allowance:
    return Allowance(cast("Reservation", reserved), price, input_tokens=went_in, most_tokens=most)


@given(prices, st.integers(0, 10_000), st.integers(1, 5_000), st.data())
def test_everything_delivered_is_paid_for_to_the_last_token(
    price: Price, went_in: int, most: int, data: st.DataObject
) -> None:
    funds = data.draw(
        st.integers(1, 2 * gross_for(price, input_tokens=went_in, output_tokens=most))
    )
    reserved = Reserved(amount_microusdc=data.draw(st.integers(1, funds)), most_microusdc=funds)
    one = allowance(reserved, price, went_in=went_in, most=most)

    def cost(tokens: int) -> MicroUsdc:
        return gross_for(price, input_tokens=went_in, output_tokens=tokens)

    async def deliver() -> None:
        while True:
            assert one.tokens == 0 or cost(one.tokens) <= reserved.amount_microusdc <= funds
            before = one.tokens
            if not await one.more():
                assert one.tokens == before
                return
            assert one.tokens > before

    asyncio.run(deliver())
    assert one.tokens == most or cost(one.tokens + 1) > funds
    assert len(reserved.asked) < 30, "few steps, however long the answer"


def test_it_grows_by_half_and_never_beyond_the_users_bound() -> None:
    price = Price(input_per_1m_microusdc=10**6, output_per_1m_microusdc=10**6)
    reserved = Reserved(amount_microusdc=12, most_microusdc=10**9)
    one = allowance(reserved, price, went_in=2, most=200)
    seen = [one.tokens]
    while asyncio.run(one.more()):
        seen.append(one.tokens)
    assert seen == [10, 74, 138, 200]
    assert reserved.amount_microusdc == 202


def test_while_the_books_are_away_it_stays_as_it_is() -> None:
    price = Price(input_per_1m_microusdc=10**6, output_per_1m_microusdc=10**6)
    reserved = Reserved(amount_microusdc=12, most_microusdc=10**9, is_away=True)
    one = allowance(reserved, price, went_in=2, most=200)
    assert not asyncio.run(one.more())
    assert one.tokens == 10
