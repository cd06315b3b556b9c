"""Reads the journal for the check of the books: short keyset pages, each in a snapshot of its own.

What lies at or below a writer's head never changes, so pages of it need no common snapshot. A page
of what does change (balances) is read in one short snapshot with the heads: these are the cut that
history must be folded up to before the page means anything.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import accumulate
from typing import Final
from uuid import UUID

import asyncpg

from settlement.db import sql
from settlement.db.pool import Pool, ReadConn, reading, retried
from settlement.ledger.verify_fold import Batch, Head
from settlement.ledger.verify_rows import ChargeRow, HoldRow, JournalRow, TxnRow

QUERIES: Final = sql.load("settlement.ledger", "verify.sql")
_BATCHES_PER_PAGE: Final = 200
_ROWS_PER_PAGE: Final = 5_000

Record = asyncpg.Record


@dataclass(frozen=True, kw_only=True)
class FullBatch:
    """A batch with all rows that say they are of it."""

    batch: Batch
    rows: Sequence[JournalRow]


@asynccontextmanager
async def snapshot(pool: Pool) -> AsyncGenerator[ReadConn]:
    """A connection whose few statements see the same moment; to be left soon."""
    async with reading(pool) as conn, conn.transaction(isolation="repeatable_read", readonly=True):
        yield conn


async def read_books(pool: Pool) -> str:
    """The name of these books: server and database."""

    async def read() -> str:
        async with reading(pool) as conn:
            return str(await conn.fetchval(QUERIES["books"]))

    return await retried(read)


async def heads(conn: ReadConn) -> list[Head]:
    """How far each writer is."""
    return [Head(**dict(row)) for row in await conn.fetch(QUERIES["heads"])]


async def full_batches(pool: Pool, head: Head, after: int) -> list[FullBatch]:
    """The next batches of a writer after number `after`, up to its head; empty when none is left.

    Raises `DatabaseUnavailable` when the database stays away.
    """

    async def read() -> list[FullBatch]:
        async with reading(pool) as conn:
            found = await conn.fetch(
                QUERIES["batches"], head.writer_id, after, head.head_seq, _BATCHES_PER_PAGE
            )
            batches = [Batch(**dict(row)) for row in found]
            totals = accumulate(batch.n for batch in batches)
            few = [b for b, total in zip(batches, totals, strict=True) if total <= _ROWS_PER_PAGE]
            return await _with_rows(conn, few or batches[:1])

    return await retried(read)


async def _with_rows(conn: ReadConn, batches: Sequence[Batch]) -> list[FullBatch]:
    if not batches:
        return []
    span = batches[0].writer_id, batches[0].seq, batches[-1].seq
    rows: dict[int, list[JournalRow]] = {}
    for row in await conn.fetch(QUERIES["charges"], *span):
        rows.setdefault(row["batch_seq"], []).append(ChargeRow(**dict(row)))
    for row in await conn.fetch(QUERIES["hold_events"], *span):
        rows.setdefault(row["batch_seq"], []).append(HoldRow(**dict(row)))
    for txn in await _transactions(conn, span):
        rows.setdefault(txn.batch_seq, []).append(txn)
    return [FullBatch(batch=batch, rows=rows.get(batch.seq, [])) for batch in batches]


async def _transactions(conn: ReadConn, span: tuple[int, int, int]) -> list[TxnRow]:
    found = await conn.fetch(QUERIES["txns"], *span)
    if not found:
        return []
    moved: dict[UUID, list[tuple[int, int, int, int, int]]] = {}
    for row in await conn.fetch(QUERIES["transfers"], [row["row_id"] for row in found]):
        legs = moved.setdefault(row["txn_id"], [])
        legs.append(
            (row["debit"], row["credit"], row["amount"], row["debit_entry"], row["credit_entry"])
        )
    return [TxnRow(**dict(row), transfers=tuple(moved.get(row["row_id"], ()))) for row in found]


async def hold_page(pool: Pool, after: str | None, size: int) -> list[Record]:
    """The next holds by id, each with what its events say it is."""
    key = None if after is None else UUID(after)

    async def read() -> list[Record]:
        async with reading(pool) as conn:
            return await conn.fetch(QUERIES["hold_page"], key, size)

    return await retried(read)


async def stray_row(pool: Pool) -> Record | None:
    """A row that belongs to no batch."""

    async def read() -> Record | None:
        async with reading(pool) as conn:
            return await conn.fetchrow(QUERIES["stray_row"])

    return await retried(read)


async def account_page(pool: Pool, after: int, size: int) -> tuple[list[Head], list[Record]]:
    """The next accounts by id, with the cut at which their balances stood so."""

    async def read() -> tuple[list[Head], list[Record]]:
        async with snapshot(pool) as conn:
            return await heads(conn), await conn.fetch(QUERIES["account_page"], after, size)

    return await retried(read)


async def accounts_of(pool: Pool, ids: Sequence[int]) -> tuple[list[Head], list[Record]]:
    """These accounts, with the cut at which their balances stood so."""

    async def read() -> tuple[list[Head], list[Record]]:
        async with snapshot(pool) as conn:
            return await heads(conn), await conn.fetch(QUERIES["accounts_of"], ids)

    return await retried(read)


async def current_heads(pool: Pool) -> list[Head]:
    """A cut: how far each writer is at one moment."""

    async def read() -> list[Head]:
        async with reading(pool) as conn:
            return await heads(conn)

    return await retried(read)
