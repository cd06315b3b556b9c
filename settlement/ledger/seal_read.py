"""Reads seals and what hangs on them; nothing of it ever changes once it is there."""

from collections.abc import Iterable, Sequence
from typing import Final

import asyncpg

from settlement.db import sql
from settlement.db.pool import ReadConn
from settlement.errors import NotFound
from settlement.ledger.merkle import Node
from settlement.ledger.seal_rows import Cut, Seal, Snapshot
from settlement.ledger.verify_chain import Place

QUERIES: Final = sql.load("settlement.ledger", "seal.sql")


class SealMissing(NotFound):
    """There is no seal of that number."""


async def last_seal(conn: ReadConn) -> Seal | None:
    """The newest seal; None before the first."""
    return _seal(await conn.fetchrow(QUERIES["last_seal"]))


async def seal_after(conn: ReadConn, seal_no: int) -> Seal | None:
    """The first seal after this number; None when there is none yet."""
    return _seal(await conn.fetchrow(QUERIES["seal_after"], seal_no))


async def seal_of(conn: ReadConn, seal_no: int) -> Seal:
    """The seal of this number. Raises `SealMissing`."""
    found = _seal(await conn.fetchrow(QUERIES["seal"], seal_no))
    if found is None:
        raise SealMissing(seal=seal_no)
    return found


def _seal(row: asyncpg.Record | None) -> Seal | None:
    return None if row is None else Seal(**dict(row))


async def cuts(conn: ReadConn, seal_no: int) -> list[Cut]:
    """The batches that a seal added, by writer."""
    return [Cut(*row) for row in await conn.fetch(QUERIES["cuts"], seal_no)]


async def sealed_places(conn: ReadConn) -> dict[int, Place]:
    """How far each writer's chain is sealed; writers of whom nothing is are left out."""
    rows = await conn.fetch(QUERIES["sealed_places"])
    return {
        row["writer_id"]: Place(seq=row["seq"], hash=row["hash"], rows=row["rows"]) for row in rows
    }


async def newest_snapshots(conn: ReadConn, accounts: Sequence[int]) -> list[Snapshot]:
    """Where these accounts stood at the last seal; those that had no entry then are left out."""
    return [Snapshot(*row) for row in await conn.fetch(QUERIES["newest_snapshots"], accounts)]


async def snapshot_page(conn: ReadConn, seal_no: int, after: int, size: int) -> list[Snapshot]:
    """A page of a seal's snapshots, by account."""
    rows = await conn.fetch(QUERIES["snapshot_page"], seal_no, after, size)
    return [Snapshot(*row) for row in rows]


async def nodes(conn: ReadConn, wanted: Iterable[Node]) -> dict[Node, bytes]:
    """The hashes of these nodes of kept levels, where they are kept."""
    asked = list(wanted)
    rows = await conn.fetch(
        QUERIES["nodes"], [node.level for node in asked], [node.index for node in asked]
    )
    return {Node(row["level"], row["index"]): row["hash"] for row in rows}


async def stray_of_seals(conn: ReadConn) -> asyncpg.Record | None:
    """What belongs to no seal."""
    return await conn.fetchrow(QUERIES["stray_of_seals"])
