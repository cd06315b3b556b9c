"""Stopping all payouts, and letting them move again.

Whatever finds the chain and the books apart may stop them; only a person lets them go on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from settlement.db.pool import ReadConn, Tx
from settlement.db.sql import load

_SQL = load("settlement.payouts", "life.sql")
_log = structlog.stdlib.get_logger()


async def halt(tx: Tx, reason: str, detail: str = "") -> None:
    """Stop payouts for `reason` (a word; one open halt for each) until a person lifts it."""
    await tx.execute(_SQL["halt"], reason, detail)
    _log.error("payouts_halted", reason=reason, detail=detail)


@dataclass(frozen=True, kw_only=True)
class Halt:
    """Why no payout moves."""

    reason: str
    detail: str
    raised_at: datetime


async def open_halts(conn: ReadConn) -> Sequence[Halt]:
    """Why payouts stand still, and since when; empty when they move."""
    return [Halt(**row) for row in await conn.fetch(_SQL["open_halts"])]


async def halted(conn: ReadConn) -> tuple[str, ...]:
    """The same in a line each."""
    return tuple(f"{one.reason}: {one.detail}" for one in await open_halts(conn))


async def lift(tx: Tx, *, by: str) -> tuple[str, ...]:
    """Let payouts move on; says which reasons were lifted. `by` names the person."""
    assert by, "a person lifts a halt"
    rows = await tx.fetch(_SQL["lift_halts"], by)
    reasons = tuple(str(row["reason"]) for row in rows)
    _log.warning("payouts_resumed", by=by, reasons=reasons)
    return reasons
