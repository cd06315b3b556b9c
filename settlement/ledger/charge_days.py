"""The days that requests settle into are there before they begin.

A day without a partition would refuse its requests (`OUTSIDE_WINDOW`), so the settlement worker
makes some ahead, and how many there are is watched. Every writer makes them too when it is opened.
"""

from collections.abc import Callable
from typing import Final

from settlement.db import sql
from settlement.db.pool import Pool, reading
from settlement.ledger.store import ensure_charge_days

_QUERIES: Final = sql.load("settlement.ledger", "charge_days.sql")
# Fewer days ahead are an alarm: whoever makes them has not been able to for a day.
FEWEST_AHEAD: Final = 2


async def days_ahead(pool: Pool) -> int:
    """How many days after today there is a partition for; less than 0 when not even for today."""
    async with reading(pool) as conn:
        return int(await conn.fetchval(_QUERIES["days_ahead"]))


async def keep_ahead(pool: Pool, told: Callable[[int], None]) -> None:
    """Make the days to come; `told` hears how many there are, also when making them failed."""
    try:
        await ensure_charge_days(pool)
    finally:
        told(await days_ahead(pool))
