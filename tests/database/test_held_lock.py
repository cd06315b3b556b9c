"""A lock that is held, lost, heard through, and taken over."""

import asyncio

import asyncpg
import pytest

from settlement.db.pool import AlreadyRunning, Pool, only_one, open_pool, reading
from settlement.reconcile import frontier
from tests.conftest import Database


async def pool_of(database: Database) -> Pool:
    return await open_pool(database.dsn, role="pod_indexer", application="test", size=3)


async def end_connections_of(database: Database, holder: int) -> None:
    admin = await asyncpg.connect(database.dsn)
    await admin.execute("select pg_terminate_backend($1)", holder)
    await admin.close()


async def holder_of(database: Database) -> int:
    admin = await asyncpg.connect(database.dsn)
    pid = await admin.fetchval("select pid from pg_locks where locktype = 'advisory' and granted")
    await admin.close()
    return int(pid)


async def test_a_lost_lock_is_noticed_at_once_and_taken_over(database: Database) -> None:
    pool, other = await pool_of(database), await pool_of(database)
    async with only_one(pool, "tested") as held:
        losing = asyncio.create_task(held.lost(every_seconds=0.05))
        with pytest.raises(AlreadyRunning):
            async with only_one(other, "tested"):
                pass
        assert held()
        await end_connections_of(database, await holder_of(database))
        async with asyncio.timeout(2):
            await losing
        assert not held()
        async with only_one(other, "tested") as taken:
            assert taken()
    await pool.close()
    await other.close()


async def test_a_frozen_server_is_as_good_as_a_lost_lock(database: Database) -> None:
    pool = await pool_of(database)
    async with only_one(pool, "tested") as held:
        async with asyncio.timeout(5):
            await held.lost(every_seconds=0.01, answer_seconds=0)
        assert held()  # the connection is there; its server does not answer in time
    pool.terminate()


async def test_who_waits_for_a_frontier_is_heard(database: Database) -> None:
    pool = await pool_of(database)
    heard = asyncio.Event()
    async with only_one(pool, "tested") as held, held.hearing(frontier.WANTED, heard.set):
        async with reading(pool) as conn:
            await frontier.want(conn, "test")
        async with asyncio.timeout(5):
            await heard.wait()
    await pool.close()
