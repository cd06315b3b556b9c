"""Books with three days of business in them are brought to the present: nothing of it changes.

What is remembered differently (chains in a new form, days in partitions) is made from the same
rows; what was asked before is still a replay or a conflict; what was open can still be ended.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from settlement.db.migrate import migrate, migrations_of
from settlement.db.pool import Pool, calling, open_pool, reading, transaction
from settlement.ledger import store
from settlement.ledger.everyday import EverydayRoad
from settlement.ledger.operations import (
    Capture,
    Charge,
    Code,
    Hold,
    Operation,
    Outcome,
    Post,
    Void,
    Writer,
)
from settlement.ledger.verify import verify
from settlement.ledger.verify_state import Progress
from settlement.money import MicroUsdc
from tests import factories
from tests.conftest import PACKAGES, Database, check_books
from tests.database import days
from tests.database.older_books import DAYS, THEN, WRITERS, OlderBooks, lived

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

# Each is read before and after. Columns that came later are left out.
_SAME = {
    "balances": """
        select a.name, a.kind, a.asset, a.opened_at, a.closed_at, b.dr, b.cr, b.held, b.version,
               b.floored from settlement.balance b join settlement.account a using (account_id)
         where b.version > 0""",
    "entries": """
        select account_id, entry, dr, cr, kind, cause_id, external_ref, slot, event_at, recorded_at,
               writer_id, batch_seq, ord from settlement.entry""",
    "held": "select account_id, hold_id, held, writer_id, batch_seq, ord from settlement.hold_flow",
    "charges": """
        select request_id, user_account, operator_account, gross, operator_share, treasury_share,
               split_bps, user_entry, operator_entry, treasury_entry, user_balance_after,
               batch_seq, writer_id, ord from settlement.charge""",
    "holds": """
        select hold_id, account_id, amount, captured, released, state, purpose, writer_id, epoch
          from settlement.hold""",
    "hold events": "select jsonb_strip_nulls(to_jsonb(x))::text from settlement.hold_event x",
    "transactions": "select jsonb_strip_nulls(to_jsonb(x))::text from settlement.txn x",
    "transfers": "select jsonb_strip_nulls(to_jsonb(x))::text from settlement.transfer x",
    "batches": "select writer_id, seq, epoch, n, created_at from settlement.batch",
    "writers": "select writer_id, name, role, epoch, head_seq, treasury_account"
    " from settlement.writer",
}


@pytest.fixture
async def connection(empty_database: Database) -> AsyncIterator["Connection"]:
    """The superuser's."""
    opened = await asyncpg.connect(empty_database.dsn)
    yield opened
    await opened.close()


@pytest.fixture
async def older(connection: "Connection") -> OlderBooks:
    books = await lived(connection, seed=1)
    assert await connection.fetch("select * from settlement.check_books_v1()") == []
    assert await connection.fetchval("select count(*) from settlement.charge") > 20
    return books


@pytest.fixture
async def pools(empty_database: Database) -> AsyncIterator[dict[str, Pool]]:
    """Connections in each role, once the roles are there."""
    async with AsyncExitStack() as stack:
        opened: dict[str, Pool] = {}
        for role in (*WRITERS, "finance"):
            opened[role] = await open_pool(
                empty_database.dsn, role=f"pod_{role}", application="test", size=2
            )
            stack.push_async_callback(opened[role].close)
        yield opened


async def contents(connection: "Connection") -> dict[str, list[Any]]:
    """Everything there is to compare, in an order of its own; of accounts, those in use."""
    found: dict[str, list[Any]] = {}
    for name, query in _SAME.items():
        rows = [tuple(row) for row in await connection.fetch(query)]
        found[name] = sorted(rows, key=repr)
    return found


async def test_every_row_is_there_as_it_was(
    empty_database: Database, older: OlderBooks, pools: dict[str, Pool]
) -> None:
    connection = older.connection
    before = await contents(connection)
    heads = await connection.fetch(
        "select writer_id, head_seq, head_hash from settlement.writer order by writer_id"
    )
    await migrate(empty_database.dsn, PACKAGES)
    after = await contents(connection)
    for name, rows in before.items():
        assert after[name] == rows, name
    assert len(heads) == len(WRITERS)
    kept = "select writer_id, head_seq, head_hash from settlement.chain_before order by writer_id"
    assert [tuple(row) for row in await connection.fetch(kept)] == [tuple(row) for row in heads]
    await check_books(empty_database.dsn)
    verdict = await verify(pools["finance"], Progress(books="these"), lambda _: None)
    batches = await connection.fetchrow(
        "select count(*) as n, sum(n) as rows from settlement.batch"
    )
    assert batches is not None
    assert (verdict.wrong, verdict.batches, verdict.rows) == (None, *batches)
    assert verdict.holds == len(before["holds"])


async def test_each_request_is_in_the_partition_of_its_day(
    empty_database: Database, older: OlderBooks
) -> None:
    await migrate(empty_database.dsn, PACKAGES)
    rows = await older.connection.fetch(
        "select tableoid::regclass::text as partition, request_id from settlement.charge"
    )
    first = days.today() - timedelta(days=DAYS - 1)
    for row in rows:
        milliseconds = row["request_id"].int >> 80
        day = days.start_of(first) + timedelta(
            days=(milliseconds - days.floor_of(first).int // 2**80) // 86_400_000
        )
        assert row["partition"] == f"settlement.{days.partition_of(day.date())}"
    known = await older.connection.fetch("select day from settlement.charge_day order by day")
    assert [row["day"] for row in known] == [first + n * days.DAY for n in range(DAYS + 3)]


async def test_what_was_asked_before_is_told_as_before(
    empty_database: Database, older: OlderBooks, pools: dict[str, Pool]
) -> None:
    await migrate(empty_database.dsn, PACKAGES)
    for name in WRITERS:
        writer = await store.open_writer(pools[name], name)
        assert writer.epoch == 2
        done = older.done(name)
        asked = [each.operation for each in done]
        for outcomes in (
            await _applied(pools[name], writer, asked),
            await _by_road(pools[name], writer, asked),
        ):
            for each, outcome in zip(done, outcomes, strict=True):
                assert outcome.code is Code.REPLAYED, each
                if not isinstance(each.operation, Charge):
                    assert outcome.available_microusdc == each.available, each
        assert await _codes(pools[name], writer, [_other(each) for each in asked]) == [
            "hold_closed" if isinstance(each, Void) else "conflict" for each in asked
        ]
    await check_books(empty_database.dsn)


async def test_what_was_open_can_be_ended(
    empty_database: Database, older: OlderBooks, pools: dict[str, Pool]
) -> None:
    request, payout = older.open_request, older.open_payout
    assert request is not None
    assert payout is not None
    await migrate(empty_database.dsn, PACKAGES)
    coordinator = await store.open_writer(pools["coordinator"], "coordinator")
    async with reading(pools["coordinator"]) as conn:
        assert await store.abandoned_holds(conn, coordinator) == [request.hold_id]
    charge = factories.charge(request.hold_id, request.account, older.hosts[0], 4_999)
    for expected in (Code.APPLIED, Code.REPLAYED):
        (outcome,) = await _by_road(pools["coordinator"], coordinator, [charge])
        assert outcome.code is expected
    indexer = await store.open_writer(pools["indexer"], "indexer")
    paid = factories.payment(payout.hold_id, payout.account, 700)
    assert await _codes(pools["indexer"], indexer, [paid, paid]) == ["applied", "replayed"]
    # And business goes on from there.
    lease = factories.hold(older.users[0], 1_000)
    spent = factories.charge(lease.hold_id, older.users[0], older.hosts[1], 1_000)
    assert await _codes(pools["coordinator"], coordinator, [lease, spent]) == ["applied"] * 2
    await check_books(empty_database.dsn)
    verdict = await verify(pools["finance"], Progress(books="these"), lambda _: None)
    assert verdict.wrong is None


@pytest.mark.parametrize(
    "name",
    [
        UUID("f0000000-0000-4000-8000-000000000000"),  # as most of them: far ahead
        UUID("01000000-0000-4000-8000-000000000000"),  # long over
        None,  # of today, if it were of version 7
    ],
)
async def test_a_name_that_says_no_time_stops_it_and_nothing_is_changed(
    empty_database: Database, older: OlderBooks, name: UUID | None
) -> None:
    hold_id = name or UUID(int=days.floor_of(days.today()).int | (4 << 76) | (0b10 << 62))
    hold = factories.hold(older.users[0], 10, hold_id=hold_id)
    charge = factories.charge(hold_id, older.users[0], older.hosts[0], 9)
    assert await older.settle(hold) + await older.settle(charge) == ["applied"] * 2
    before = await contents(older.connection)
    catalog = await _catalog(older.connection)
    for _ in range(2):
        with pytest.raises(asyncpg.PostgresError, match=f"request {hold_id} was not named by its"):
            await migrate(empty_database.dsn, PACKAGES)
    assert await _catalog(older.connection) == catalog
    assert await contents(older.connection) == before
    assert await older.settle(factories.hold(older.users[0], 1)) == ["applied"]
    assert await older.connection.fetch("select * from settlement.check_books_v1()") == []


async def test_several_who_migrate_at_once_migrate_once(
    empty_database: Database, older: OlderBooks
) -> None:
    before = await contents(older.connection)
    applied = await asyncio.gather(*(migrate(empty_database.dsn, PACKAGES) for _ in range(3)))
    assert sorted(map(len, applied))[:2] == [0, 0]
    pending = [each for package in PACKAGES for each in migrations_of(package)]
    assert max(map(len, applied)) == len(pending) - THEN
    assert await contents(older.connection) == before
    await check_books(empty_database.dsn)


async def _applied(pool: Pool, writer: Writer, asked: list[Operation]) -> list[Outcome]:
    async with transaction(pool) as tx:
        return await store.apply(tx, writer, asked)


async def _by_road(pool: Pool, writer: Writer, asked: list[Operation]) -> list[Outcome]:
    """Each alone, as at low load."""
    road = EverydayRoad(writer)
    async with calling(pool) as conn:
        return [outcome for each in asked for outcome in await road.apply(conn, [each])]


async def _codes(pool: Pool, writer: Writer, asked: list[Operation]) -> list[str]:
    return [outcome.code.value for outcome in await _applied(pool, writer, asked)]


def _other(operation: Operation) -> Operation:
    """The same name for something else."""
    match operation:
        case Hold():
            return replace(operation, amount_microusdc=MicroUsdc(operation.amount_microusdc + 1))
        case Charge():
            return replace(operation, gross_microusdc=MicroUsdc(operation.gross_microusdc + 1))
        case Void():
            return replace(operation, reason="another")
        case Capture():
            return replace(operation, post=replace(operation.post, actor="another"))
        case Post():
            return replace(operation, meta={"id": str(uuid4())})


async def _catalog(connection: "Connection") -> str:
    """What there is of tables, functions and triggers."""
    rows = await connection.fetch(
        """
        select c.relname, c.relkind::text, c.reloptions,
               array(select attname::text from pg_attribute a where a.attrelid = c.oid),
               array(select tgname::text || tgenabled::text from pg_trigger t
                      where t.tgrelid = c.oid)
          from pg_class c where c.relnamespace::regnamespace::text = 'settlement'
        union all
        select p.proname, md5(p.prosrc), p.proconfig, null, null from pg_proc p
         where p.pronamespace::regnamespace::text = 'settlement' order by 1, 2"""
    )
    return json.dumps([[str(value) for value in row] for row in rows])
