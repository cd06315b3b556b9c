"""The days' partitions are there before their requests: made ahead, once, without a gap, alike."""

import asyncio
from collections.abc import AsyncIterator
from datetime import date

import asyncpg
import pytest

from settlement.db.pool import open_pool
from settlement.ledger import store
from tests import factories
from tests.conftest import Database
from tests.database import days
from tests.database.conftest import Books
from tests.database.plans import Connection

AHEAD = 3
INDEXES = ("request_id", "writer_id, batch_seq, ord", "user_account, user_entry")
# As if the last process had stopped that long ago: only a superuser loses a day.
_DOWN = """
do $$
declare
  v_name text;
begin
  for v_name in select partition from settlement.charge_day loop
    execute format('drop table settlement.%I', v_name);
  end loop;
  set local session_replication_role = replica;
  delete from settlement.charge_day;
end
$$
"""
_ALIKE = """
select c.relname,
       array(select pg_get_expr(i.indpred, i.indrelid) is null and i.indisunique and i.indisvalid
               from pg_index i where i.indrelid = c.oid) as sound,
       array(select substring(pg_get_indexdef(i.indexrelid) from '\\((.*)\\)')
               from pg_index i where i.indrelid = c.oid order by 1) as indexes,
       array(select t.tgname::text || t.tgenabled::text from pg_trigger t
              where t.tgrelid = c.oid and not t.tgisinternal) as triggers,
       array(select a::text from unnest(c.relacl) as a order by 1) as rights,
       c.relowner::regrole::text as owner, c.reloptions as options,
       array(select pg_get_constraintdef(k.oid) from pg_constraint k
              where k.conrelid = c.oid and k.contype = 'c' order by 1) as rules,
       pg_get_expr(c.relpartbound, c.oid) as bound
  from pg_class c
 where c.oid in (select inhrelid from pg_inherits where inhparent = 'settlement.charge'::regclass)
 order by c.relname
"""

_RULES = """
select array(select pg_get_constraintdef(oid) from pg_constraint
              where conrelid = 'settlement.charge'::regclass and contype = 'c' order by 1)
"""


@pytest.fixture
async def connection(database: Database) -> AsyncIterator[Connection]:
    """The superuser's."""
    opened = await asyncpg.connect(database.dsn)
    yield opened
    await opened.close()


async def known(connection: Connection) -> list[date]:
    """The days there are, in their order."""
    rows = await connection.fetch("select day from settlement.charge_day order by day")
    return [row["day"] for row in rows]


async def ensure(connection: Connection, ahead: int = AHEAD) -> int:
    """Make the days to come; how many were missing."""
    made = await connection.fetchval("select settlement.ensure_charge_days_v1($1)", ahead)
    assert isinstance(made, int)
    return made


def run_of(first: date, last: date) -> list[date]:
    """Every day between two, both included."""
    return [first + n * days.DAY for n in range((last - first).days + 1)]


async def test_a_new_database_has_yesterday_and_the_days_to_come(connection: Connection) -> None:
    today = days.today()
    assert await known(connection) == run_of(today - days.DAY, today + AHEAD * days.DAY)
    row = await connection.fetchrow("select low, high from settlement.charge_window")
    bounds = [days.floor_of(day) for day in (today - days.DAY, today + (AHEAD + 1) * days.DAY)]
    assert row is not None
    assert list(row) == bounds


async def test_days_are_made_once(connection: Connection) -> None:
    assert [await ensure(connection) for _ in range(2)] == [0, 0]
    assert [await ensure(connection, 5) for _ in range(2)] == [2, 0]
    assert await ensure(connection, 1) == 0
    assert (await known(connection))[-1] == days.today() + 5 * days.DAY


async def test_many_at_once_make_each_day_once(database: Database) -> None:
    pool = await open_pool(database.dsn, role="pod_settlement", application="test", size=8)
    try:
        made = await asyncio.gather(*(store.ensure_charge_days(pool, 10) for _ in range(8)))
    finally:
        await pool.close()
    assert sorted(made) == [0] * 7 + [7]


async def test_days_that_nobody_made_are_made_up_for(connection: Connection) -> None:
    stopped = days.today() - 12 * days.DAY
    await connection.execute(_DOWN)
    await connection.execute("select settlement.make_charge_day_v1($1)", stopped)
    assert await ensure(connection) == 12 + AHEAD
    assert await known(connection) == run_of(stopped, days.today() + AHEAD * days.DAY)


async def test_books_that_lost_count_begin_with_yesterday(connection: Connection) -> None:
    await connection.execute(_DOWN)
    assert await ensure(connection) == AHEAD + 2
    assert (await known(connection))[0] == days.today() - days.DAY


@pytest.mark.parametrize("ahead", [None, 0, -1, 32, 2**31 - 1])
async def test_how_far_ahead_has_limits(connection: Connection, ahead: int | None) -> None:
    with pytest.raises(asyncpg.PostgresError) as refused:
        await connection.execute("select settlement.ensure_charge_days_v1($1)", ahead)
    assert refused.value.sqlstate == "PL012"
    assert len(await known(connection)) == AHEAD + 2


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Etc/GMT+12", "Asia/Kathmandu"])
async def test_a_day_begins_at_midnight_utc_whoever_makes_it(
    connection: Connection, zone: str
) -> None:
    await connection.execute(_DOWN)
    await connection.execute(f"set timezone = '{zone}'; set datestyle = 'German'")
    await ensure(connection)
    await connection.execute("reset all")
    assert (await known(connection))[0] == days.today() - days.DAY
    for row in await connection.fetch(_ALIKE):
        day = days.day_of(row["relname"])
        low, high = days.floor_of(day), days.floor_of(day + days.DAY)
        assert row["bound"] == f"FOR VALUES FROM ('{low}') TO ('{high}')"


async def test_every_partition_is_made_alike(connection: Connection) -> None:
    await ensure(connection, 6)
    rows = await connection.fetch(_ALIKE)
    assert len(rows) == 8
    for row in rows:
        assert row["indexes"] == sorted([*INDEXES, "operator_account, operator_entry"])
        assert row["sound"] == [True] * 4
        assert row["triggers"] == ["only_growsO"]
        assert row["owner"] == "pod_owner"
        readers = ("coordinator", "indexer", "settlement", "finance")
        assert {right for right in row["rights"] if not right.startswith("pod_owner=")} == {
            f"pod_{reader}=r/pod_owner" for reader in readers
        }
        assert row["options"] == [
            "autovacuum_analyze_threshold=5000",
            "autovacuum_analyze_scale_factor=0.2",
        ]
        # None of the journal's own rules is lost on the way.
        assert row["rules"] == await connection.fetchval(_RULES)


async def test_opening_a_writer_makes_the_days_to_come(books: Books) -> None:
    await books.execute(_DOWN)
    await books.execute("select settlement.make_charge_day_v1($1)", days.today() - 5 * days.DAY)
    await store.open_writer(books.pool, "coordinator")
    assert await books.fetchval("select max(day) from settlement.charge_day") == (
        days.today() + AHEAD * days.DAY
    )
    writer = await store.open_writer(books.pool, "coordinator")
    late = factories.charge(
        days.id_at(days.start_of(days.today())), books.user, books.host, 5, hold_id=None
    )
    assert await books.codes(late, writer=writer) == ["applied"]


async def test_making_days_does_not_wait_for_those_who_read_or_settle(
    connection: Connection, books: Books
) -> None:
    reader = await asyncpg.connect(books.database.dsn)
    try:
        async with reader.transaction():
            # A report over everything, and a batch that is not over.
            await reader.execute("select count(*) from settlement.charge")
            await reader.execute("lock table settlement.charge in row exclusive mode")
            await connection.execute("set lock_timeout = '2s'")
            assert await ensure(connection, 5) == 2
    finally:
        await reader.close()
