"""Where entries are not at hand any more, a report says so instead of leaving them out."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, date, datetime

import pytest

from localnet import postgres
from settlement.db.pool import Pool, open_pool, reading
from settlement.money import Slot
from settlement.reports import statement as statements
from settlement.reports.export import Format, export
from settlement.reports.journal import EntriesMissing, read_cut
from settlement.reports.transaction import Days
from settlement.reports.trial import trial_balance_at
from tests import conftest, factories
from tests.conftest import Database
from tests.database.conftest import Books, open_books

_LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)


@pytest.fixture
async def loose(
    postgres_cluster: postgres.Cluster, migrated_template: str
) -> AsyncIterator[Database]:
    """A database that may be left damaged."""
    async for database in conftest._database(postgres_cluster, template=migrated_template):
        yield database


@pytest.fixture
async def torn(loose: Database) -> AsyncIterator[Books]:
    """Books in which the first of two charges is gone."""
    pool = await open_pool(loose.dsn, role="pod_coordinator", application="test")
    books = await open_books(loose, pool, [25_000_000])
    holds = [factories.hold(books.user, 10) for _ in range(2)]
    await books.apply(*holds)
    for one in holds:
        await books.apply(factories.charge(one.hold_id, books.user, books.host, 5))
    await books.execute(
        "set session_replication_role = replica;"
        f" delete from settlement.charge where request_id = '{holds[0].hold_id}'"
    )
    yield books
    await pool.close()


async def _exported(pool: Pool, _books: Books) -> object:
    cut, days = await read_cut(pool), Days(last=date(2001, 1, 1))
    return [piece async for piece in export(pool, Format.JSONL, cut, days, lambda _: None)]


async def _trial(pool: Pool, _books: Books) -> object:
    return await trial_balance_at(pool, await read_cut(pool), _LONG_AGO, lambda _: None)


async def _statement(pool: Pool, books: Books) -> object:
    async with reading(pool) as conn:
        return await statements.statement(conn, books.user)


async def _next_page(pool: Pool, books: Books) -> object:
    async with reading(pool) as conn:
        return await statements.statement(conn, books.user, after=2)


async def _at_entry(pool: Pool, books: Books) -> object:
    async with reading(pool) as conn:
        return await statements.balance_at_entry(conn, books.user, 3)


async def _at_moment(pool: Pool, books: Books) -> object:
    async with reading(pool) as conn:
        return await statements.balance_at(conn, books.host, _LONG_AGO)


async def _at_slot(pool: Pool, books: Books) -> object:
    async with reading(pool) as conn:
        return await statements.balance_at_slot(conn, books.user, Slot(100))


@pytest.mark.parametrize(
    "report", [_exported, _trial, _statement, _next_page, _at_entry, _at_moment, _at_slot]
)
async def test_a_report_does_not_leave_entries_out(
    report: Callable[[Pool, Books], Awaitable[object]], torn: Books
) -> None:
    with pytest.raises(EntriesMissing):
        await report(torn.pool, torn)
