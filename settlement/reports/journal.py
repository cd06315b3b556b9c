"""Reads the journal as balanced transactions, up to a cut, beside whoever writes.

The cut (writer → head) is read first; rows above it are not read, and rows at or below it never
change. So the same cut tells the same transactions for ever, and pages of batches need no common
snapshot: each is one short statement.

An account's entries are numbered without a gap, so a reading of a whole cut knows when some of them
are not there (an archived partition): then nothing is told (`EntriesMissing`).

Told are first what a report must know before its first line (`open_journal`: which accounts there
are, where they stood), then the transactions in the order in which they were recorded
(`transactions`). Each reads the books once, in pages.
"""

from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from datetime import date, datetime
from heapq import heapify, heappop, heapreplace
from itertools import accumulate, groupby
from typing import Final, LiteralString

import asyncpg

from settlement.db import sql
from settlement.db.pool import Pool, reading, retried
from settlement.errors import Unavailable
from settlement.ledger.accounts import Side
from settlement.reports.transaction import (
    Account,
    Cut,
    Days,
    Head,
    Leg,
    Opening,
    Standing,
    Transaction,
    sums_by_asset,
)

QUERIES: Final = sql.load("settlement.reports", "journal.sql")
BATCHES_PER_PAGE: Final = 200
ROWS_PER_PAGE: Final = 5_000
_ACCOUNTS_AT_ONCE: Final = 5_000

Record = asyncpg.Record
# Told after each page: how many more batches have been read.
Told = Callable[[int], None]


class EntriesMissing(Unavailable):
    """Some of an account's entries are not at hand any more: history that was archived."""


class Numbers:
    """Which entries were seen of each account, to tell whether there were others."""

    def __init__(self) -> None:
        self._seen: Counter[int] = Counter()
        self._newest: dict[int, int] = {}

    def saw(self, account_id: int, entries: int, newest: int) -> None:
        """Some entries, and the highest number among them."""
        self._seen[account_id] += entries
        self._newest[account_id] = max(newest, self._newest.get(account_id, 0))

    def check(self) -> None:
        """Raises `EntriesMissing`."""
        for account_id, newest in self._newest.items():
            if self._seen[account_id] != newest:
                raise EntriesMissing(account=account_id, seen=self._seen[account_id], newest=newest)


@dataclass(frozen=True, kw_only=True)
class Span:
    """Batches of one writer that are read at once, both included."""

    writer_id: int
    first: int
    last: int


async def read_cut(pool: Pool) -> Cut:
    """How far every writer is, at one moment."""
    rows = await _fetched(pool, QUERIES["cut"])
    return tuple(Head(**dict(row)) for row in rows)


def batches_in(cut: Cut) -> int:
    """How many batches a reading of the cut goes through."""
    return sum(head.seq for head in cut)


async def spans(pool: Pool, head: Head) -> AsyncGenerator[Span]:
    """A writer's batches up to its head, in pages of not too many rows."""
    after = 0
    while page := await _fetched(
        pool, QUERIES["batch_sizes"], head.writer_id, after, head.seq, BATCHES_PER_PAGE
    ):
        totals = accumulate(row["n"] for row in page)
        fitting = [row for row, total in zip(page, totals, strict=True) if total <= ROWS_PER_PAGE]
        last: int = (fitting or page[:1])[-1]["seq"]
        yield Span(writer_id=head.writer_id, first=after + 1, last=last)
        after = last


async def open_journal(pool: Pool, cut: Cut, days: Days, told: Told) -> Opening:
    """What must be known before the first transaction of these days is told.

    Raises `EntriesMissing`.
    """
    first: dict[int, date] = {}
    before: Counter[int] = Counter()
    numbers = Numbers()
    for head in cut:
        async with aclosing(spans(pool, head)) as pages:
            async for span in pages:
                for row in await read_span(pool, QUERIES["touched"], span, days.first, days.last):
                    account_id: int = row["account_id"]
                    numbers.saw(account_id, row["entries"], row["newest"])
                    if row["first_day"] is not None:
                        first[account_id] = min(row["first_day"], first.get(account_id, date.max))
                        before[account_id] += row["dr_before"] - row["cr_before"]
                told(span.last - span.first + 1)
    numbers.check()
    named = await read_accounts(pool, first)
    standings = tuple(
        Standing(account=account, units=before[account.account_id])
        for account in named.values()
        if before[account.account_id]
    )
    assert not any(sums_by_asset(standings).values()), "the books balance on every day"
    return Opening(
        cut=cut,
        days=days,
        first_day=days.first or min(first.values(), default=None),
        accounts=tuple(named.values()),
        standings=standings,
    )


async def transactions(pool: Pool, opening: Opening, told: Told) -> AsyncGenerator[Transaction]:
    """The transactions of the days told, in the order recorded; a writer's stay in its order."""
    named = {account.account_id: account for account in opening.accounts}
    async with AsyncExitStack() as stack:
        waiting: list[tuple[datetime, int, Transaction, AsyncGenerator[Transaction]]] = []
        for head in opening.cut:
            stream = _of_writer(pool, head, opening.days, named, told)
            await stack.enter_async_context(aclosing(stream))
            if (first := await anext(stream, None)) is not None:
                waiting.append((first.recorded_at, head.writer_id, first, stream))
        heapify(waiting)
        while waiting:
            _, writer_id, next_one, stream = waiting[0]
            yield next_one
            if (following := await anext(stream, None)) is None:
                heappop(waiting)
            else:
                heapreplace(waiting, (following.recorded_at, writer_id, following, stream))


async def _of_writer(
    pool: Pool, head: Head, days: Days, named: dict[int, Account], told: Told
) -> AsyncGenerator[Transaction]:
    async with aclosing(spans(pool, head)) as pages:
        async for span in pages:
            rows = await read_span(pool, QUERIES["legs"], span)
            told(span.last - span.first + 1)
            for _, legs in groupby(rows, key=lambda row: (row["batch_seq"], row["ord"])):
                found = list(legs)
                if days.hold(found[0]["effective_on"]):
                    yield _transaction(head.writer_id, found, named)


def _transaction(writer_id: int, rows: Sequence[Record], named: dict[int, Account]) -> Transaction:
    first = rows[0]
    legs = tuple(
        Leg(account=named[row["account_id"]], entry=row["entry"], dr=row["dr"], cr=row["cr"])
        for row in rows
    )
    assert not any(sums_by_asset(legs).values()), "a transaction balances"
    return Transaction(
        writer_id=writer_id,
        batch_seq=first["batch_seq"],
        ord=first["ord"],
        kind=first["kind"],
        cause_id=first["cause_id"],
        external_ref=first["external_ref"],
        slot=first["slot"],
        event_at=first["event_at"],
        recorded_at=first["recorded_at"],
        effective_on=first["effective_on"],
        legs=legs,
    )


async def read_span(
    pool: Pool, query: LiteralString, span: Span, *arguments: object
) -> list[Record]:
    """What one of the queries above says of a page of batches."""
    return await _fetched(pool, query, span.writer_id, span.first, span.last, *arguments)


async def read_accounts(pool: Pool, ids: Iterable[int]) -> dict[int, Account]:
    """The accounts of these ids, by name."""
    wanted = sorted(ids)
    found: list[Account] = []
    for at in range(0, len(wanted), _ACCOUNTS_AT_ONCE):
        rows = await _fetched(pool, QUERIES["accounts"], wanted[at : at + _ACCOUNTS_AT_ONCE])
        found += [account_of(row) for row in rows]
    assert len(found) == len(wanted), "an account that moved is in the books"
    found.sort(key=lambda account: account.name)
    return {account.account_id: account for account in found}


def account_of(row: Record) -> Account:
    """The account that a row describes."""
    return Account(
        account_id=row["account_id"],
        name=row["name"],
        side=Side(row["side"]),
        asset=row["asset"],
        gl_code=row["gl_code"],
    )


async def _fetched(pool: Pool, query: LiteralString, *arguments: object) -> list[Record]:
    """The rows of one short statement. Raises `DatabaseUnavailable` when the database is away."""

    async def read() -> list[Record]:
        async with reading(pool) as conn:
            return await conn.fetch(query, *arguments)

    return await retried(read)
