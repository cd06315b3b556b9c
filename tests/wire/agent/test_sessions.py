"""An agent's life with the real coordinator: offers, jobs, trouble, and who wins."""

import asyncio
import json
from pathlib import Path

import pytest

from localnet.backend_answers import Behaviour
from localnet.provider_identity import Identity
from localnet.provider_jobs import Defects
from tests.conftest import Database
from tests.wire.agent.line import Hand, events_of, hand
from tests.wire.market import Json, Market, Operator, User, market_at
from tests.wire.waiting import eventually

FUNDS = 1_000_000


def chat(
    market: Market, user: User, model: str = "tiny-chat", **options: object
) -> asyncio.Task[tuple[int, Json]]:
    body = {"model": model, "messages": [{"role": "user", "content": "8 words"}], **options}
    return market.start(market.call("POST", f"/proxy/{user.token}/v1/chat/completions", body))


async def enter(market: Market, agent: Hand, identity: Identity, operator: Operator) -> None:
    verdict = await agent.respond(identity, enrollment_code=f"POD-ENROLL-{operator.code}")
    assert verdict == {"type": "auth_ok", "provider_id": str(operator.provider_id)}


async def serving(market: Market, agent: Hand, *models: str, slots: int = 2) -> Operator:
    operator = await market.operator()
    await enter(market, agent, Identity.new(), operator)
    await agent.offer(*models, slots=slots)
    await market.until_serving(operator, list(models))
    return operator


async def test_a_job_is_what_the_wire_says(market: Market) -> None:
    user = await market.user(funds_microusdc=FUNDS)
    async with hand(market) as agent:
        await serving(market, agent, "vendor/tiny-chat")
        options = {"include_usage": False}
        asking = chat(
            market, user, stream_options=options, temperature=0.5, max_completion_tokens=9
        )
        job = await agent.receive()
        assert set(job) == {"type", "job_id", "model_id", "request", "format", "deadline_ms"}
        assert (job["type"], job["format"]) == ("job", "openai")
        assert job["model_id"] == "vendor/tiny-chat"
        assert isinstance(job["deadline_ms"], int)
        assert job["deadline_ms"] >= 120_000
        assert job["request"] == {
            "model": "vendor/tiny-chat",
            "messages": [{"role": "user", "content": "8 words"}],
            "stream": True,
            "stream_options": {"include_usage": True},
            "temperature": 0.5,
            "max_completion_tokens": 9,
        }
        await agent.answer(job["job_id"], "hello")
        assert (await asking)[0] == 200


async def test_a_reconnect_replaces_what_was_offered(market: Market) -> None:
    user = await market.user(funds_microusdc=FUNDS)
    provider = await market.provider({"first": Behaviour()})
    assert (await chat(market, user, "first"))[0] == 200
    provider.backend.models = {"second": Behaviour()}
    await market.again(provider)
    assert (await chat(market, user, "first"))[0] == 503
    assert (await chat(market, user, "second"))[0] == 200


async def test_a_second_offer_replaces_the_first(market: Market) -> None:
    async with hand(market) as agent:
        operator = await serving(market, agent, "first", "both")
        await agent.offer("both", "second")
        await market.until_serving(operator, ["both", "second"])


async def test_an_empty_offer_is_a_connected_agent(market: Market) -> None:
    provider = await market.provider({})
    await eventually(lambda: provider.agent.connected)
    _, profile = await market.call(
        "GET", "/v1/host/profile", headers=provider.operator.authorization
    )
    nothing: list[str] = []
    told = {"paired": True, "connected": True, "models": nothing, "running": 0}
    assert profile["agent"] == told


async def test_a_heartbeat_keeps_an_agent_and_silence_loses_it(
    database: Database, tmp_path: Path
) -> None:
    async with market_at(database.dsn, tmp_path, POD_COORDINATOR_SILENCE_SECONDS="1") as market:
        provider = await market.provider({"tiny-chat": Behaviour()}, heartbeat_seconds=0.2)
        async with hand(market) as silent:
            await serving(market, silent, "another")
            assert await silent.receive() == {"close": 1001}
        assert provider.agent.connections == 1
        assert provider.agent.connected


async def test_an_agent_may_take_its_time_before_its_capabilities(
    database: Database, tmp_path: Path
) -> None:
    async with market_at(database.dsn, tmp_path, POD_COORDINATOR_SILENCE_SECONDS="1") as market:
        operator = await market.operator()
        async with hand(market) as slow, hand(market) as silent:
            await enter(market, slow, Identity.new(), operator)
            await serving(market, silent, "another")
            assert await silent.receive() == {"close": 1001}  # a second and more has passed
            await slow.offer("tiny-chat")
            await market.until_serving(operator, ["tiny-chat"])


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_failing_provider_is_replaced_by_the_next(streamed: bool, market: Market) -> None:
    user = await market.user(funds_microusdc=FUNDS)
    cheap = await market.provider({"tiny-chat": Behaviour(refuses_with_status=500)}, input_per_1m=1)
    good = await market.provider({"tiny-chat": Behaviour()})
    body = {
        "model": "tiny-chat",
        "messages": [{"role": "user", "content": "8 words"}],
        "stream": streamed,
    }
    path = f"{market.url}/proxy/{user.token}/v1/chat/completions"
    async with market.http.post(path, json=body) as response:
        assert response.status == 200
        assert response.headers["x-pod-provider-id"] == str(good.operator.provider_id)
        await response.read()
    await market.until_settled(user)
    assert await market.earned(cheap.operator) == 0
    assert await market.earned(good.operator) > 0
    assert sum("job_error" in text for _, text in cheap.frames) == 1


async def test_an_agent_that_vanishes_is_replaced_by_the_next(market: Market) -> None:
    user = await market.user(funds_microusdc=FUNDS)
    good = await market.provider({"tiny-chat": Behaviour()}, input_per_1m=500_000)
    async with hand(market) as agent:
        gone = await serving(market, agent, "tiny-chat")
        asking = chat(market, user)
        assert (await agent.receive())["type"] == "job"
    status, _ = await asking
    assert status == 200
    assert await market.earned(gone) == 0
    assert await market.earned(good.operator) > 0


async def test_the_newest_connection_of_a_key_wins_and_takes_over_its_jobs(market: Market) -> None:
    user = await market.user(funds_microusdc=FUNDS)
    operator, identity = await market.operator(), Identity.new()
    async with hand(market) as old, hand(market) as new:
        await enter(market, old, identity, operator)
        await old.offer("tiny-chat")
        await market.until_serving(operator, ["tiny-chat"])
        good = await market.provider({"tiny-chat": Behaviour()}, input_per_1m=500_000)
        asking = chat(market, user)
        assert (await old.receive())["type"] == "job"
        await enter(market, new, identity, operator)
        assert "close" in await old.receive()
        assert (await asking)[0] == 200  # by the other provider
        assert await market.earned(good.operator) > 0
        await new.offer("tiny-chat")
        await market.until_serving(operator, ["tiny-chat"])
        asking = chat(market, user)
        job = await new.receive()
        await new.answer(job["job_id"], "hello")
        assert (await asking)[0] == 200
        assert await market.earned(operator) > 0


BAD_FRAMES = [
    "{not json",
    "[]",
    "{}",
    '{"type":5}',
    '{"type":"job_chunk"}',
    '{"type":"job_chunk","job_id":"x","data":""}',
    '{"type":"job_done","job_id":5}',
    '{"type":"job_error"}',
    '{"type":"capabilities","models":5}',
]
HARMLESS_FRAMES = [
    '{"type":"hello"}',
    '{"type":"config_update","x":1}',
    '{"type":"heartbeat"}',
    '{"type":"heartbeat","queue_depth":"many","last_error_at":{"x":1},"future":[1]}',
    '{"type":"job_done","job_id":"6a1f0c1e-7a0e-4b52-8a44-000000000001"}',
    '{"type":"job_error","job_id":"6a1f0c1e-7a0e-4b52-8a44-000000000001"}',
    '{"type":"job_chunk","job_id":"6a1f0c1e-7a0e-4b52-8a44-000000000001","data":"AAAA"}',
]


async def test_frames_that_make_no_sense_cost_an_agent_nothing(market: Market) -> None:
    user = await market.user(funds_microusdc=FUNDS)
    async with hand(market) as agent:
        await serving(market, agent, "tiny-chat")
        for text in BAD_FRAMES + HARMLESS_FRAMES:
            await agent.socket.send_str(text)
        await agent.socket.send_bytes(b"\x00\x01")
        asking = chat(market, user)
        job = await agent.receive()
        for text in HARMLESS_FRAMES:
            await agent.socket.send_str(text)
        await agent.answer(job["job_id"], "hello")
        await agent.done(job["job_id"])  # again: ignored
        await agent.chunk(job["job_id"], b"late")
        assert (await asking)[0] == 200


async def test_an_agent_that_sends_nothing_but_nonsense_is_sent_away(market: Market) -> None:
    async with hand(market) as agent:
        await serving(market, agent, "tiny-chat")
        for _ in range(100):
            await agent.socket.send_str("{not json")
        assert await agent.receive() == {"close": 1008}


async def test_an_unreadable_chunk_fails_its_job_and_no_other(market: Market) -> None:
    user = await market.user(funds_microusdc=FUNDS)
    async with hand(market) as agent:
        await serving(market, agent, "tiny-chat")
        first, second = chat(market, user), chat(market, user)
        jobs = [await agent.receive(), await agent.receive()]
        await agent.send(type="job_chunk", job_id=jobs[0]["job_id"], data="not base64!")
        cancel = await agent.receive()
        assert cancel == {"type": "job_cancel", "job_id": jobs[0]["job_id"]}
        await agent.answer(jobs[1]["job_id"], "hello")
        assert sorted([(await first)[0], (await second)[0]]) == [200, 503]


async def test_no_more_jobs_than_the_agent_takes(market: Market) -> None:
    user = await market.user(funds_microusdc=FUNDS)
    gate = asyncio.Event()
    provider = await market.provider({"tiny-chat": Behaviour(gate=gate)}, max_concurrent=2)
    asking = [chat(market, user) for _ in range(5)]
    await eventually(lambda: provider.backend.running == 2)
    await eventually(lambda: sum(task.done() for task in asking) == 3)
    gate.set()
    assert sorted([(await task)[0] for task in asking]) == [200, 200, 503, 503, 503]
    assert not any("out_of_capacity" in text for _, text in provider.frames)
    assert (await chat(market, user))[0] == 200


async def test_a_cancel_never_follows_the_end_of_a_job(market: Market) -> None:
    user = await market.user(funds_microusdc=FUNDS)
    # With this defect one such cancel makes the agent refuse everything.
    provider = await market.provider(
        {"tiny-chat": Behaviour()}, defects=Defects(stale_cancel=True), max_concurrent=1
    )
    for _ in range(10):
        assert (await chat(market, user))[0] == 200
        await market.until_settled(user)
    assert not any("cancel" in text for _, text in provider.frames)


async def test_an_agent_whose_counter_has_wrapped_is_made_to_reconnect(market: Market) -> None:
    user = await market.user(funds_microusdc=FUNDS)
    async with hand(market) as agent:
        await serving(market, agent, "tiny-chat")
        asking = chat(market, user)
        job = await agent.receive()
        await agent.send(
            type="job_error",
            job_id=job["job_id"],
            error_code="out_of_capacity",
            message="agent at max_concurrent",
            tokens_emitted=0,
        )
        assert "close" in await agent.receive()
        assert (await asking)[0] == 503


async def test_a_job_that_never_ends_is_given_up(database: Database, tmp_path: Path) -> None:
    async with market_at(
        database.dsn,
        tmp_path,
        POD_COORDINATOR_IDLE_SECONDS="1",
        POD_COORDINATOR_FIRST_CHUNK_SECONDS="1",
    ) as market:
        user = await market.user(funds_microusdc=FUNDS)
        provider = await market.provider(
            {"tiny-chat": Behaviour(ends_with_done=False)},
            defects=Defects(no_terminal_frame=True),
            max_concurrent=1,
        )
        assert (await chat(market, user))[0] == 503
        assert await market.balance(user) == FUNDS
        assert await market.earned(provider.operator) == 0


async def test_an_agent_with_one_loop_is_not_flooded_into_a_standstill(market: Market) -> None:
    user = await market.user(funds_microusdc=FUNDS)
    provider = await market.provider(
        {"tiny-chat": Behaviour()}, defects=Defects(one_loop=True), max_concurrent=3
    )
    for _ in range(5):
        answers = await asyncio.gather(*(chat(market, user) for _ in range(12)))
        assert {status for status, _ in answers} <= {200, 503}
    await market.until_settled(user)
    assert (await chat(market, user))[0] == 200
    assert provider.agent.connections == 1


async def test_a_long_fast_answer_is_no_slow_reader(market: Market) -> None:
    user = await market.user(funds_microusdc=100 * FUNDS)
    await market.provider({"tiny-chat": Behaviour()})
    messages = [{"role": "user", "content": "20000 words"}]
    options = {"stream": True, "max_tokens": 20_000, "messages": messages}
    path = f"{market.url}/proxy/{user.token}/v1/chat/completions"
    async with market.http.post(path, json={"model": "tiny-chat", **options}) as response:
        text = await response.text()
    assert text.endswith("data: [DONE]\n\n")
    assert text.count('"content": "') == 20_001


async def test_a_chunk_of_a_mebibyte_is_taken(market: Market) -> None:
    user = await market.user(funds_microusdc=FUNDS)
    async with hand(market) as agent:
        await serving(market, agent, "tiny-chat")
        asking = chat(market, user)
        job = await agent.receive()
        padding = b": " + b"x" * (2**20 - 10_000) + b"\n\n"
        await agent.chunk(job["job_id"], padding, *events_of("hello"))
        await agent.done(job["job_id"])
        status, told = await asking
        assert status == 200
        assert "hello" in json.dumps(told)
