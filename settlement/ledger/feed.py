"""What has happened in the books, for whoever acts on it: the chain of batches is the outbox.

A writer's batches are numbered without a gap, and become visible in that order: the lock on its
head is held until the commit. So a reader that remembers one number for each writer (a cut) can
miss nothing and see nothing twice, which a queue ordered by a sequence or by time cannot promise:
both are given out before the commit. No row is written for it beside what the commit holds anyway.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from settlement.db import sql
from settlement.db.pool import ReadConn
from settlement.ledger.operations import Head

_QUERIES: Final = sql.load("settlement.ledger", "feed.sql")
BATCHES_PER_PAGE: Final = 500


@dataclass(frozen=True, kw_only=True)
class Committed:
    """One batch: its writer, its place in that writer's chain, and how many rows it has."""

    writer_id: int
    head: Head
    rows: int


async def batches_after(
    conn: ReadConn, cut: Mapping[int, int], *, limit: int = BATCHES_PER_PAGE
) -> list[Committed]:
    """The next batches of every writer beyond `cut` (writer → number seen), in each one's order.

    A writer that is not in the cut is read from its beginning. Empty: nothing is new. Advance the
    cut by what was dealt with, together with its effect.
    """
    rows = await conn.fetch(_QUERIES["batches_after"], list(cut.keys()), list(cut.values()), limit)
    return [
        Committed(
            writer_id=row["writer_id"],
            head=Head(seq=row["seq"], hash=row["hash"]),
            rows=row["n"],
        )
        for row in rows
    ]


def advanced(cut: Mapping[int, int], seen: list[Committed]) -> dict[int, int]:
    """The cut after these batches."""
    return {**cut, **{batch.writer_id: batch.head.seq for batch in seen}}
