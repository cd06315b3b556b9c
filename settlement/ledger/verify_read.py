"""Reads the journal for the check of the books: short keyset pages, each in a snapshot of its own.

What lies at or below a writer's head never changes, so pages of it need no common snapshot. A page
of what does change (balances, open holds) is read in one short snapshot with the heads: these are
the cut that history must be folded up to before the page means anything.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import accumulate
from typing import Final, TypeVar
from uuid import UUID

import asyncpg

from settlement.db import sql
from settlement.db.pool import Pool, ReadConn, reading, retried
from settlement.ledger.verify_chain import Batch, FullBatch, Head, Place
from settlement.ledger.verify_holds import Standing
from settlement.ledger.verify_rows import ChargeRow, HoldRow, JournalRow, TxnRow

QUERIES: Final = sql.load("settlement.ledger", "verify.sql")
_BATCHES_PER_PAGE: Final = 200
_ROWS_PER_PAGE: Final = 5_000
_ROWS_AT_ONCE: Final = 1_000

Record = asyncpg.Record
T = TypeVar("T")


@asynccontextmanager
async def snapshot(pool: Pool) -> AsyncGenerator[ReadConn]:
    """A connection whose few statements see the same moment; to be left soon."""
    async with reading(pool) as conn, conn.transaction(isolation="repeatable_read", readonly=True):
        yield conn


async def _read(pool: Pool, ask: Callable[[ReadConn], Awaitable[T]]) -> T:
    """One question on a connection, asked again when the database was away."""

    async def step() -> T:
        async with reading(pool) as conn:
            return await ask(conn)

    return await retried(step)


async def _read_at_once(
    pool: Pool, ask: Callable[[ReadConn], Awaitable[T]]
) -> tuple[list[Head], T]:
    """The heads, and what is asked, in one snapshot."""

    async def step() -> tuple[list[Head], T]:
        async with snapshot(pool) as conn:
            return await heads(conn), await ask(conn)

    return await retried(step)


async def read_books(pool: Pool) -> str:
    """The name of these books: server and database."""
    return await _read(pool, lambda conn: conn.fetchval(QUERIES["books"]))


async def heads(conn: ReadConn) -> list[Head]:
    """How far each writer is."""
    return [Head(**dict(row)) for row in await conn.fetch(QUERIES["heads"])]


async def current_heads(pool: Pool) -> list[Head]:
    """A cut: how far each writer is at one moment."""
    return await _read(pool, heads)


async def by_time(
    pool: Pool, cut: Sequence[Head], places: Mapping[int, Place]
) -> AsyncGenerator[list[FullBatch]]:
    """All batches from where chains were followed to, up to a cut; of several writers by time.

    Batches come in short lists; the next pages are being read meanwhile. A chain that ends before
    the cut ends early. Raises `DatabaseUnavailable` when the database stays away.
    """
    feeds = [_Feed(pool, head, places.get(head.writer_id)) for head in cut]
    try:
        while ready := await _next_list(feeds):
            yield ready
            await asyncio.sleep(0)  # what the database sends is taken in
    finally:
        for feed in feeds:
            await feed.stop()


async def _next_list(feeds: "Sequence[_Feed]") -> list[FullBatch]:
    for feed in feeds:
        await feed.fill()
    ready: list[FullBatch] = []
    rows = 0
    while rows < _ROWS_AT_ONCE and not any(feed.dry for feed in feeds):
        waiting = [feed for feed in feeds if feed.waiting]
        if not waiting:
            break
        earliest = min(waiting, key=lambda feed: feed.waiting[0].batch.created_at)
        ready.append(earliest.waiting.popleft())
        rows += len(ready[-1].rows)
    return ready


class _Feed:
    """The batches of one writer that wait to be folded; the page after them is on its way."""

    def __init__(self, pool: Pool, head: Head, place: Place | None) -> None:
        self.waiting: deque[FullBatch] = deque()
        self._pool = pool
        self._head = head
        self._after = 0 if place is None else place.seq
        self._coming: asyncio.Task[list[FullBatch]] | None = None

    @property
    def dry(self) -> bool:
        """Whether the next batch must be waited for."""
        return not self.waiting and self._after < self._head.head_seq

    async def fill(self) -> None:
        """Have the next batch, if there is one; a chain that ends early is read no further."""
        if self.dry:
            found = await self._page()
            self._after = found[-1].batch.seq if found else self._head.head_seq
            self.waiting.extend(found)
        if self._coming is None and self._after < self._head.head_seq:
            page = _full_batches(self._pool, self._head, self._after)
            self._coming = asyncio.create_task(page)

    async def stop(self) -> None:
        """Nobody wants the next page any more: let its connection come back whole."""
        if self._coming is not None:
            await asyncio.gather(self._coming, return_exceptions=True)

    async def _page(self) -> list[FullBatch]:
        if self._coming is None:
            return await _full_batches(self._pool, self._head, self._after)
        coming, self._coming = self._coming, None
        return await coming


async def _full_batches(pool: Pool, head: Head, after: int) -> list[FullBatch]:
    """The next batches of a writer after a number, up to its head; empty when none is left."""

    async def ask(conn: ReadConn) -> list[FullBatch]:
        found = await conn.fetch(
            QUERIES["batches"], head.writer_id, after, head.head_seq, _BATCHES_PER_PAGE
        )
        batches = [Batch(**dict(row)) for row in found]
        totals = accumulate(batch.n for batch in batches)
        few = [b for b, total in zip(batches, totals, strict=True) if total <= _ROWS_PER_PAGE]
        return await _with_rows(conn, head, few or batches[:1])

    return await _read(pool, ask)


async def _with_rows(conn: ReadConn, head: Head, batches: Sequence[Batch]) -> list[FullBatch]:
    if not batches:
        return []
    rows = await rows_between(conn, head.writer_id, batches[0].seq, batches[-1].seq)
    return [FullBatch.of(head, batch, rows.get(batch.seq, ())) for batch in batches]


async def rows_between(
    conn: ReadConn, writer_id: int, first: int, last: int
) -> dict[int, list[JournalRow]]:
    """The rows of a range of a writer's batches, by batch."""
    span = writer_id, first, last
    rows: dict[int, list[JournalRow]] = {}
    for record in await conn.fetch(QUERIES["charges"], *span):
        charge = ChargeRow._make(record)
        rows.setdefault(charge.batch_seq, []).append(charge)
    for record in await conn.fetch(QUERIES["hold_events"], *span):
        event = HoldRow._make(record)
        rows.setdefault(event.batch_seq, []).append(event)
    for txn in await _transactions(conn, span):
        rows.setdefault(txn.batch_seq, []).append(txn)
    return rows


async def _transactions(conn: ReadConn, span: tuple[int, int, int]) -> list[TxnRow]:
    found = [TxnRow(*record) for record in await conn.fetch(QUERIES["txns"], *span)]
    if not found:
        return []
    moved: dict[UUID, list[tuple[int, int, int, int, int]]] = {}
    for row in await conn.fetch(QUERIES["transfers"], [txn.row_id for txn in found]):
        legs = moved.setdefault(row["txn_id"], [])
        legs.append(
            (row["debit"], row["credit"], row["amount"], row["debit_entry"], row["credit_entry"])
        )
    return [txn._replace(transfers=tuple(moved.get(txn.row_id, ()))) for txn in found]


async def hold_page(pool: Pool, after: UUID | None, size: int) -> Record:
    """A page of all holds by id: how many, the last of them, and one that nobody placed."""
    row = await _read(pool, lambda conn: conn.fetchrow(QUERIES["hold_page"], after, size))
    assert row is not None, "a count is one row"
    return row


async def holds_now(pool: Pool, ids: Sequence[UUID]) -> tuple[list[Head], dict[UUID, Standing]]:
    """How these holds stand, with the cut at which they do."""

    async def ask(conn: ReadConn) -> dict[UUID, Standing]:
        found = await conn.fetch(QUERIES["holds"], ids)
        return {row["hold_id"]: (row["state"], row["captured"], row["released"]) for row in found}

    return await _read_at_once(pool, ask)


async def holds_before(pool: Pool, ids: Sequence[UUID]) -> list[Record]:
    """Of these holds, those that were placed; and by which batch."""
    return await _read(pool, lambda conn: conn.fetch(QUERIES["holds_before"], ids))


async def held_now(pool: Pool) -> tuple[list[Head], dict[int, int]]:
    """What all open holds set aside, by account, with the cut at which they did."""

    async def ask(conn: ReadConn) -> dict[int, int]:
        found = await conn.fetch(QUERIES["held_now"])
        return {row["account_id"]: row["held"] for row in found}

    return await _read_at_once(pool, ask)


async def archived_up_to(pool: Pool) -> int:
    """The first seal that has every row of the days that are archived; 0 when none is."""
    return int(await _read(pool, lambda conn: conn.fetchval(QUERIES["archived_up_to"])))


async def stray_row(pool: Pool) -> Record | None:
    """A row that belongs to no batch."""
    return await _read(pool, lambda conn: conn.fetchrow(QUERIES["stray_row"]))


async def account_page(pool: Pool, after: int, size: int) -> tuple[list[Head], list[Record]]:
    """The next accounts by id, with the cut at which their balances stood so."""
    return await _read_at_once(pool, lambda conn: conn.fetch(QUERIES["account_page"], after, size))


async def accounts_of(pool: Pool, ids: Sequence[int]) -> tuple[list[Head], list[Record]]:
    """These accounts, with the cut at which their balances stood so."""
    return await _read_at_once(pool, lambda conn: conn.fetch(QUERIES["accounts_of"], ids))
