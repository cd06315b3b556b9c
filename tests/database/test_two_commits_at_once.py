"""Where many wait, two commits of one writer are on their way: what that may not change.

The writer's head is locked from outside for a while, so whatever the writer has sent waits in the
database, where it can be counted.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from settlement.db.pool import open_pool, reading
from settlement.ledger import store
from settlement.ledger.operations import Operation, Outcome
from settlement.ledger.writer import GroupCommit, WriterFenced
from tests import factories
from tests.database.conftest import Books

MANY = 100

_WAITING = """
select count(*) from pg_stat_activity
 where wait_event_type = 'Lock' and query ~ '(apply|settle)_v2' and datname = current_database()
"""
_KILL_ONE = """
select pg_terminate_backend(pid) from pg_stat_activity
 where wait_event_type = 'Lock' and query ~ '(apply|settle)_v2' and datname = current_database()
 order by query_start {} limit 1
"""
_SIZES = "select n from settlement.batch where writer_id = $1 and n > 1 order by seq"


@asynccontextmanager
async def head_locked(
    books: Books,
) -> AsyncGenerator["asyncpg.Connection[asyncpg.Record]"]:
    """Nobody posts as the books' writer meanwhile."""
    admin: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(books.database.dsn)
    try:
        async with admin.transaction():
            await admin.execute(
                "select from settlement.writer where writer_id = $1 for update",
                books.writer.writer_id,
            )
            yield admin
    finally:
        await admin.close()


async def waiting(admin: "asyncpg.Connection[asyncpg.Record]", commits: int) -> None:
    """Return when so many commits wait for the head."""
    async with asyncio.timeout(20):
        while await admin.fetchval(_WAITING) != commits:
            await asyncio.sleep(0.01)
            # Within a transaction the list of backends would stay as it was when first read.
            await admin.execute("select pg_stat_clear_snapshot()")


def submitted(group: GroupCommit, operations: list[Operation]) -> "asyncio.Future[list[Outcome]]":
    """All of them at once."""
    return asyncio.gather(*(group.submit(operation) for operation in operations))


def holds(books: Books, number: int) -> list[Operation]:
    """Small ones, which the user can pay all together."""
    return [factories.hold(books.user, 1) for _ in range(number)]


async def sizes(books: Books) -> list[int]:
    """How many rows the writer's batches have, where it is more than one."""
    async with reading(books.pool) as conn:
        return [row["n"] for row in await conn.fetch(_SIZES, books.writer.writer_id)]


async def broken(books: Books) -> list[str]:
    """The rules of the books that do not hold."""
    async with reading(books.pool) as conn:
        return await store.broken_rules(conn)


@pytest.mark.parametrize(("number", "commits"), [(20, 1), (MANY, 2)])
async def test_many_are_sent_in_two_halves_and_few_together(
    books: Books, number: int, commits: int
) -> None:
    async with GroupCommit(books.pool, books.writer) as group:
        async with head_locked(books) as admin:
            first = asyncio.ensure_future(group.submit(factories.hold(books.user, 1)))
            await waiting(admin, 1)
            rest = submitted(group, holds(books, number))
            await waiting(admin, commits)
        assert (await first).done
        assert all(outcome.done for outcome in await rest)
    # The second of two has half of all that is asked for; what is left over goes with the next.
    assert await sizes(books) == ([20] if commits == 1 else [51, 49])
    assert (await books.balance(books.user)).held_microusdc == number + 1
    assert await broken(books) == []


@pytest.mark.parametrize("order", ["", "desc"])
async def test_one_of_two_connections_lost_is_sent_again(books: Books, order: str) -> None:
    async with GroupCommit(books.pool, books.writer) as group:
        async with head_locked(books) as admin:
            every = submitted(group, holds(books, MANY))
            await waiting(admin, 2)
            assert await admin.fetchval(_KILL_ONE.format(order))
        assert all(outcome.done for outcome in await every)
    assert (await books.balance(books.user)).held_microusdc == MANY
    assert await broken(books) == []


async def test_a_new_life_fences_both(books: Books) -> None:
    async with GroupCommit(books.pool, books.writer) as group:
        async with head_locked(books) as admin:
            every = asyncio.gather(
                *(group.submit(operation) for operation in holds(books, MANY)),
                return_exceptions=True,
            )
            await waiting(admin, 2)
            await admin.execute("update settlement.writer set epoch = epoch + 1")
        assert {type(found) for found in await every} == {WriterFenced}
        with pytest.raises(WriterFenced):
            await group.submit(factories.hold(books.user, 1))
    assert (await books.balance(books.user)).held_microusdc == 0


@pytest.mark.parametrize("size", [1, 2])
async def test_a_small_pool_is_enough_and_keeps_one_for_others(books: Books, size: int) -> None:
    pool = await open_pool(books.database.dsn, role="pod_coordinator", application="few", size=size)
    try:
        async with asyncio.timeout(20), GroupCommit(pool, books.writer) as group:
            assert all(outcome.done for outcome in await submitted(group, holds(books, MANY)))
            if size > 1:
                async with reading(pool) as conn:
                    assert await store.broken_rules(conn) == []
    finally:
        await pool.close()


async def test_leaving_waits_for_both(books: Books) -> None:
    async with GroupCommit(books.pool, books.writer) as group:
        every = submitted(group, holds(books, MANY))
        await asyncio.sleep(0)
    assert all(outcome.done for outcome in await every)
    assert await broken(books) == []
