"""Reads what is archived out of the database, and calls what lets a day go; each may be repeated.

A day that is closed does not change, so pages of it need no common snapshot.
"""

from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final, LiteralString, NamedTuple
from uuid import UUID

import asyncpg

from settlement.db import sql
from settlement.db.pool import Pool, ReadConn, reading, retried, transaction
from settlement.errors import Refused
from settlement.ledger import verify_hash
from settlement.ledger.archive_check import ArchiveWrong
from settlement.ledger.archive_rows import Archived
from settlement.ledger.verify_rows import ChargeRow

QUERIES: Final = sql.load("settlement.ledger", "archive.sql")
ROWS_AT_ONCE: Final = 10_000
_OF_CHARGE: Final = len(ChargeRow._fields)
_DAY: Final = timedelta(days=1)
# For the locks that stop everybody who settles: short waits, many of them.
_ATTEMPTS: Final = 9
_NOT_YET: Final = ("PL012", "PL014")
_NOT_ITS_OWN: Final = "PL015"


class DayOpen(Refused):
    """The day is not over, or an older one is still at hand."""


@dataclass(frozen=True, kw_only=True)
class Due:
    """A day that may go: how large it is, about how many rows it has, and whether it is sealed."""

    day: date
    bytes: int
    about_rows: int
    sealed: bool


class Stretch(NamedTuple):
    """Batches of one writer in the cut of one seal; `base` counts the writer's rows before it."""

    writer_id: int
    treasury_account: int
    first_leaf: int
    base: int
    from_seq: int
    to_seq: int

    def row(self, record: asyncpg.Record) -> Archived:
        """A row with its place in the tree."""
        charge = ChargeRow(*record[:_OF_CHARGE])
        return Archived(
            charge,
            self.treasury_account,
            record["created_at"],
            self.first_leaf + record["rows_before"] - self.base + charge.ord - 1,
            verify_hash.leaf(charge.text),
        )


async def due(pool: Pool, before: date) -> list[Due]:
    """The days at hand before this one, oldest first."""

    async def read() -> list[Due]:
        async with reading(pool) as conn:
            return [
                Due(**dict(row), sealed=not await unsealed(conn, row["day"]))
                for row in await conn.fetch(QUERIES["due"], before)
            ]

    return await retried(read)


async def unsealed(conn: ReadConn, day: date) -> list[dict[str, object]]:
    """Writers whose rows of the day are not all sealed: up to which batch they are, and should."""
    return [dict(row) for row in await conn.fetch(QUERIES["unsealed"], *_names_of(day))]


async def rows_folded(pool: Pool, day: date) -> int:
    """How many rows of a day have been added up."""
    async with reading(pool) as conn:
        return int(await conn.fetchval(QUERIES["folded"], day))


async def stretches(pool: Pool, day: date) -> list[Stretch]:
    """Where the rows of a day that was added up stand, in the order of the tree."""
    async with reading(pool) as conn:
        return [Stretch(*row) for row in await conn.fetch(QUERIES["stretches"], day)]


async def pages(pool: Pool, day: date) -> AsyncGenerator[list[Archived]]:
    """The rows of a day that was added up, in the order of the tree."""
    for stretch in await stretches(pool, day):
        after = (stretch.from_seq, 0)
        while rows := await _page(pool, day, stretch, after):
            yield rows
            after = (rows[-1].charge.batch_seq, rows[-1].charge.ord)


async def _page(pool: Pool, day: date, stretch: Stretch, after: tuple[int, int]) -> list[Archived]:
    span = (*_names_of(day), stretch.writer_id, *after, stretch.to_seq, ROWS_AT_ONCE)

    async def read() -> list[Archived]:
        async with reading(pool) as conn:
            return [stretch.row(record) for record in await conn.fetch(QUERIES["rows"], *span)]

    return await retried(read)


def _names_of(day: date) -> tuple[UUID, UUID]:
    """Between which names the requests of a day lie."""
    low = datetime(day.year, day.month, day.day, tzinfo=UTC)
    first, last = (UUID(int=int(at.timestamp()) * 1_000 << 80) for at in (low, low + _DAY))
    return first, last


async def call(pool: Pool, query: LiteralString, *arguments: object) -> int | None:
    """One call of a function of the books, in a transaction of its own; a lock is waited for.

    Raises `DayOpen`, `ArchiveWrong`, `DatabaseUnavailable`.
    """

    async def step() -> int | None:
        async with transaction(pool) as tx:
            return await tx.fetchval(query, *arguments)

    with _refusals():
        return await retried(step, attempts=_ATTEMPTS)


async def let_go(pool: Pool, day: date, manifest: str) -> None:
    """The day leaves the journal; again is no change. Raises what `call` raises."""

    async def step() -> None:
        async with transaction(pool) as tx:
            # It may have been done, and the answer lost.
            if not await tx.fetchval(QUERIES["is_archived"], day, manifest):
                await tx.execute(QUERIES["archive"], day, manifest)

    with _refusals():
        await retried(step, attempts=_ATTEMPTS)


@contextmanager
def _refusals() -> Generator[None]:
    """What the database refuses, in our words."""
    try:
        yield
    except asyncpg.PostgresError as error:
        if error.sqlstate in _NOT_YET:
            raise DayOpen(problem=str(error)) from error
        if error.sqlstate == _NOT_ITS_OWN:
            raise ArchiveWrong(rule="manifest", problem=str(error)) from error
        raise
