"""A writer belongs to the role that opened it first: nobody else posts or lives in its name."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from settlement.db.migrate import Migration, migrations_of
from settlement.db.pool import Pool, calling, open_pool, transaction
from settlement.ledger import store
from settlement.ledger.everyday import EverydayRoad
from settlement.ledger.operations import Operation, Writer
from settlement.ledger.writer import GroupCommit
from tests import factories
from tests.conftest import Database
from tests.database.conftest import Books

THIS = 9  # the migration that binds writers


@pytest.fixture
async def indexer(database: Database) -> AsyncIterator[Pool]:
    """Connections in another role than the writer's of `books`."""
    opened = await open_pool(database.dsn, role="pod_indexer", application="test", size=2)
    yield opened
    await opened.close()


async def test_nobody_else_begins_a_life_of_a_writer(books: Books, indexer: Pool) -> None:
    with pytest.raises(store.WriterNotOurs):
        await store.open_writer(indexer, "coordinator")
    # Its own life goes on: nothing was fenced.
    assert await books.codes(factories.hold(books.user, 1)) == ["applied"]
    assert await books.fetchval("select epoch from settlement.writer") == 1


async def test_nobody_else_posts_as_a_writer(books: Books, indexer: Pool) -> None:
    paid = factories.hold(books.user, 5)
    await books.apply(paid)
    before = await _rows(books)
    for operation in (
        factories.deposit(books.user, 1),
        factories.hold(books.user, 1),
        factories.charge(paid.hold_id, books.user, books.host, 5),
    ):
        with pytest.raises(store.WriterNotOurs):
            await _posts(indexer, books.writer, operation)
    with pytest.raises(store.WriterNotOurs):
        async with calling(indexer) as conn:
            await EverydayRoad(books.writer).settle(conn, [], [factories.hold(books.user, 1)])
    assert await _rows(books) == before


async def test_a_process_with_anothers_writer_stops_at_once(books: Books, indexer: Pool) -> None:
    async with GroupCommit(indexer, books.writer) as group:
        for _ in range(2):
            with pytest.raises(store.WriterNotOurs):
                await group.submit(factories.hold(books.user, 1))


async def test_a_role_is_whoever_set_it_and_a_login_without_one_itself(books: Books) -> None:
    """Also a superuser, whom no grant stops, is somebody else."""
    name = await books.fetchval("select session_user::text")
    await books.execute("select settlement.open_writer_v2('by-hand')")
    await books.execute(
        "begin; set local role pod_settlement;"
        "select settlement.open_writer_v2('settlement'); commit"
    )
    assert await _owners(books) == {
        "coordinator": "pod_coordinator",
        "by-hand": name,
        "settlement": "pod_settlement",
    }
    for role, writer in ((None, "coordinator"), ("pod_coordinator", "by-hand")):
        with pytest.raises(asyncpg.PostgresError) as refused:
            await books.execute(f"select settlement.open_writer_v2('{writer}')", role=role)
        assert refused.value.sqlstate == "PL006"


async def test_an_older_database_gives_known_writers_to_their_roles(
    empty_database: Database,
) -> None:
    """Others stay open until somebody opens them, or posts as them."""
    connection = await asyncpg.connect(empty_database.dsn)
    try:
        await _run(connection, [each for each in migrations_of("settlement") if each.number < THIS])
        await connection.execute("set role pod_indexer")
        for name in ("coordinator", "indexer", "settlement", "other", "third"):
            await connection.execute("select settlement.open_writer_v1($1)", name)
        await connection.execute("select settlement.open_account_v1($1, 'user')", USER)
        await connection.execute("reset role")
        await _run(
            connection, [each for each in migrations_of("settlement") if each.number == THIS]
        )
        known = {name: f"pod_{name}" for name in ("coordinator", "indexer", "settlement")}
        assert await _owners_of(connection) == known | {"other": None, "third": None}
        await connection.execute("set role pod_settlement")
        await connection.execute("select settlement.open_writer_v1('other')")
        await connection.execute(_DEPOSIT, "third")
        await connection.execute("set role pod_coordinator")
        await connection.execute("select settlement.open_writer_v1('coordinator')")
        for statement in ("select settlement.open_writer_v1($1)", _DEPOSIT):
            for name in ("other", "third", "indexer"):
                with pytest.raises(asyncpg.PostgresError) as refused:
                    await connection.execute(statement, name)
                assert refused.value.sqlstate == "PL006", (statement, name)
        await connection.execute("reset role")
        taken = {"other": "pod_settlement", "third": "pod_settlement"}
        assert await _owners_of(connection) == known | taken
    finally:
        await connection.close()


USER = "user:00000000-0000-7000-8000-000000000001"
_DEPOSIT = f"""
select settlement.apply_v1(writer_id, epoch, jsonb_build_array(jsonb_build_object(
  'verb', 'post', 'id', gen_random_uuid(), 'kind', 'deposit_credited', 'event_at', now(),
  'effective_on', current_date, 'actor', 'test', 'transfers', jsonb_build_array(jsonb_build_object(
    'debit', 'chain:till', 'credit', '{USER}', 'amount', 5)))))
  from settlement.writer where name = $1
"""


async def _run(
    connection: "asyncpg.Connection[asyncpg.Record]", migrations: list[Migration]
) -> None:
    for each in migrations:
        async with connection.transaction():
            await connection.execute(each.text)


async def _posts(pool: Pool, writer: Writer, operation: Operation) -> None:
    async with transaction(pool) as tx:
        await store.apply(tx, writer, [operation])


async def _owners(books: Books) -> object:
    connection = await asyncpg.connect(books.database.dsn)
    try:
        return await _owners_of(connection)
    finally:
        await connection.close()


async def _owners_of(connection: "asyncpg.Connection[asyncpg.Record]") -> dict[str, str | None]:
    rows = await connection.fetch("select name, role from settlement.writer")
    return {row["name"]: row["role"] for row in rows}


async def _rows(books: Books) -> object:
    """Everything that posting could have changed, as one text."""
    return await books.fetchval(
        "select (select jsonb_agg(b order by account_id) from settlement.balance b)::text"
        " || (select jsonb_agg(w) from settlement.writer w)::text"
        " || (select count(*) from settlement.hold) || (select count(*) from settlement.txn)"
    )
