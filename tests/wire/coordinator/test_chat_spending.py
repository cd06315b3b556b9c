"""Users who hang up, run out of money or read too slowly: they pay what was delivered."""

import asyncio
import json

import pytest

from coordinator.order import Limits
from tests.conftest import Database
from tests.wire.coordinator.scripted import User, answered, ask, delta, event, events_of, text_of
from tests.wire.coordinator.world import DOLLAR, World, address, whole, world

STREAM = {"stream": True}
WITH_USAGE = {"stream": True, "stream_options": {"include_usage": True}}


async def test_a_user_who_hangs_up_pays_what_was_delivered(database: Database) -> None:
    async with world(database.dsn) as w:
        user, operator = await w.user(), await w.operator()
        async with w.agent(operator) as agent:
            hello = delta(content="hello world")
            async with w.stream(user, agent, hello) as (response, job):
                assert text_of([await anext(events_of(response))]) == "hello world"
            await agent.cancelled(job)
            await agent.say(job, " this comes too late")
            await settled(w, user, 25 * DOLLAR - 4)
            # The agent is as good as new: a late terminal frame confuses nobody.
            await agent.done(job)
            serving = asyncio.create_task(answered(agent))
            async with w.chat(user) as again:
                assert again.status == 200
            await serving
        assert [row["outcome"] for row in await w.rows()] == ["left", "settled"]


@pytest.mark.parametrize("more", [{}, STREAM], ids=["whole", "stream"])
async def test_a_user_who_got_nothing_pays_nothing(
    database: Database, more: dict[str, object]
) -> None:
    async with world(database.dsn) as w:
        user, operator = await w.user(), await w.operator()
        async with w.agent(operator) as agent:
            request = asyncio.create_task(asked(w, user, ask(**more)))
            job = await agent.job()
            if not more:
                await agent.say(job, "hello")
            request.cancel()
            await agent.cancelled(job)
            await settled(w, user, 25 * DOLLAR)
        assert [row["outcome"] for row in await w.rows()] == ["abandoned"]


async def asked(w: World, user: User, body: dict[str, object]) -> None:
    async with w.chat(user, body) as response:
        await response.read()


async def settled(w: World, user: User, balance: int) -> None:
    await w.nothing_reserved()
    assert await w.balance(user) == balance


async def test_a_provider_that_ignores_the_limit_is_cut(database: Database) -> None:
    async with world(database.dsn) as w:
        user, operator = await w.user(), await w.operator()
        async with w.agent(operator) as agent:
            for more in ({"max_tokens": 3}, {"max_tokens": 3, **WITH_USAGE}):
                request = asyncio.create_task(whole(w, user, ask(**more)))
                job = await agent.job()
                assert job["request"]["max_tokens"] == 3
                for word in ("one", " two", " three", " four", " five"):
                    await agent.say(job, word)
                await agent.cancelled(job)
                told = await request
                assert b'"length"' in told
                assert b" three" in told
                assert b" four" not in told
        assert await w.balance(user) == 25 * DOLLAR - 2 * 5
        assert [row["outcome"] for row in await w.rows()] == ["cut", "cut"]


async def test_who_cannot_pay_the_worst_case_gets_what_they_can_pay(database: Database) -> None:
    async with world(database.dsn) as w:
        user, operator = await w.user(funded=7), await w.operator()
        async with w.agent(operator) as agent:
            request = asyncio.create_task(whole(w, user, ask(**STREAM)))
            job = await agent.job()
            assert job["request"]["max_tokens"] == 5  # seven microunits less two for the input
            for _ in range(9):
                await agent.say(job, " word")
            await agent.cancelled(job)
            assert (await request).count(b" word") == 5
            assert await w.balance(user) == 0
            async with w.chat(user) as response:
                told = await response.json()
        assert response.status == 402
        assert told["error"]["type"] == "insufficient_balance"
        assert told["error"]["details"] == {"available_microusdc": 0, "required_microusdc": 3}


async def test_several_choices_share_the_bound(database: Database) -> None:
    async with world(database.dsn) as w:
        user, operator = await w.user(funded=10), await w.operator()
        async with w.agent(operator) as agent:
            request = asyncio.create_task(whole(w, user, ask(n=2)))
            job = await agent.job()
            assert (job["request"]["n"], job["request"]["max_tokens"]) == (2, 4)
            for index in (0, 1):
                both = {"index": index, "delta": {"content": "hi"}, "finish_reason": "stop"}
                await agent.give(job, event(choices=[both]))
            await agent.done(job)
            told = json.loads(await request)
        assert [each["message"]["content"] for each in told["choices"]] == ["hi", "hi"]
        assert await w.balance(user) == 6


async def test_a_reader_who_is_too_slow_loses_the_stream_not_the_agent(
    database: Database,
) -> None:
    async with world(database.dsn, limits=Limits(buffer_bytes=512 * 1024)) as w:
        user, operator = await w.user(), await w.operator()
        async with w.agent(operator) as agent:
            _, writer = await asyncio.open_connection(*address(w), limit=1024)
            raw = json.dumps(ask(stream=True, max_tokens=1_000_000)).encode()
            head = f"POST /proxy/{user.token}/v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
            writer.write(head.encode() + f"content-length: {len(raw)}\r\n\r\n".encode() + raw)
            job = await agent.job()
            await agent.say(job, "hello")
            cancelled = asyncio.create_task(agent.cancelled(job))
            while not cancelled.done():
                await agent.say(job, " word" * 4_000)
            await cancelled
            # While one user slept the agent's socket was read all along: the next one is served.
            serving = asyncio.create_task(answered(agent))
            async with w.chat(await w.user()) as response:
                assert response.status == 200
            await serving
            writer.transport.abort()
            await w.nothing_reserved()
        rows = await w.rows()
        assert {row["outcome"] for row in rows} == {"left", "settled"}
        assert all(row["gross_microusdc"] > 0 for row in rows)
