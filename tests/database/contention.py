"""Making several meet at one lock, so that a race is run every time and not once in a while."""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg

from settlement.db.pool import Pool, calling, retried, transaction
from settlement.ledger import store
from settlement.ledger.everyday import EverydayRoad
from settlement.ledger.operations import AccountName, Operation, Outcome, Writer
from tests.database.conftest import Books
from tests.wire.waiting import eventually_true

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

T = TypeVar("T")
_LOCK_BALANCE = """
select from settlement.balance b join settlement.account a using (account_id)
 where a.name = $1 for update of b
"""
_WAITING = """
select count(*) from pg_stat_activity
 where wait_event_type = 'Lock' and datname = current_database()
"""


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A writer, and connections of its own to ask with."""

    pool: Pool
    writer: Writer

    @classmethod
    async def open(cls, pool: Pool, name: str) -> "Contender":
        """A new life of this writer."""
        return cls(pool=pool, writer=await store.open_writer(pool, name))

    async def apply(self, *operations: Operation) -> list[Outcome]:
        """By the road for everything, in a transaction that is run again where that is worth it."""

        async def step() -> list[Outcome]:
            async with transaction(self.pool) as tx:
                return await store.apply(tx, self.writer, operations)

        return await retried(step)

    async def ask(self, *operations: Operation) -> list[Outcome]:
        """By the road that group commit takes."""

        async def step() -> list[Outcome]:
            async with calling(self.pool) as conn:
                return await EverydayRoad(self.writer).apply(conn, operations)

        return await retried(step)


async def at_once(
    books: Books, account: AccountName, steps: Sequence[Coroutine[Any, Any, T]]
) -> list[T]:
    """Run steps that need this account's balance: they queue up in order, then all are let go.

    Every step needs a connection that is free.
    """
    blocker = await asyncpg.connect(books.database.dsn)
    try:
        standing = blocker.transaction()
        await standing.start()
        await blocker.execute(_LOCK_BALANCE, account)
        tasks: list[asyncio.Future[T]] = []

        async def as_far_as_they_get() -> bool:
            ended = sum(task.done() for task in tasks)
            return await waiting(blocker) + ended == len(tasks)

        for step in steps:
            tasks.append(asyncio.ensure_future(step))
            await eventually_true(as_far_as_they_get)
        await standing.rollback()
        return await asyncio.gather(*tasks)
    finally:
        await blocker.close()


async def waiting(connection: "Connection") -> int:
    """How many sessions of this database wait for a lock."""
    # Within a transaction the list of sessions would stay as it was when first read.
    await connection.execute("select pg_stat_clear_snapshot()")
    found = await connection.fetchval(_WAITING)
    return int(found)


async def somebody_waits(books: Books) -> bool:
    """Whether a session of this database waits for a lock."""
    connection = await asyncpg.connect(books.database.dsn)
    try:
        return await waiting(connection) > 0
    finally:
        await connection.close()
