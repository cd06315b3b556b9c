"""What a request may cost and what it did cost. Pure, integers only.

Counts are ours: tokens of the o200k vocabulary in the text that went in and the text that was
delivered. How many output tokens may be delivered is derived back from what is reserved for the
request, so the bill can never exceed it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from settlement.money import TOKENS_PER_PRICE_UNIT, MicroUsdc, Price, gross_for


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Our own token counts of one request."""

    input_tokens: int
    output_tokens: int


def worst_case(prices: Iterable[Price], *, input_tokens: int, output_tokens: int) -> MicroUsdc:
    """The most a request can cost at the dearest of these prices."""
    return max(
        gross_for(price, input_tokens=input_tokens, output_tokens=output_tokens) for price in prices
    )


def affordable_output_tokens(price: Price, *, input_tokens: int, budget_microusdc: int) -> int:
    """How many output tokens fit into the budget once the input is paid; 0 when none do.

    The gross of that many tokens is at most the budget, the gross of one more is above it.
    """
    left = budget_microusdc * TOKENS_PER_PRICE_UNIT - input_tokens * price.input_per_1m_microusdc
    return max(0, left // price.output_per_1m_microusdc)


def bill(price: Price, reading: Reading, *, reserved_microusdc: int) -> MicroUsdc:
    """The gross of a request; never more than what was reserved for it."""
    gross = gross_for(price, input_tokens=reading.input_tokens, output_tokens=reading.output_tokens)
    assert gross <= reserved_microusdc, "the stream is cut before it exceeds what is reserved"
    return gross
