"""The gate before numbering: closed after a restore, until the books know all that may have been.

Books that came back from a backup have forgotten payouts: numbers that were given out, messages
that were signed, some of which may land yet. A payout that had no number in the backup may have
been paid under one, and a new number for it would pay it twice; the chain cannot know. So nothing
is numbered before

  1. the finalized height is above that of every blockhash that anybody can have held when the gate
     closed: whatever was signed before is dead or has happened (`safe_slot` is finalized then);
  2. the indexer has read everything up to that slot: what has happened is in the books;
  3. no number is used up on chain that the books do not know.

The gate also closes whenever the chain has used up a number that was not given out yet and that the
books do not know (they were restored and nobody said so; or an admin burned it). It opens by
itself. A number below the highest used one that nothing can use any more is given out like any
other: left out, it would stop the program's window one day (ADR 0038).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from settlement.chain.answers import Commitment
from settlement.chain.layouts import WINDOW_NUMBERS
from settlement.db.pool import ReadConn, reading, transaction
from settlement.db.sql import load
from settlement.money import BlockHeight
from settlement.payouts.number import next_number
from settlement.payouts.road import Road
from settlement.payouts.survey import Till

_SQL = load("settlement.payouts", "gate.sql")
# So many blocks a blockhash lives; as many more, for a node that is that far back and tells us.
BLOCKHASH_LIVES: Final = 150
_MARGIN: Final = 150
_log = structlog.stdlib.get_logger()


@dataclass(frozen=True, kw_only=True)
class Gate:
    """What the database says of the gate."""

    era: int
    gate_id: int | None  # of the one that is closed
    reason: str | None
    dead_above_height: int
    safe_slot: int | None
    closed: bool  # also while it only has to be, because of a restore
    next_sequence: int | None  # None: nothing was ever numbered


async def gate(conn: ReadConn) -> Gate:
    """How the gate stands."""
    row = await conn.fetchrow(_SQL["state"])
    assert row is not None, "there is always an era"
    return Gate(
        era=row["era"],
        gate_id=row["gate_id"],
        reason=row["reason"],
        dead_above_height=row["dead_above_height"] or 0,
        safe_slot=row["safe_slot"],
        closed=row["closed"],
        next_sequence=row["next_sequence"],
    )


def used_from(till: Till, first: int) -> list[int]:
    """The numbers from `first` on that are used up on chain."""
    payouts = till.payouts
    end = payouts.base + WINDOW_NUMBERS
    return [n for n in range(max(first, payouts.base), end) if payouts.is_used(n)]


async def stand_at_gate(road: Road, till: Till, found: Gate) -> str | None:
    """Why nothing may be numbered now; None when the gate is open. Takes it a step on."""
    unknown = await _unknown(road, till, found)
    if found.gate_id is None:
        if not found.closed and not unknown:
            return None
        return await _close(road, found, "restored" if found.closed else "unknown numbers")
    if found.safe_slot is None:
        return await _blockhashes(road, found)
    behind = await _behind(road, found.safe_slot)
    if behind is not None:
        return _told(found, f"{behind} is not read up to slot {found.safe_slot}")
    if unknown:
        return _told(found, f"the chain has used number {unknown[0]}, the books do not know it")
    await _pass(road, till, found)
    return None


async def _unknown(road: Road, till: Till, found: Gate) -> Sequence[int]:
    used = used_from(till, found.next_sequence or till.payouts.base)
    if not used:
        return ()
    async with reading(road.pool) as conn:
        return [row["sequence"] for row in await conn.fetch(_SQL["unknown"], used)]


async def _close(road: Road, found: Gate, reason: str) -> str:
    # Whatever was signed before now has a blockhash of before now.
    newest = await road.chain.latest_blockhash()
    async with transaction(road.pool) as tx:
        dead_above = newest.last_valid_height + _MARGIN
        closed = await tx.fetchval(_SQL["close_gate"], found.era, reason, dead_above)
    if closed is not None:
        _log.error("payout_gate_closed", reason=reason, era=found.era, until_height=dead_above)
    return f"the gate before numbers has closed: {reason}"


async def _blockhashes(road: Road, found: Gate) -> str:
    # One answer tells height and slot of the same bank; two could be of two nodes.
    final = await road.chain.latest_blockhash(Commitment.FINALIZED)
    height = BlockHeight(final.last_valid_height - BLOCKHASH_LIVES)
    if height > found.dead_above_height:
        async with transaction(road.pool) as tx:
            await tx.execute(_SQL["blockhashes_dead"], found.gate_id, final.slot)
    return _told(found, f"blockhashes of before live up to height {found.dead_above_height}")


async def _behind(road: Road, safe_slot: int) -> str | None:
    """An address the indexer has not read that far."""
    deployment = road.deployment
    watched = [str(a) for a in (deployment.till_vault, deployment.payouts, deployment.program_id)]
    async with reading(road.pool) as conn:
        rows = await conn.fetch(_SQL["read_to"], road.cluster, watched)
        read_to = {row["address"]: row["slot"] for row in rows}
        behind = next((a for a in watched if read_to.get(a, -1) < safe_slot), None)
        if behind is not None:
            await conn.execute(_SQL["want_reading"], road.cluster)
    return behind


async def _pass(road: Road, till: Till, found: Gate) -> None:
    async with transaction(road.pool) as tx:
        following = await next_number(tx, till, road.deployment)
        passed = await tx.fetchval(_SQL["pass_gate"], found.gate_id, following)
    if passed is not None:
        _log.warning("payout_gate_opened", reason=found.reason, next_number=following)


def _told(found: Gate, what: str) -> str:
    return f"the gate before numbers is closed ({found.reason}): {what}"
