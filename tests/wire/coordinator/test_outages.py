"""The database goes away and comes back, and another writer takes over."""

import asyncio

import pytest

from settlement.db.pool import open_pool
from settlement.ledger.store import WriterFenced, open_writer
from tests.conftest import Database
from tests.wire.coordinator.scripted import answered, delta, events_of, finish
from tests.wire.coordinator.world import CUT, DOLLAR, World, world


async def cut(w: World) -> None:
    """Every connection of the coordinator to its database is lost at once."""
    await w.pool.fetch(CUT)


async def overtake(database: Database) -> None:
    """Somebody goes past the lock: another coordinator begins a life as the same writer."""
    pool = await open_pool(database.dsn, role="pod_coordinator", application="other", size=1)
    try:
        await open_writer(pool, "coordinator")
    finally:
        await pool.close()


async def test_a_stream_outlives_its_database_connections(database: Database) -> None:
    async with world(database.dsn) as w:
        user, operator = await w.user(), await w.operator()
        async with w.agent(operator) as agent:
            async with w.stream(user, agent, delta(content="hello")) as (response, job):
                await cut(w)
                await agent.give(job, finish())
                await agent.done(job)
                assert [each async for each in events_of(response)][-1] == "[DONE]"
            assert await w.balance(user) == 25 * DOLLAR - 3
            # Everything that listens, locks and logs has found its way back.
            await cut(w)
            async with asyncio.timeout(20):
                while (await w.get("/health")).status != 200:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            serving = asyncio.create_task(answered(agent))
            async with w.chat(user) as again:
                assert again.status == 200
            await serving
        assert [row["outcome"] for row in await w.rows()] == ["settled", "settled"]


async def test_a_fenced_coordinator_ends(database: Database) -> None:
    with pytest.raises(WriterFenced):
        await overtaken(database)


async def overtaken(database: Database) -> None:
    async with world(database.dsn) as w:
        user, operator = await w.user(), await w.operator()
        async with w.agent(operator):
            await overtake(database)
            async with w.chat(user) as response:
                assert response.status == 409
            await asyncio.sleep(30)


async def test_an_answer_that_cannot_be_settled_is_settled_at_the_next_start(
    database: Database,
) -> None:
    """The log has what was delivered: nobody but the process that was fenced lacks it."""
    with pytest.raises(WriterFenced):
        await overtaken_in_an_answer(database)
    async with world(database.dsn) as w:
        (row,) = await w.rows()
        assert (row["outcome"], row["gross_microusdc"]) == ("settled", 3)
        assert [tuple(row) for row in await w.pool.fetch(_CHARGES)] == [(row["request_id"], 3)]
        assert await w.leased() == 0


_CHARGES = "select request_id, gross from settlement.charge"


async def overtaken_in_an_answer(database: Database) -> None:
    async with world(database.dsn) as w:
        user, operator = await w.user(), await w.operator()
        async with w.agent(operator) as agent:
            async with w.stream(user, agent, delta(content="hello")) as (response, job):
                await overtake(database)
                await agent.give(job, finish())
                await agent.done(job)
                async for event in events_of(response):
                    assert event != "[DONE]"
            await asyncio.sleep(30)
