"""The trial balance from the balances and the one from the journal are the same, at any moment."""

from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from settlement.db.pool import Pool, open_pool
from settlement.reports.journal import batches_in, read_cut
from settlement.reports.trial import trial_balance, trial_balance_at
from tests import factories
from tests.conftest import Database
from tests.database.conftest import Books
from tests.database.traffic import random_day

_LATER = datetime(2999, 1, 1, tzinfo=UTC)


@pytest.fixture
async def reader(database: Database) -> AsyncIterator[Pool]:
    """Connections that may only read."""
    opened = await open_pool(database.dsn, role="pod_finance", application="test")
    yield opened
    await opened.close()


async def test_balances_and_journal_say_the_same(database: Database, reader: Pool) -> None:
    await random_day(database, seed=11)
    cut = await read_cut(reader)
    read: list[int] = []
    added_up = await trial_balance_at(reader, cut, _LATER, read.append)
    stored = await trial_balance(reader)
    assert added_up.lines == stored.lines
    assert (added_up.at, stored.at) == (_LATER, None)
    assert (added_up.balanced, stored.balanced) == (True, True)
    assert sum(read) == batches_in(cut)
    codes = [line.account.gl_code for line in stored.lines]
    assert codes == sorted(codes)


async def test_each_moment_has_its_own(database: Database, reader: Pool) -> None:
    await random_day(database, seed=12, steps=12)
    cut = await read_cut(reader)
    rows = await reader.fetch(
        "select e.recorded_at, a.name, e.dr, e.cr from settlement.entry e"
        " join settlement.account a using (account_id)"
    )
    moments = sorted({row["recorded_at"] for row in rows})
    for moment in (moments[0] - timedelta(microseconds=1), *moments[:: len(moments) // 6]):
        expected: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
        for row in rows:
            if row["recorded_at"] <= moment:
                expected[row["name"]][0] += row["dr"]
                expected[row["name"]][1] += row["cr"]
        found = await trial_balance_at(reader, cut, moment, lambda _: None)
        assert {line.account.name: [line.dr, line.cr] for line in found.lines} == expected
        assert found.balanced


async def test_what_comes_later_is_not_in_it(books: Books, reader: Pool) -> None:
    cut = await read_cut(reader)
    before = await trial_balance_at(reader, cut, _LATER, lambda _: None)
    await books.apply(factories.deposit(books.user, 5))
    assert await trial_balance_at(reader, cut, _LATER, lambda _: None) == before
    now = await trial_balance(reader)
    assert [line.dr + line.cr for line in now.lines] == [25_000_005, 25_000_005]


async def test_empty_books_balance(database: Database, reader: Pool) -> None:
    found = await trial_balance(reader)
    assert (found.lines, found.totals, found.balanced) == ((), (), True)
