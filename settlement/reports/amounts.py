"""Amounts as reports write them: decimal text made from whole units, digit by digit. Pure.

The books count in the smallest unit of each asset; which that is, and how many digits of it stand
behind the point, is said here for every asset of the chart.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Asset:
    """What a commodity is counted in."""

    name: str
    decimals: int
    unit: str  # the word for the smallest unit, as the name of a field


ASSETS: Final = {
    asset.name: asset
    for asset in (
        Asset(name="USDC", decimals=6, unit="microusdc"),
        Asset(name="SOL", decimals=9, unit="lamports"),
    )
}


def decimal_text(units: int, asset: str) -> str:
    """`-1234567` microunits of USDC as `-1.234567`: always with every decimal place."""
    decimals = ASSETS[asset].decimals
    digits = str(abs(units)).rjust(decimals + 1, "0")
    sign = "-" if units < 0 else ""
    return f"{sign}{digits[:-decimals]}.{digits[-decimals:]}"


def amount_text(units: int, asset: str) -> str:
    """The same with the commodity behind it: `-1.234567 USDC`."""
    return f"{decimal_text(units, asset)} {asset}"
