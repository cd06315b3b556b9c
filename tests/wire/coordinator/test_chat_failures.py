"""Providers that fail, early and late: who is asked next, what the user hears, and nobody pays."""

import asyncio
from typing import Any

import pytest

from coordinator import delivery
from coordinator.agent import Timing
from tests.conftest import Database
from tests.wire.coordinator.scripted import Agent, ask, delta, events_of, text_of
from tests.wire.coordinator.world import DOLLAR, PRICE, address, whole, world

STREAM = {"stream": True}
WITH_USAGE = {"stream": True, "stream_options": {"include_usage": True}}


@pytest.mark.parametrize("more", [{}, STREAM], ids=["whole", "stream"])
async def test_a_failure_before_the_first_word_goes_to_the_next(
    database: Database, more: dict[str, object]
) -> None:
    async with world(database.dsn) as w:
        user, first, second = await w.user(), await w.operator(), await w.operator()
        async with (
            w.agent(first) as bad,
            w.agent(second, models={"tiny-chat": 2 * PRICE}) as good,
        ):

            async def serve() -> None:
                await bad.fail(await bad.job(), "backend_unreachable")
                await good.answer(await good.job(), "hello")

            serving = asyncio.create_task(serve())
            async with w.chat(user, ask(**more)) as response:
                assert response.status == 200
                assert response.headers["x-pod-provider-id"] == str(second.provider_id)
                await response.read()
            await serving
        (row,) = await w.rows()
        assert (row["attempts"], row["gross_microusdc"]) == (2, 8)
        assert (await w.earned(first)).net_microusdc == 0


@pytest.mark.parametrize(
    "said",
    [
        b"data: nonsense\n\n",
        b'data: {"error": {"message": "out of memory"}}\n\n',
        b"<html>busy</html>\n\n",
        b"{",
    ],
    ids=["no json", "an error", "no events", "half a body"],
)
async def test_an_answer_that_is_none_goes_to_the_next(database: Database, said: bytes) -> None:
    async with world(database.dsn) as w:
        user, first, second = await w.user(), await w.operator(), await w.operator()
        async with w.agent(first) as bad, w.agent(second) as good:

            async def serve() -> None:
                job = await bad.job()
                await bad.give(job, said)
                await bad.done(job)
                await good.answer(await good.job(), "hello")

            serving = asyncio.create_task(serve())
            async with w.chat(user) as response:
                assert response.status == 200
            await serving
        assert (await w.earned(first)).net_microusdc == 0


async def test_an_unstreamed_answer_may_start_over_even_late(database: Database) -> None:
    async with world(database.dsn) as w:
        user, first, second = await w.user(), await w.operator(), await w.operator()
        async with w.agent(first) as bad, w.agent(second) as good:

            async def serve() -> None:
                job = await bad.job()
                await bad.say(job, "half an ")
                await bad.fail(job)
                await good.answer(await good.job(), "hello")

            serving = asyncio.create_task(serve())
            async with w.chat(user) as response:
                told = await response.json()
            await serving
        assert told["choices"][0]["message"]["content"] == "hello "
        assert told["usage"]["completion_tokens"] == 2


async def test_a_stream_that_breaks_ends_with_an_error_and_costs_nothing(
    database: Database,
) -> None:
    async with world(database.dsn) as w:
        user, first, second = await w.user(), await w.operator(), await w.operator()
        async with w.agent(first) as bad, w.agent(second):
            for how in ("error", "truncated", "garbage", "disconnect"):
                async with w.stream(user, bad, delta(content="half an ")) as (response, job):
                    await break_off(bad, job, how)
                    events = [each async for each in events_of(response)]
                assert text_of(events) == "half an "
                assert events[-1]["error"]["type"] == "provider_failed"
                assert events[-1]["choices"][0]["finish_reason"] == "error"
        assert await w.balance(user) == 25 * DOLLAR
        assert await w.reserved() == 0
        assert [row["outcome"] for row in await w.rows()] == ["failed"] * 4


async def break_off(agent: Agent, job: dict[str, Any], how: str) -> None:
    match how:
        case "error":
            await agent.fail(job, message="backend returned HTTP 500: secret words")
        case "truncated":
            await agent.done(job)
        case "garbage":
            await agent.give(job, b"data: {]\n\n")
            await agent.cancelled(job)
        case _:
            await agent.socket.close()


async def test_the_backends_words_never_reach_the_user(database: Database) -> None:
    async with world(database.dsn) as w:
        user, operator = await w.user(), await w.operator()
        half = delta(content="half an ")
        async with w.agent(operator) as agent, w.stream(user, agent, half) as (response, job):
            await agent.fail(job, message="backend returned HTTP 500: secret words")
            assert b"secret" not in await response.read()


async def test_the_users_own_mistake_is_told_as_such(database: Database) -> None:
    async with world(database.dsn) as w:
        user, operator = await w.user(), await w.operator()
        async with w.agent(operator) as agent:

            async def serve() -> None:
                job = await agent.job()
                await agent.fail(job, message="backend returned HTTP 400: context too long")

            serving = asyncio.create_task(serve())
            async with w.chat(user) as response:
                told = await response.json()
            await serving
        assert response.status == 400
        assert told["error"]["type"] == "bad_request"
        assert await w.balance(user) == 25 * DOLLAR


async def test_a_quiet_stream_is_kept_alive_and_a_dead_one_given_up(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "KEEP_ALIVE_SECONDS", 0.1)
    async with world(database.dsn, timing=Timing(idle_seconds=1.5)) as w:
        user, operator = await w.user(), await w.operator()
        hello = delta(content="hello")
        async with w.agent(operator) as agent, w.stream(user, agent, hello) as (response, job):
            raw = await response.read()
            await agent.cancelled(job)
        assert b": keep-alive\n\n" in raw
        assert b'"provider_failed"' in raw
        assert await w.balance(user) == 25 * DOLLAR


async def test_a_provider_that_never_begins_is_given_up(database: Database) -> None:
    async with world(database.dsn, timing=Timing(first_chunk_seconds=0.3)) as w:
        user, first, second = await w.user(), await w.operator(), await w.operator()
        async with w.agent(first) as dead, w.agent(second) as good:
            request = asyncio.create_task(whole(w, user, ask()))
            job = await dead.job()
            await good.answer(await good.job(), "hello")
            await dead.cancelled(job)
            await request


async def test_a_body_that_hangs_up_halfway_changes_nothing(database: Database) -> None:
    async with world(database.dsn) as w:
        user = await w.user()
        _, writer = await asyncio.open_connection(*address(w))
        head = f"POST /proxy/{user.token}/v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
        writer.write(head.encode() + b"content-length: 1000\r\n\r\n{")
        await writer.drain()
        writer.transport.abort()
        assert (await w.get("/health")).status == 200
        assert await w.rows() == []
