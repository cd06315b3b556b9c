"""Up to which slot each watched address has been read: everything at or below it is in the books.

The indexer moves a frontier, in the same transaction as the last thing below it, by compare and
swap; reconcile waits for it, and says so, for an indexer that has nothing to do looks seldom. The
database refuses one that goes back.
"""

from collections.abc import Mapping
from typing import Final

from settlement.db.pool import ReadConn, Tx
from settlement.db.sql import load
from settlement.errors import Conflict
from settlement.money import Slot

# Where `want` is heard; what is sent is the cluster.
WANTED: Final = "podledger_frontier_wanted"
_SQL = load("settlement.reconcile", "reconcile.sql")


class FrontierMoved(Conflict):
    """Another process moved this frontier first: read it again and do the work above it again."""


async def read(conn: ReadConn, cluster: str) -> Mapping[str, Slot]:
    """The frontier of each address of the cluster that has one."""
    rows = await conn.fetch(_SQL["read_frontier"], cluster)
    return {row["address"]: Slot(row["slot"]) for row in rows}


async def want(conn: ReadConn, cluster: str) -> None:
    """Ask the indexer to look now."""
    await conn.execute(_SQL["want_frontier"], cluster)


async def advance(tx: Tx, cluster: str, address: str, *, expected: Slot | None, to: Slot) -> None:
    """Move a frontier from `expected` (None: there is none yet) up to `to`.

    Raises `FrontierMoved` when it does not stand at `expected`.
    """
    assert expected is None or expected <= to, "a frontier never goes back"
    if expected is None:
        moved = await tx.fetchval(_SQL["start_frontier"], cluster, address, to)
    else:
        moved = await tx.fetchval(_SQL["advance_frontier"], cluster, address, expected, to)
    if moved is None:
        raise FrontierMoved(cluster=cluster, address=address, expected=expected, to=to)
