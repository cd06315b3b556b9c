"""Stopping all payouts, and letting them move again.

Whatever finds the chain and the books apart may stop them; only a person lets them go on.
"""

import structlog

from settlement.db.pool import ReadConn, Tx
from settlement.db.sql import load

_SQL = load("settlement.payouts", "life.sql")
_log = structlog.stdlib.get_logger()


async def halt(tx: Tx, reason: str, detail: str = "") -> None:
    """Stop payouts for `reason` (a word; one open halt for each) until a person lifts it."""
    await tx.execute(_SQL["halt"], reason, detail)
    _log.error("payouts_halted", reason=reason, detail=detail)


async def halted(conn: ReadConn) -> tuple[str, ...]:
    """Why payouts stand still; empty when they move."""
    rows = await conn.fetch(_SQL["open_halts"])
    return tuple(f"{row['reason']}: {row['detail']}" for row in rows)


async def lift(tx: Tx, *, by: str) -> tuple[str, ...]:
    """Let payouts move on; says which reasons were lifted. `by` names the person."""
    assert by, "a person lifts a halt"
    rows = await tx.fetch(_SQL["lift_halts"], by)
    reasons = tuple(str(row["reason"]) for row in rows)
    _log.warning("payouts_resumed", by=by, reasons=reasons)
    return reasons
