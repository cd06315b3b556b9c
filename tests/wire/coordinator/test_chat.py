"""The paid request: what the user gets, what the agent is asked, what everybody is paid."""

import asyncio
import json
from typing import Any

import pytest

from coordinator import delivery
from coordinator.agent import Timing
from coordinator.order import Limits
from tests.conftest import Database
from tests.wire.coordinator.world import (
    DOLLAR,
    PRICE,
    Agent,
    User,
    World,
    ask,
    delta,
    event,
    events_of,
    finish,
    text_of,
    usage,
    world,
)

STREAM = {"stream": True}
WITH_USAGE = {"stream": True, "stream_options": {"include_usage": True}}


async def answered(agent: Agent, text: str = "one two three") -> dict[str, Any]:
    job = await agent.job()
    await agent.answer(job, text)
    return job


async def test_an_unstreamed_answer_is_folded_priced_and_settled(database: Database) -> None:
    async with world(database.dsn) as w:
        user, operator = await w.user(), await w.operator()
        async with w.agent(operator) as agent:
            serving = asyncio.create_task(answered(agent))
            async with w.chat(user) as response:
                told = await response.json()
            job = await serving
        assert response.status == 200
        assert told["choices"][0]["message"]["content"] == "one two three "
        assert told["choices"][0]["finish_reason"] == "stop"
        # Counted by us: the provider's 9 and 99 are nobody's bill.
        assert told["usage"]["prompt_tokens"] == 2
        assert told["usage"]["completion_tokens"] == 4
        assert told["usage"]["total_tokens"] == 6
        assert job["request"]["stream"] is True
        assert job["request"]["stream_options"] == {"include_usage": True}
        assert (job["model_id"], job["format"], job["deadline_ms"]) == (
            "tiny-chat",
            "openai",
            300_000,
        )
        assert await w.balance(user) == 25 * DOLLAR - 6
        assert (await w.earned(operator)).net_microusdc == 5  # 6 less a fifth, rounded down
        assert await w.treasury() == 1
        assert await w.held() == 0


async def test_each_header_comes_once(database: Database) -> None:
    async with world(database.dsn) as w:
        user, operator = await w.user(), await w.operator()
        async with w.agent(operator) as agent:
            for more in ({}, STREAM):
                before = await w.balance(user)
                serving = asyncio.create_task(answered(agent))
                async with w.chat(user, ask(**more)) as response:
                    await response.read()
                await serving
                for name in ("x-pod-route", "x-pod-provider-id", "x-request-id"):
                    assert len(response.headers.getall(name)) == 1
                (left,) = response.headers.getall("x-balance-remaining")
                # After the capture; but a stream's headers leave before its price is known.
                assert int(left) == (before if more else before - 6)
                assert response.headers["x-pod-route"] == "marketplace"
                assert response.headers["x-pod-provider-id"] == str(operator.provider_id)


async def test_a_stream_is_passed_on_byte_for_byte(database: Database) -> None:
    async with world(database.dsn) as w:
        user, operator = await w.user(), await w.operator()
        first = delta(role="assistant", content="")
        async with w.agent(operator) as agent, w.stream(user, agent, first) as (response, job):
            raw = b": odd\n\n" + delta(content="caf\u00e9")
            for start in range(0, len(raw), 7):
                await agent.give(job, raw[start : start + 7])
            await agent.give(job, finish() + usage(9, 99) + b"data: [DONE]\n\n")
            await agent.done(job)
            assert await response.read() == first + raw + finish() + b"data: [DONE]\n\n"
            assert response.headers["content-type"].startswith("text/event-stream")
            assert response.status == 200


async def test_usage_is_ours_and_only_for_those_who_asked(database: Database) -> None:
    async with world(database.dsn) as w:
        user, operator = await w.user(), await w.operator()
        async with w.agent(operator) as agent:
            for more, wanted in ((STREAM, False), (WITH_USAGE, True)):
                serving = asyncio.create_task(answered(agent))
                async with w.chat(user, ask(**more)) as response:
                    events = [each async for each in events_of(response)]
                await serving
                assert events[-1] == "[DONE]"
                told = [each["usage"] for each in events[:-1] if each.get("usage")]
                assert len(told) == wanted
                if wanted:
                    assert (told[0]["prompt_tokens"], told[0]["completion_tokens"]) == (2, 4)


async def test_the_end_is_told_only_after_the_money_is_settled(database: Database) -> None:
    async with world(database.dsn) as w:
        user, operator = await w.user(), await w.operator()
        hello = delta(content="hello")
        async with w.agent(operator) as agent, w.stream(user, agent, hello) as (response, job):
            stream = events_of(response)
            assert text_of([await anext(stream)]) == "hello"
            async with w.pool.acquire() as blocker, blocker.transaction():
                # Nobody can settle while somebody else holds the writer's head.
                await blocker.execute("select from settlement.writer for update")
                await agent.give(job, finish())
                await agent.done(job)
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(anext(stream), 0.3)
            rest = await response.read()
        assert rest.endswith(b"data: [DONE]\n\n")
        assert await w.balance(user) == 25 * DOLLAR - 3


async def test_the_claim_is_stored_beside_our_count(database: Database) -> None:
    async with world(database.dsn) as w:
        user, operator = await w.user(), await w.operator()
        async with w.agent(operator) as agent:
            serving = asyncio.create_task(answered(agent))
            async with w.chat(user) as response:
                await response.read()
            await serving
        (row,) = await w.rows()
        assert (row["input_tokens"], row["output_tokens"]) == (2, 4)
        assert (row["claimed_input_tokens"], row["claimed_output_tokens"]) == (9, 3)
        assert (row["gross_microusdc"], row["outcome"], row["attempts"]) == (6, "settled", 1)
        assert str(row["request_id"]) == response.headers["x-request-id"]


async def test_a_backend_that_does_not_stream_serves_both_kinds(database: Database) -> None:
    message = {"role": "assistant", "content": "hello world"}
    whole = json.dumps(
        {"id": "c", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    ).encode()
    async with world(database.dsn) as w:
        user, operator = await w.user(), await w.operator()
        async with w.agent(operator) as agent:

            async def serve() -> None:
                job = await agent.job()
                await agent.give(job, whole[:20])
                await agent.give(job, whole[20:])
                await agent.done(job)

            for more in ({}, STREAM):
                serving = asyncio.create_task(serve())
                async with w.chat(user, ask(**more)) as response:
                    if more:
                        told = text_of([each async for each in events_of(response)])
                    else:
                        told = (await response.json())["choices"][0]["message"]["content"]
                await serving
                assert told == "hello world"


async def test_the_cheapest_serves_and_its_own_model_id_is_used(database: Database) -> None:
    async with world(database.dsn) as w:
        user, dear, cheap = await w.user(), await w.operator(), await w.operator()
        async with (
            w.agent(dear, models={"tiny-chat": 3 * PRICE}),
            w.agent(cheap, models={"vendor/Tiny-Chat": 2 * PRICE}) as agent,
        ):
            serving = asyncio.create_task(answered(agent))
            async with w.chat(user, ask(model="other/tiny-chat")) as response:
                assert response.headers["x-pod-provider-id"] == str(cheap.provider_id)
            job = await serving
        assert job["model_id"] == job["request"]["model"] == "vendor/Tiny-Chat"
        assert await w.balance(user) == 25 * DOLLAR - 12


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
        assert await w.held() == 0
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
    await w.nothing_held()
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


async def whole(w: World, user: User, body: dict[str, object]) -> bytes:
    async with w.chat(user, body) as response:
        assert response.status == 200
        return await response.read()


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
            await w.nothing_held()
        rows = await w.rows()
        assert {row["outcome"] for row in rows} == {"left", "settled"}
        assert all(row["gross_microusdc"] > 0 for row in rows)


def address(w: World) -> tuple[str, int]:
    host, _, port = w.url.removeprefix("http://").partition(":")
    return host, int(port)


async def test_nobody_serves_that_model(database: Database) -> None:
    async with world(database.dsn) as w:
        user, operator = await w.user(), await w.operator()
        async with w.agent(operator), w.chat(user, ask(model="no-such")) as response:
            told = await response.json()
        assert response.status == 503
        assert told["error"]["type"] == "no_provider"
        assert told["error"]["message"] == "no healthy provider for model: no-such"
        assert await w.held() == 0


async def test_ceilings_and_modes(database: Database) -> None:
    cases: list[tuple[dict[str, str], int, str]] = [
        ({"X-Pod-Max-Price-Input": str(PRICE - 1)}, 402, "no_provider_at_price"),
        ({"X-Pod-Max-Price-Output": "0"}, 402, "no_provider_at_price"),
        ({"X-Pod-Routing-Mode": "centralized-only"}, 503, "no_provider"),
        ({"X-Pod-Providers": "venice"}, 503, "no_provider"),
        ({"X-Pod-Providers": "nobody"}, 400, "bad_request"),
        ({"X-Pod-Max-Price-Input": "cheap"}, 400, "bad_request"),
        ({"X-Pod-Routing-Mode": "best"}, 400, "bad_request"),
    ]
    async with world(database.dsn) as w:
        user, operator = await w.user(), await w.operator()
        async with w.agent(operator) as agent:
            for headers, status, kind in cases:
                async with w.chat(user, headers=headers) as response:
                    told = (await response.json())["error"]
                assert (response.status, told["type"]) == (status, kind), headers
                if kind == "no_provider_at_price":
                    assert told["message"] == "No provider available at your price ceiling."
                    assert told["details"] == {
                        "suggested_min_input_per_1m": PRICE,
                        "suggested_min_output_per_1m": PRICE,
                    }
                if "X-Pod-Providers" in headers and status == 503:
                    assert "venice" in told["message"]
            good = {"X-Pod-Max-Price-Input": str(PRICE), "X-Pod-Routing-Mode": "marketplace-only"}
            serving = asyncio.create_task(answered(agent))
            async with w.chat(user, headers=good) as response:
                assert response.status == 200
            await serving


async def test_any_key_or_none_is_ignored(database: Database) -> None:
    async with world(database.dsn) as w:
        user, operator = await w.user(), await w.operator()
        async with w.agent(operator) as agent:
            for headers in ({"Authorization": "Bearer UsePod"}, {"x-api-key": "k"}, {}):
                serving = asyncio.create_task(answered(agent))
                async with w.chat(user, headers=headers) as response:
                    assert response.status == 200
                await serving


async def test_a_provider_that_is_full_is_not_asked(database: Database) -> None:
    async with world(database.dsn) as w:
        user, operator = await w.user(), await w.operator()
        async with w.agent(operator, slots=1) as agent:
            request = asyncio.create_task(whole(w, user, ask()))
            job = await agent.job()
            async with w.chat(user) as response:
                assert response.status == 503
                assert response.headers["retry-after"] == "1"
            await agent.answer(job, "hello")
            await request


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


async def test_the_sdk_error_shape(database: Database) -> None:
    async with world(database.dsn) as w:
        user = await w.user()
        async with w.chat(user, {"model": "m"}) as response:
            told = await response.json()
        assert set(told["error"]) == {"type", "message", "code", "param", "details"}
        assert told["error"]["param"] == "messages"
