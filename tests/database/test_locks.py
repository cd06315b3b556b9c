"""Who waits for whom: pairs of operations, the first in a transaction that is still open.

Order of locks everywhere: writer head, balances by id, holds by id. Readers wait for nobody.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import asyncpg
import pytest

from settlement.db.pool import CallConn, ReadConn, Tx
from settlement.ledger import accounts, store
from settlement.ledger.everyday import EverydayRoad
from settlement.ledger.operations import AccountName, HoldPurpose, Operation, Void, Writer
from settlement.ledger.store import WriterFenced
from tests import factories
from tests.database.conftest import Books

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

COORDINATOR, SETTLEMENT = "pod_coordinator", "pod_settlement"
_PAST = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Two writers with a lease of each user, two operators, a payout, and a lease that expired."""

    books: Books
    writers: dict[str, Writer]
    users: dict[str, AccountName]
    hosts: dict[str, AccountName]
    leases: dict[tuple[str, str], UUID]  # of a writer and a user
    payout: UUID


Does = Callable[[Stage, "Connection"], Awaitable[str]]


@dataclass(frozen=True, kw_only=True)
class Step:
    """Something a role does; it tells its outcome, or the SQLSTATE that it was refused with."""

    does: Does
    role: str = COORDINATOR
    snapshot: bool = False  # in a transaction that reads everything as of one moment


@pytest.fixture
async def stage(books: Books) -> Stage:
    writers = {name: await store.open_writer(books.pool, name) for name in ("one", "two", "lapsed")}
    users = {"a": books.user, "b": accounts.user(uuid4())}
    hosts = {"x": books.host, "y": accounts.host(uuid4())}
    await books.open(users["b"], hosts["y"])
    await books.apply(factories.deposit(users["b"], 10_000))
    leases: dict[tuple[str, str], UUID] = {}
    for writer in ("one", "two"):
        for user in users:
            lease = factories.hold(users[user], 1_000, purpose=HoldPurpose.LEASE)
            assert await books.codes(lease, writer=writers[writer]) == ["applied"]
            leases[writer, user] = lease.hold_id
    gone = factories.hold(users["b"], 10, purpose=HoldPurpose.LEASE)
    await books.apply(replace(gone, expires_at=_PAST), writer=writers["lapsed"])
    payout = factories.hold(users["b"], 10, purpose=HoldPurpose.PAYOUT)
    await books.apply(payout)
    return Stage(
        books=books,
        writers=writers,
        users=users,
        hosts=hosts,
        leases=leases,
        payout=payout.hold_id,
    )


@pytest.fixture
async def sessions(books: Books) -> AsyncIterator[list["Connection"]]:
    """Who does the first thing, who does the second, and who watches."""
    # Compiling the check takes a server that can a hundred times as long as running it.
    opened = [
        await asyncpg.connect(books.database.dsn, server_settings={"jit": "off"}) for _ in range(3)
    ]
    yield opened
    for connection in opened:
        await connection.close()


def charge(writer: str, user: str, host: str) -> Step:
    """A charge alone, by the everyday road."""

    async def does(stage: Stage, connection: "Connection") -> str:
        asked = factories.charge(
            factories.request_id(),
            stage.users[user],
            stage.hosts[host],
            10,
            hold_id=stage.leases[writer, user],
        )
        return await _by_road(stage.writers[writer], connection, asked)

    return Step(does=does)


def hold(writer: str, user: str) -> Step:
    """A hold alone, by the everyday road."""

    async def does(stage: Stage, connection: "Connection") -> str:
        return await _by_road(
            stage.writers[writer], connection, factories.hold(stage.users[user], 1)
        )

    return Step(does=does)


def applied(writer: str, *make: Callable[[Stage], Operation]) -> Step:
    """Whatever it is, by the road for everything."""

    async def does(stage: Stage, connection: "Connection") -> str:
        tx = Tx(ReadConn(connection))  # pyright: ignore[reportArgumentType]
        asked = [each(stage) for each in make]
        outcomes = await store.apply(tx, stage.writers[writer], asked)
        return " ".join(outcome.code.value for outcome in outcomes)

    return Step(does=does)


def statement(text: str, role: str = COORDINATOR, *, snapshot: bool = False) -> Step:
    """One statement; `{one}` stands for a writer's id and `{epoch}` for the epoch of all."""

    async def does(stage: Stage, connection: "Connection") -> str:
        ids = {name: writer.writer_id for name, writer in stage.writers.items()}
        await connection.execute(text.format(**ids, new=f"user:{uuid4()}", epoch=1))
        return ""

    return Step(does=does, role=role, snapshot=snapshot)


def deposit(user: str) -> Callable[[Stage], Operation]:
    """Money for a user."""
    return lambda stage: factories.deposit(stage.users[user], 5)


def moved(user: str, host: str) -> Callable[[Stage], Operation]:
    """Money from a user to an operator, by a post."""
    return lambda stage: factories.post(factories.transfer(stage.users[user], stage.hosts[host], 1))


PAID = applied("two", lambda stage: factories.payment(stage.payout, stage.users["b"], 9))
UNPAID = applied("one", lambda stage: Void(hold_id=stage.payout, reason="late"))
OPEN_ONE = statement("select settlement.open_writer_v2('one')")
OPEN_OTHER = statement("select settlement.open_writer_v2('two')")
OPEN_NEW = statement("select settlement.open_writer_v2('fresh')")
DAYS_THERE = statement("select settlement.ensure_charge_days_v1(3)")
DAYS_MISSING = statement("select settlement.ensure_charge_days_v1(10)")
KEEP_ONE = statement("select settlement.keep_leases_v1({one}, {epoch}, now())")
FENCE = statement("select settlement.fence_expired_v1()", SETTLEMENT)
ERA = statement("select settlement.begin_era_v1('test', 'restored')", SETTLEMENT)
NAMED = "user:00000000-0000-7000-8000-00000000000a"
OPEN_NAMED = statement(f"select settlement.open_account_v1('{NAMED}', 'user')")
OPEN_ANY = statement("select settlement.open_account_v1('{new}', 'user')")
BALANCES = statement("select count(*), sum(dr), sum(held) from settlement.balance")
ENTRIES = statement("select count(*) from settlement.entry", "pod_finance")
CHECK = statement("select count(*) from settlement.check_books_v1()", "pod_finance")
REPORT = statement(
    "select (select count(*) from settlement.entry), (select count(*) from settlement.hold),"
    " (select count(*) from settlement.check_books_v1())",
    "pod_finance",
    snapshot=True,
)

# The first, still open; the second; whether it waits; what the second tells in the end.
PAIRS: dict[str, tuple[Step, Step, bool, str]] = {
    # One writer works on one thing at a time, whatever it is.
    "one writer charges twice": (charge("one", "a", "x"), charge("one", "b", "y"), True, "applied"),
    "one writer charges and holds": (charge("one", "a", "x"), hold("one", "b"), True, "applied"),
    "one writer charges and posts": (
        charge("one", "a", "x"),
        applied("one", deposit("b")),
        True,
        "applied",
    ),
    "one writer posts and charges": (
        applied("one", deposit("b")),
        charge("one", "a", "x"),
        True,
        "applied",
    ),
    # Writers meet on accounts and nowhere else.
    "two charge disjoint accounts": (
        charge("one", "a", "x"),
        charge("two", "b", "y"),
        False,
        "applied",
    ),
    "two hold of two users": (hold("one", "a"), hold("two", "b"), False, "applied"),
    "two post on disjoint accounts": (
        applied("one", moved("a", "x")),
        applied("two", moved("b", "y")),
        False,
        "applied",
    ),
    "a charge and a deposit of others": (
        charge("one", "a", "x"),
        applied("two", deposit("b")),
        False,
        "applied",
    ),
    "two charge for one operator": (
        charge("one", "a", "x"),
        charge("two", "b", "x"),
        True,
        "applied",
    ),
    "two charge one user": (charge("one", "a", "x"), charge("two", "a", "y"), True, "applied"),
    "two hold of one user": (hold("one", "a"), hold("two", "a"), True, "applied"),
    "a charge and a hold of one user": (
        charge("one", "a", "x"),
        hold("two", "a"),
        True,
        "applied",
    ),
    "a charge and a deposit of one user": (
        charge("one", "a", "x"),
        applied("two", deposit("a")),
        True,
        "applied",
    ),
    "a post and a charge for one operator": (
        applied("one", moved("a", "x")),
        charge("two", "b", "x"),
        True,
        "applied",
    ),
    "two deposits meet at the till": (
        applied("one", deposit("a")),
        applied("two", deposit("b")),
        True,
        "applied",
    ),
    "a payout is paid and given back": (PAID, UNPAID, True, "hold_closed"),
    "a payout is given back and paid": (UNPAID, PAID, True, "hold_closed"),
    # Lives of a writer.
    "a new life waits for what the old one does": (charge("one", "a", "x"), OPEN_ONE, True, ""),
    "the old life waits for the new and is over": (
        OPEN_ONE,
        charge("one", "a", "x"),
        True,
        "PL001",
    ),
    "also for posts": (OPEN_ONE, applied("one", deposit("a")), True, "PL001"),
    "two new lives": (OPEN_ONE, OPEN_ONE, True, ""),
    "two first lives": (OPEN_NEW, OPEN_NEW, True, ""),
    "another's new life": (OPEN_OTHER, charge("one", "a", "x"), False, "applied"),
    "a new life beside another's charge": (charge("one", "a", "x"), OPEN_OTHER, False, ""),
    "a new writer": (charge("one", "a", "x"), OPEN_NEW, False, ""),
    "a charge beside a new writer": (OPEN_NEW, charge("one", "a", "x"), False, "applied"),
    "a writer says it lives": (KEEP_ONE, charge("one", "a", "x"), True, "applied"),
    "another says it lives": (KEEP_ONE, charge("two", "a", "x"), False, "applied"),
    "a fence beside who lives": (FENCE, charge("one", "a", "x"), False, "applied"),
    "who lives beside a fence": (charge("one", "a", "x"), FENCE, False, ""),
    "a fence and who lapsed": (FENCE, hold("lapsed", "a"), True, "PL001"),
    "who lapsed, and a fence": (hold("lapsed", "a"), FENCE, True, ""),
    "a new era and a charge": (ERA, charge("one", "a", "x"), True, "PL001"),
    "a charge and a new era": (charge("one", "a", "x"), ERA, True, ""),
    # Accounts and days.
    "an account is opened": (OPEN_ANY, charge("one", "a", "x"), False, "applied"),
    "beside a charge": (charge("one", "a", "x"), OPEN_ANY, False, ""),
    "two open accounts": (OPEN_ANY, OPEN_ANY, False, ""),
    "two open one account": (OPEN_NAMED, OPEN_NAMED, True, ""),
    "the days are there": (DAYS_THERE, charge("one", "a", "x"), False, "applied"),
    "the days are there, beside a charge": (charge("one", "a", "x"), DAYS_THERE, False, ""),
    "two make days": (DAYS_MISSING, DAYS_MISSING, True, ""),
    "days are made, and a hold": (DAYS_MISSING, hold("one", "a"), False, "applied"),
    "days are made, and a charge": (DAYS_MISSING, charge("one", "a", "x"), False, "applied"),
    "a charge, and days are made": (charge("one", "a", "x"), DAYS_MISSING, False, ""),
    "days are made, and a reader": (DAYS_MISSING, ENTRIES, False, ""),
    "a reader, and days are made": (REPORT, DAYS_MISSING, False, ""),
}
_READERS = {"balances": BALANCES, "entries": ENTRIES, "the check": CHECK, "a report": REPORT}
_WRITERS = {
    "a charge": charge("one", "a", "x"),
    "a hold": hold("one", "a"),
    "a post": applied("one", deposit("a")),
    "a new life": OPEN_ONE,
    "a new writer": OPEN_NEW,
    "a new era": ERA,
    "a fence": FENCE,
    "a new account": OPEN_ANY,
}


@pytest.mark.parametrize("pair", PAIRS)
async def test_who_waits_for_whom(pair: str, stage: Stage, sessions: list["Connection"]) -> None:
    first, second, waits, told = PAIRS[pair]
    assert await measured(stage, sessions, first, second) == (waits, told)


@pytest.mark.parametrize("reads", _READERS)
async def test_readers_wait_for_nobody_and_nobody_for_them(
    reads: str, stage: Stage, sessions: list["Connection"]
) -> None:
    reader = _READERS[reads]
    for writes, writer in _WRITERS.items():
        for first, second in ((writer, reader), (reader, writer)):
            waited, told = await measured(stage, sessions, first, second, keep=False)
            assert not waited, writes
            assert told in ("", "applied"), writes


async def measured(
    stage: Stage, sessions: list["Connection"], first: Step, second: Step, *, keep: bool = True
) -> tuple[bool, str]:
    """Whether the second waits for the first, and what it tells once the first has committed."""
    one, other, watcher = sessions
    isolation = "repeatable_read" if first.snapshot else "read_committed"
    await one.execute(f"set role {first.role}")
    await other.execute(f"set role {second.role}")
    began = one.transaction(isolation=isolation)
    await began.start()
    assert await _told(stage, one, first) in ("", "applied")
    beside = other.transaction()
    await beside.start()
    asked = asyncio.create_task(_told(stage, other, second))
    try:
        async with asyncio.timeout(20):
            waits = await _waits(watcher, asked, one.get_server_pid(), other.get_server_pid())
    finally:
        await (began.commit() if keep else began.rollback())
        told = await asked
        await (beside.commit() if keep and not told.startswith("PL") else beside.rollback())
    return waits, told


async def _waits(
    watcher: "Connection", asked: "asyncio.Task[str]", holder: int, waiter: int
) -> bool:
    """True once the waiter waits for the holder, False once it is done without."""
    while not asked.done():
        if holder in await watcher.fetchval("select pg_blocking_pids($1)", waiter):
            return True
        await asyncio.wait([asked], timeout=0.005)
    return False


async def _told(stage: Stage, connection: "Connection", step: Step) -> str:
    try:
        return await step.does(stage, connection)
    except WriterFenced:
        return "PL001"
    except asyncpg.PostgresError as error:
        return error.sqlstate or "?"


async def _by_road(writer: Writer, connection: "Connection", operation: Operation) -> str:
    conn = CallConn(ReadConn(connection))  # pyright: ignore[reportArgumentType]
    (outcome,) = await EverydayRoad(writer).apply(conn, [operation])
    return outcome.code.value
