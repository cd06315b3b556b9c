"""The paid request: what the user gets, what the agent is asked, what everybody is paid."""

import asyncio
import json

import pytest

from tests.conftest import Database
from tests.wire.coordinator.scripted import (
    answered,
    ask,
    delta,
    events_of,
    finish,
    text_of,
    usage,
)
from tests.wire.coordinator.world import DOLLAR, PRICE, whole, world

STREAM = {"stream": True}
WITH_USAGE = {"stream": True, "stream_options": {"include_usage": True}}


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
        assert await w.reserved() == 0


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


async def test_nobody_serves_that_model(database: Database) -> None:
    async with world(database.dsn) as w:
        user, operator = await w.user(), await w.operator()
        async with w.agent(operator), w.chat(user, ask(model="no-such")) as response:
            told = await response.json()
        assert response.status == 503
        assert told["error"]["type"] == "no_provider"
        assert told["error"]["message"] == "no healthy provider for model: no-such"
        assert await w.reserved() == 0


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


async def test_the_sdk_error_shape(database: Database) -> None:
    async with world(database.dsn) as w:
        user = await w.user()
        async with w.chat(user, {"model": "m"}) as response:
            told = await response.json()
        assert set(told["error"]) == {"type", "message", "code", "param", "details"}
        assert told["error"]["param"] == "messages"
