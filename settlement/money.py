"""Units of money and the two pure rules every paid request goes through: the price and the split.

Everything is an integer. Amounts of USDC are microunits (1 USDC = 1 000 000), prices are microunits
per million tokens. Rounding is decided here once: a gross is rounded up, the treasury's share is
rounded down, so the operator never gets less than the stated share of what the user paid.
"""

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import NewType

from settlement.errors import Refused

MicroUsdc = NewType("MicroUsdc", int)
Lamports = NewType("Lamports", int)
Slot = NewType("Slot", int)
BlockHeight = NewType("BlockHeight", int)

MICROUSDC_PER_USDC = 1_000_000
USDC_DECIMALS = 6
TOKENS_PER_PRICE_UNIT = 1_000_000
BASIS_POINTS = 10_000
TREASURY_SPLIT_BPS = 2_000
# Postgres bigint; a chain amount above it is quarantined, an API amount above it is refused.
LARGEST_AMOUNT_MICROUSDC = MicroUsdc(2**63 - 1)
# A number as people write it; Python's own reading would take more (underscores, other digits).
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)
_LARGEST_POWER = 20
_SHOWN = 80


class InvalidAmount(Refused):
    """The amount is not a positive number of whole microunits below 2^63."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """How one gross is shared: `operator_microusdc + treasury_microusdc` is exactly the gross."""

    operator_microusdc: MicroUsdc
    treasury_microusdc: MicroUsdc


def split_gross(gross_microusdc: MicroUsdc, split_bps: int = TREASURY_SPLIT_BPS) -> Split:
    """Share a gross: the treasury's `split_bps` rounded down, the remainder to the operator."""
    assert gross_microusdc >= 0, "a gross is never negative"
    assert 0 <= split_bps <= BASIS_POINTS, "a split is between 0 and 10 000 basis points"
    treasury = gross_microusdc * split_bps // BASIS_POINTS
    return Split(
        operator_microusdc=MicroUsdc(gross_microusdc - treasury),
        treasury_microusdc=MicroUsdc(treasury),
    )


@dataclass(frozen=True, kw_only=True)
class Price:
    """What a listing asks, in microunits per million tokens."""

    input_per_1m_microusdc: int
    output_per_1m_microusdc: int


def gross_for(price: Price, *, input_tokens: int, output_tokens: int) -> MicroUsdc:
    """The price of one request: input and output are summed first, then rounded up once."""
    assert input_tokens >= 0, "token counts are never negative"
    assert output_tokens >= 0, "token counts are never negative"
    total = (
        input_tokens * price.input_per_1m_microusdc + output_tokens * price.output_per_1m_microusdc
    )
    return MicroUsdc(-(-total // TOKENS_PER_PRICE_UNIT))


def parse_usdc(amount_usdc: Decimal | int | str, *, field: str) -> MicroUsdc:
    """Turn an amount in dollars, as people write it, into microunits.

    Decode JSON with `parse_float=Decimal` first: a binary float has already lost the amount.

    Raises `InvalidAmount` naming `field` for zero, negative or fractional microunits, for numbers
    that are not finite, and for anything of 2^63 microunits or more.
    """
    if isinstance(amount_usdc, str) and not _NUMBER.fullmatch(amount_usdc.strip()):
        raise InvalidAmount(field=field, got=amount_usdc[:_SHOWN])
    try:
        dollars = Decimal(amount_usdc)
    except (InvalidOperation, ValueError, TypeError):
        raise InvalidAmount(field=field, got=str(amount_usdc)[:_SHOWN]) from None
    if not dollars.is_finite() or dollars.adjusted() > _LARGEST_POWER:
        raise InvalidAmount(field=field, got=str(amount_usdc)[:_SHOWN])
    # By its digits: arithmetic would round what is longer than the context's precision.
    negative, digits, exponent = dollars.as_tuple()
    assert isinstance(exponent, int), "a finite number has one"
    power = exponent + USDC_DECIMALS
    too_fine = digits[power:] if power < 0 else ()
    if any(too_fine) or (len(digits) < -power and any(digits)):
        raise InvalidAmount(field=field, got=str(amount_usdc)[:_SHOWN])
    whole = int("".join(map(str, digits[: len(digits) + min(power, 0)])) or "0")
    scaled = whole * 10 ** max(power, 0)
    return positive_amount(-scaled if negative else scaled, field=field)


def positive_amount(amount: int, *, field: str) -> MicroUsdc:
    """Accept a count of microunits between 1 and 2^63 − 1, else raise `InvalidAmount`."""
    if not 0 < amount <= LARGEST_AMOUNT_MICROUSDC:
        raise InvalidAmount(field=field, got=str(amount))
    return MicroUsdc(amount)


def format_usdc(amount_microusdc: int) -> str:
    """Six decimals, for people: 1234567 is shown as `1.234567`."""
    sign = "-" if amount_microusdc < 0 else ""
    whole, rest = divmod(abs(amount_microusdc), MICROUSDC_PER_USDC)
    return f"{sign}{whole}.{rest:0{USDC_DECIMALS}d}"
