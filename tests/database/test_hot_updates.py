"""Balances, leases and writers are updated in place: no index is touched, and no table grows.

An update that changes no indexed column and finds room on its page is a heap-only tuple (HOT): no
index entry is written, and the next visitor of the page clears the old version away. Room is what
`fillfactor` leaves.
"""

import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from uuid import uuid4

import asyncpg
import pytest

from settlement.db.pool import CallConn, calling, open_pool
from settlement.ledger import accounts, store
from settlement.ledger.everyday import EverydayRoad
from settlement.ledger.operations import AccountName, Charge, Hold, HoldPurpose
from tests import factories
from tests.conftest import Database
from tests.database.plans import Connection

USERS, HOSTS, BATCH, BATCHES, ROUNDS = 300, 30, 250, 42, 5
CHARGES = BATCH * BATCHES * ROUNDS
_OPTIONS = {
    "balance": {
        "fillfactor=20",
        "autovacuum_vacuum_scale_factor=0",
        "autovacuum_vacuum_threshold=20000",
    },
    "hold": {"fillfactor=50", "autovacuum_vacuum_scale_factor=0.02"},
    "writer": {"fillfactor=50"},
}
_TABLES = """
select oid::regclass::text from pg_class
 where relnamespace = 'settlement'::regnamespace and relkind = 'r'
"""
_UPDATES = """
select relname, n_tup_upd, n_tup_hot_upd from pg_stat_user_tables
 where schemaname = 'settlement' and relname = any ($1::text[])
"""
_SIZES = """
select relname, pg_relation_size(oid) as heap, pg_indexes_size(oid) as indexes
  from pg_class where relnamespace = 'settlement'::regnamespace and relname = any ($1::text[])
"""


@dataclass(frozen=True, kw_only=True)
class Trade:
    """Who pays whom, out of which lease."""

    leases: dict[AccountName, Hold]
    hosts: Sequence[AccountName]
    chance: random.Random

    def charges(self, count: int) -> list[Charge]:
        """Requests of anybody, each settled against its user's lease."""
        return [
            factories.charge(
                factories.request_id(),
                user,
                self.chance.choice(self.hosts),
                self.chance.randrange(1_000),
                hold_id=self.leases[user].hold_id,
            )
            for user in self.chance.choices(list(self.leases), k=count)
        ]


@pytest.fixture
async def superuser(database: Database) -> AsyncIterator[Connection]:
    """A connection that sees what the server counts."""
    connection = await asyncpg.connect(database.dsn)
    yield connection
    await connection.close()


async def updates(connection: Connection) -> dict[str, tuple[int, int]]:
    """By table: how many updates there were, and how many of them in place."""
    rows = await connection.fetch(_UPDATES, list(_OPTIONS))
    return {row["relname"]: (row["n_tup_upd"], row["n_tup_hot_upd"]) for row in rows}


async def sizes(connection: Connection) -> dict[str, tuple[int, int]]:
    """By table: bytes of it, and of its indexes."""
    rows = await connection.fetch(_SIZES, list(_OPTIONS))
    return {row["relname"]: (row["heap"], row["indexes"]) for row in rows}


async def trade_of(conn: CallConn, road: EverydayRoad) -> Trade:
    """People with money, each with a lease that lasts."""
    names = [accounts.user(uuid4()) for _ in range(USERS)]
    hosts = [accounts.host(uuid4()) for _ in range(HOSTS)]
    for name in (*names, *hosts):
        kind = name.partition(":")[0]
        await conn.execute("select settlement.open_account_v1($1, $2)", name, kind)
    leases = {name: factories.hold(name, 10**9, purpose=HoldPurpose.LEASE) for name in names}
    deposits = [factories.deposit(name, 10**9) for name in names]
    for outcome in await road.apply(conn, [*deposits, *leases.values()]):
        assert outcome.done
    return Trade(leases=leases, hosts=hosts, chance=random.Random(7))


@dataclass(frozen=True, kw_only=True)
class Round:
    """What a stretch of trade left behind: updates since the start, and bytes."""

    updates: dict[str, tuple[int, int]]
    sizes: dict[str, tuple[int, int]]

    def share_in_place(self, table: str) -> float:
        """Of the table's updates, those that touched no index."""
        all_of_them, in_place = self.updates[table]
        assert all_of_them > 0, table
        return in_place / all_of_them


async def look(connection: Connection, conn: CallConn) -> Round:
    """What the server has counted, the trader's connection included."""
    await conn.execute("select pg_stat_force_next_flush()")
    return Round(updates=await updates(connection), sizes=await sizes(connection))


@pytest.fixture
async def rounds(database: Database, superuser: Connection) -> AsyncIterator[list[Round]]:
    """50,000 requests in rounds, with a vacuum after each; the first look is before any of them."""
    pool = await open_pool(database.dsn, role="pod_coordinator", application="test", size=1)
    try:
        # Whoever analyses a table holds a snapshot, on a busy machine for long: old versions stay,
        # and pages fill. Here vacuum comes when the test says so.
        for name in await superuser.fetch(_TABLES):
            await superuser.execute(f"alter table {name[0]} set (autovacuum_enabled = off)")
        road = EverydayRoad(await store.open_writer(pool, "coordinator"))
        async with calling(pool) as conn:
            trade = await trade_of(conn, road)
            found = [await look(superuser, conn)]
            for _ in range(ROUNDS):
                for _ in range(BATCHES):
                    assert await road.settle(conn, trade.charges(BATCH), []) is not None
                found.append(await look(superuser, conn))
                for table in _OPTIONS:
                    await superuser.execute(f"vacuum settlement.{table}")
        yield found
    finally:
        await pool.close()


@pytest.mark.timeout(300)
async def test_paid_requests_are_settled_in_place(
    rounds: list[Round], superuser: Connection
) -> None:
    assert await superuser.fetchval("select count(*) from settlement.charge") == CHARGES > 50_000
    start, end = rounds[0], rounds[-1]
    done = Round(
        updates={
            table: (end.updates[table][0] - all_of_them, end.updates[table][1] - in_place)
            for table, (all_of_them, in_place) in start.updates.items()
        },
        sizes=end.sizes,
    )
    assert done.share_in_place("balance") >= 0.99
    assert done.share_in_place("hold") >= 0.95
    assert done.share_in_place("writer") >= 0.95
    # What the first round took is enough for all that follow.
    for later in rounds[2:]:
        for table, (heap, indexes) in rounds[1].sizes.items():
            assert later.sizes[table][0] <= heap
            assert later.sizes[table][1] <= indexes


async def test_tables_leave_room_and_are_vacuumed_early(superuser: Connection) -> None:
    rows = await superuser.fetch(
        "select relname, reloptions from pg_class"
        " where relnamespace = 'settlement'::regnamespace and relname = any ($1::text[])",
        list(_OPTIONS),
    )
    assert {row["relname"]: set(row["reloptions"]) for row in rows} == _OPTIONS


async def test_a_balance_has_no_index_but_its_key(superuser: Connection) -> None:
    columns = await superuser.fetch(
        "select array(select attname from pg_attribute"
        "              where attrelid = indrelid and attnum = any (indkey)) as of"
        "  from pg_index where indrelid = 'settlement.balance'::regclass"
    )
    assert [row["of"] for row in columns] == [["account_id"]]
