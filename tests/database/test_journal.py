"""The journal as others are told it: whole, balanced, the same for the same cut, beside writers."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from datetime import date, timedelta
from typing import Any
from uuid import uuid4

import pytest

from settlement.db.pool import Pool, open_pool
from settlement.ledger import accounts, store
from settlement.reports import journal
from settlement.reports.export import READINGS, Format, export
from settlement.reports.journal import batches_in, read_cut
from settlement.reports.transaction import Cut, Days
from tests import factories
from tests.conftest import Database
from tests.database.conftest import Books
from tests.database.traffic import random_day
from tests.foreign_books import read_beancount

_EVERY_DAY = Days()


@pytest.fixture
async def reader(database: Database) -> AsyncIterator[Pool]:
    """Connections that may only read."""
    opened = await open_pool(database.dsn, role="pod_finance", application="test")
    yield opened
    await opened.close()


def ignored(more: int) -> None:
    """Nobody watches."""
    assert more > 0


async def told(
    pool: Pool, cut: Cut, days: Days = _EVERY_DAY, format_: Format = Format.JSONL
) -> str:
    return "".join([piece async for piece in export(pool, format_, cut, days, ignored)])


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


async def test_every_entry_is_told_once(database: Database, reader: Pool, books: Books) -> None:
    await random_day(database, seed=1)
    cut = await read_cut(reader)
    head, *rows = lines(await told(reader, cut))
    legs = Counter(
        (leg["account"], leg["entry"], leg["dr"], leg["cr"]) for row in rows for leg in row["legs"]
    )
    stored = await reader.fetch(
        "select a.name, e.entry, e.dr, e.cr from settlement.entry e join settlement.account a"
        " using (account_id)"
    )
    assert legs == Counter(tuple(row) for row in stored)
    assert {each["account"] for each in head["accounts"]} == {row["name"] for row in stored}
    assert len({(row["writer"], row["batch"], row["row"]) for row in rows}) == len(rows)
    assert [row["recorded_at"] for row in rows] == sorted(row["recorded_at"] for row in rows)
    assert len(head["cut"]) == 3


@pytest.mark.parametrize("format_", Format)
async def test_the_same_cut_is_the_same_bytes(
    format_: Format, database: Database, reader: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await random_day(database, seed=2, steps=20)
    cut = await read_cut(reader)
    before = await told(reader, cut, format_=format_)
    await random_day(database, seed=3, steps=20)
    assert await told(reader, cut, format_=format_) == before
    for batches, rows in ((1, 5_000), (7, 1), (3, 20)):
        monkeypatch.setattr(journal, "BATCHES_PER_PAGE", batches)
        monkeypatch.setattr(journal, "ROWS_PER_PAGE", rows)
        assert await told(reader, cut, format_=format_) == before


async def test_a_telling_beside_writers_is_of_its_cut(
    database: Database, reader: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "BATCHES_PER_PAGE", 1)
    await random_day(database, seed=4, steps=20)
    cut = await read_cut(reader)
    beside = asyncio.create_task(random_day(database, seed=5, steps=40))
    texts = [await told(reader, cut)]
    while not beside.done():
        texts.append(await told(reader, cut))
        newest = lines(await told(reader, await read_cut(reader)))
        assert len(newest) >= len(lines(texts[0]))
    await beside
    assert len(set(texts)) == 1


async def test_every_batch_is_counted_as_it_is_read(database: Database, reader: Pool) -> None:
    await random_day(database, seed=6, steps=8)
    cut = await read_cut(reader)
    read: list[int] = []
    async for _ in export(reader, Format.JSONL, cut, _EVERY_DAY, read.append):
        pass
    assert sum(read) == READINGS * batches_in(cut)


async def test_days_are_told_from_where_the_accounts_stood(
    database: Database, reader: Pool
) -> None:
    await random_day(database, seed=7)
    cut = await read_cut(reader)
    whole = lines(await told(reader, cut))[1:]
    days = sorted({date.fromisoformat(row["effective_on"]) for row in whole})
    assert len(days) > 4
    # A reversal counts on the day that it says, not on the one that it happened.
    assert any(row["effective_on"] > row["event_at"][:10] for row in whole)
    chosen = Days(first=days[1], last=days[-2])
    head, *rows = lines(await told(reader, cut, chosen))
    assert [row for row in whole if chosen.hold(date.fromisoformat(row["effective_on"]))] == rows
    before = _sums(row for row in whole if date.fromisoformat(row["effective_on"]) < days[1])
    assert {one["account"]: one["units"] for one in head["opening"]} == before
    upto = await told(reader, cut, Days(last=days[-2]), Format.BEANCOUNT)
    middle = await told(reader, cut, chosen, Format.BEANCOUNT)
    one, other = read_beancount(upto), read_beancount(middle)
    assert (one.errors, other.errors) == ((), ())
    assert one.balances == other.balances


def _sums(rows: Iterable[dict[str, Any]]) -> dict[str, int]:
    sums: Counter[str] = Counter()
    for row in rows:
        for leg in row["legs"]:
            sums[leg["account"]] += leg["units"]
    return {account: units for account, units in sums.items() if units}


async def test_days_without_anything(books: Books, reader: Pool) -> None:
    cut = await read_cut(reader)
    long_ago, later = factories.NOW.date() - timedelta(days=9), factories.NOW.date()
    head, *rows = lines(await told(reader, cut, Days(last=long_ago)))
    assert (head["accounts"], head["opening"], rows) == ([], [], [])
    after = Days(first=later + timedelta(days=9))
    head, *rows = lines(await told(reader, cut, after))
    assert (len(head["opening"]), rows) == (2, [])
    assert read_beancount(await told(reader, cut, after, Format.BEANCOUNT)).errors == ()


async def test_empty_books_are_told(database: Database, reader: Pool) -> None:
    assert await read_cut(reader) == ()
    assert len(lines(await told(reader, ()))) == 1


async def test_a_writer_that_only_holds_tells_nothing(books: Books, reader: Pool) -> None:
    second = await store.open_writer(books.pool, "second")
    await books.apply(factories.hold(books.user, 5), writer=second)
    await books.open(accounts.user(uuid4()))
    head, *rows = lines(await told(reader, await read_cut(reader)))
    assert (len(rows), len(head["accounts"]), len(head["cut"])) == (1, 2, 2)
