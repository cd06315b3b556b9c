"""Keeps the program's window of numbers moving: a number that half of it has passed by is burned.

The window ends 8,192 above the lowest number that is not used up. So a payout that comes to no end
would stop all others one day; long before that its number is given up and its money goes back. The
chain decides: should the payment land first, it stays paid.
"""

from typing import Final

import structlog

from settlement.chain.layouts import WINDOW_NUMBERS
from settlement.db.pool import Pool, transaction
from settlement.db.sql import load
from settlement.payouts import store

_SQL = load("settlement.payouts", "payouts.sql")
HALF_OF_THE_WINDOW: Final = WINDOW_NUMBERS // 2
PASSED_BY: Final = "half of the number window has passed it by"
_log = structlog.stdlib.get_logger()


async def give_up_passed_by(pool: Pool, *, behind: int = HALF_OF_THE_WINDOW) -> int:
    """Give up numbers that are not decided and so far `behind` the next one; says how many."""
    async with transaction(pool) as tx:
        rows = await tx.fetch(_SQL["passed_by"], behind)
        for row in rows:
            intent = store.intent_of(row)
            await store.want_skip(tx, intent, PASSED_BY)
            _log.error("payout_passed_by", payout=str(intent.payout_id), number=intent.sequence)
    return len(rows)
