"""Looks at what was sent: confirmed is shown, and what failed for good is built again at once.

A status completes nothing: that money moved is the indexer's to say. A message that is final with
an error spent its fee and did nothing, so nobody need wait for its blockhash to die.
"""

from dataclasses import dataclass
from typing import Final

import structlog

from settlement.chain.answers import Commitment
from settlement.db.pool import reading, transaction
from settlement.db.sql import load
from settlement.payouts.road import Road
from settlement.payouts.store import Ended, end_message

_SQL = load("settlement.payouts", "messages.sql")
_AT_ONCE: Final = 256  # as many as a node tells in one answer
_SEEN: Final = (Commitment.CONFIRMED, Commitment.FINALIZED)
_log = structlog.stdlib.get_logger()


@dataclass(frozen=True, kw_only=True)
class Watched:
    """How many messages were seen confirmed for the first time, and how many had failed."""

    confirmed: int = 0
    failed: int = 0


async def watch_sent(road: Road) -> Watched:
    """Ask for the status of what was sent and not seen yet."""
    async with reading(road.pool) as conn:
        rows = await conn.fetch(_SQL["to_watch"], _AT_ONCE)
    if not rows:
        return Watched()
    statuses = await road.chain.signature_statuses([row["signature"] for row in rows])
    confirmed: list[int] = []
    failed: list[int] = []
    for row, status in zip(rows, statuses, strict=True):
        if status is None:
            continue
        if not status.failed and status.commitment in _SEEN:
            confirmed.append(row["message_id"])
        if status.failed and status.commitment is Commitment.FINALIZED:
            failed.append(row["message_id"])
    now = road.clock.now()
    if confirmed:
        async with transaction(road.pool) as tx:
            await tx.execute(_SQL["confirmed"], confirmed, now)
    for message_id in failed:
        async with transaction(road.pool) as tx:
            await end_message(tx, message_id, Ended.FAILED, now=now)
        _log.warning("payouts_failed_on_chain", message=message_id)
    return Watched(confirmed=len(confirmed), failed=len(failed))
