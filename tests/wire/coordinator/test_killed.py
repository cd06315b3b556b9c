"""A coordinator that is killed: what was set aside comes back, what was delivered is paid once."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import asyncpg

from tests.conftest import Database
from tests.wire.coordinator.process import Coordinator, coordinator
from tests.wire.coordinator.scripted import Agent, User, ask, delta, finish
from tests.wire.coordinator.world import CUT, DOLLAR, World, world

STREAM = {"stream": True}


async def test_a_killed_coordinator_leaves_nothing_behind(database: Database) -> None:
    async with coordinator(database.dsn) as (one, w):
        user, operator = await w.user(), await w.operator()
        async with w.agent(operator) as agent, w.stream(user, agent, delta(content="hello")):
            assert await w.reserved() > 0
            one.process.kill()
    async with world(database.dsn) as w:
        assert await w.leased() == 0
        assert await w.balance(user) == 25 * DOLLAR
        assert [row["outcome"] for row in await w.rows()] == ["unsettled"]


@asynccontextmanager
async def nobody_can_settle(dsn: str) -> AsyncGenerator[None]:
    """Somebody has the writer's head."""
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction():
            await connection.execute(
                "select from settlement.writer where name = 'coordinator' for update"
            )
            yield
    finally:
        await connection.close()


async def logged(w: World, outcome: str, count: int) -> None:
    """Wait until so many requests are in the log with this outcome."""
    rows = "select count(*) from coordinator.request where outcome = $1"
    async with asyncio.timeout(10):
        while await w.pool.fetchval(rows, outcome) != count:  # noqa: ASYNC110 -- another process
            await asyncio.sleep(0.02)


async def killed(one: Coordinator, w: World) -> None:
    """Kill the process, and what it has sent to the database and not yet been told about."""
    one.process.kill()
    await asyncio.to_thread(one.process.wait)
    await w.pool.fetch(CUT)


async def test_what_was_delivered_and_not_settled_is_settled_at_the_next_start(
    database: Database,
) -> None:
    async with coordinator(database.dsn) as (one, w):
        user, operator = await w.user(), await w.operator()
        async with (
            w.agent(operator) as agent,
            w.stream(user, agent, delta(content="hello")) as (_, delivered),
            w.stream(user, agent, delta(content="hello")),
            nobody_can_settle(database.dsn),
        ):
            await agent.give(delivered, finish())
            await agent.done(delivered)
            await logged(w, "settled", 1)
            await killed(one, w)
    for _ in range(2):
        async with world(database.dsn) as w:
            assert await w.leased() == 0
            assert await w.balance(user) == 25 * DOLLAR - 3
            assert (await w.earned(operator)).net_microusdc == 3
            rows = await w.rows()
            assert [row["outcome"] for row in rows] == ["settled", "unsettled"]
            assert [row["gross_microusdc"] for row in rows] == [3, None]
            assert await w.pool.fetchval("select count(*) from settlement.charge") == 1


async def test_an_answer_that_was_not_given_is_not_charged(database: Database) -> None:
    """One that is not streamed is given once it is settled: the user has seen nothing of it."""
    async with coordinator(database.dsn) as (one, w):
        user, operator = await w.user(), await w.operator()
        async with w.agent(operator) as agent:
            asking = asyncio.create_task(answer(w, user))
            job = await agent.job()
            async with nobody_can_settle(database.dsn):
                await agent.answer(job, "hello")
                await logged(w, "settled", 1)
                await killed(one, w)
            assert await asking is None
    async with world(database.dsn) as w:
        assert await w.balance(user) == 25 * DOLLAR
        (row,) = await w.rows()
        assert (row["outcome"], row["gross_microusdc"]) == ("unsettled", None)


async def answer(w: World, user: User) -> bytes | None:
    try:
        async with w.chat(user) as response:
            return await response.read()
    except aiohttp.ClientError:
        return None


async def test_what_a_settled_request_cost_is_not_taken_twice(database: Database) -> None:
    """Killed after the charge, before the log knew how the request ended."""
    async with coordinator(database.dsn) as (one, w):
        user, operator = await w.user(), await w.operator()
        async with (
            w.agent(operator) as agent,
            w.stream(user, agent, delta(content="hello")) as (_, job),
            the_log_is_away(database.dsn),
        ):
            await agent.give(job, finish())
            await agent.done(job)
            async with asyncio.timeout(10):
                charges = "select count(*) from settlement.charge"
                while not await w.pool.fetchval(charges):  # noqa: ASYNC110 -- another process
                    await asyncio.sleep(0.02)
            one.process.kill()
            await asyncio.to_thread(one.process.wait)
    async with world(database.dsn) as w:
        assert await w.balance(user) == 25 * DOLLAR - 3
        assert [row["outcome"] for row in await w.rows()] == ["lost"]


@asynccontextmanager
async def the_log_is_away(dsn: str) -> AsyncGenerator[None]:
    """Nobody can write to the log of requests."""
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction():
            await connection.execute("lock table coordinator.request in exclusive mode")
            yield
    finally:
        await connection.close()


async def test_killed_in_the_middle_of_everything(database: Database) -> None:
    """Users ask on and on; whoever was told the end has paid, nobody has paid twice."""
    told: list[str] = []
    async with coordinator(database.dsn) as (one, w):
        users = [await w.user(funded=2_000) for _ in range(3)]
        operator = await w.operator()
        async with w.agent(operator, slots=64) as agent:
            working = [asyncio.create_task(serve(agent))]
            working += [asyncio.create_task(spend(w, user, told)) for user in users * 4]
            async with asyncio.timeout(30):
                while len(told) < 40:  # noqa: ASYNC110 -- requests of other tasks
                    await asyncio.sleep(0.01)
            one.process.kill()
            await asyncio.to_thread(one.process.wait)
            for task in working:
                task.cancel()
            await asyncio.gather(*working, return_exceptions=True)
    async with world(database.dsn) as w:
        assert await w.leased() == 0
        rows = await w.rows()
        charges = await w.pool.fetch("select request_id, gross from settlement.charge")
        paid = {str(row["request_id"]): row["gross"] for row in charges}
        assert set(told) <= set(paid), "who was told the end has paid"
        for row in rows:
            gross = paid.pop(str(row["request_id"]), None)
            if row["outcome"] == "lost":
                assert gross is not None, "the books know"
            elif row["outcome"] != "failed":
                assert row["gross_microusdc"] == gross
        assert paid == {}, "nothing was charged that the log does not know"
        spent = sum(row["gross"] for row in charges)
        assert sum([await w.balance(user) for user in users]) == 3 * 2_000 - spent
        earned = (await w.earned(operator)).net_microusdc
        assert earned + await w.treasury() == spent


async def serve(agent: Agent) -> None:
    """Answer every job; now and then in two steps, so that something is always in the middle."""
    while True:
        job = await agent.frame()
        if job["type"] == "job":
            await agent.give(job, delta(content="one two three"))
            await asyncio.sleep(0)
            await agent.give(job, finish())
            await agent.done(job)


async def spend(w: World, user: User, told: list[str]) -> None:
    while True:
        try:
            request: dict[str, Any] = ask(**STREAM, max_tokens=100)
            async with w.chat(user, request) as response:
                body = await response.read()
        except aiohttp.ClientError:
            return
        if response.status != 200:
            await asyncio.sleep(0.01)
        elif body.endswith(b"data: [DONE]\n\n"):
            told.append(response.headers["x-request-id"])
