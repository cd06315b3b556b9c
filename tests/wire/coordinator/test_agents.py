"""The agent's websocket: who is let in, what is read leniently, and the defects we steer around."""

import asyncio
import json
from contextlib import suppress
from typing import Any

import aiohttp
import pytest
from nacl.signing import SigningKey

from coordinator.agent import MOST_BAD_FRAMES, Timing
from tests.conftest import Database
from tests.wire.coordinator.scripted import Agent, Operator, ask, b64
from tests.wire.coordinator.world import DOLLAR, PRICE, World, world


async def arrive(w: World, operator: Operator, **more: object) -> dict[str, Any]:
    """One connection's auth: the server's answer to it."""
    async with w.http.ws_connect(w.url.replace("http", "ws") + "/provider/connect") as socket:
        return await Agent(socket=socket, operator=operator).authenticate(**more)


async def test_the_decision_table(database: Database) -> None:
    async with world(database.dsn) as w:
        first, second = await w.operator(), await w.operator()
        code, other = f"POD-ENROLL-{first.code}", f"POD-ENROLL-{second.code}"
        ok = {"type": "auth_ok", "provider_id": str(first.provider_id)}
        stranger = Operator(provider_id=first.provider_id, token="", code="", wallet="")

        async def refused(operator: Operator, **more: object) -> bool:
            return (await arrive(w, operator, **more))["type"] == "auth_failed"

        # unknown key: no code, an unknown code, a code of the wrong form
        assert await refused(first)
        assert await refused(first, enrollment_code="POD-ENROLL-00000000")
        assert await refused(first, enrollment_code=first.code)
        # unknown key, valid code of an operator without a key: bound
        assert await arrive(w, first, enrollment_code=code) == ok
        # bound: without a code, with its own code again, with another's
        assert await arrive(w, first) == ok
        assert await arrive(w, first, enrollment_code=code) == ok
        assert await refused(first, enrollment_code=other)
        # unknown key, valid code of an operator that has a key
        assert await refused(stranger, enrollment_code=code)
        assert await arrive(w, first) == ok


async def test_who_does_not_sign_the_nonce_stays_out(database: Database) -> None:
    async with world(database.dsn) as w:
        operator = await w.operator()
        url = w.url.replace("http", "ws") + "/provider/connect"
        key = bytes(operator.key.verify_key)
        bad: list[dict[str, object] | str] = [
            {"pubkey": b64(key), "signature": b64(operator.key.sign(b"other").signature)},
            {"pubkey": b64(bytes(32)), "signature": b64(bytes(64))},
            {"pubkey": b64(key[:31]), "signature": b64(bytes(64))},
            {"pubkey": "", "signature": ""},
            {"pubkey": 7, "signature": []},
            {"type": "capabilities", "models": [], "limits": {"max_concurrent_total": 1}},
            {"type": "hello"},
            "not json",
        ]
        for each in bad:
            async with w.http.ws_connect(url) as socket:
                agent = Agent(socket=socket, operator=operator)
                assert (await agent.frame())["type"] == "auth_challenge"
                told = {"type": "auth_response"} | each if isinstance(each, dict) else each
                await socket.send_str(told if isinstance(told, str) else json.dumps(told))
                assert (await agent.frame())["type"] == "auth_failed"
                assert await agent.closed() == 1008


async def test_nonces_are_fresh(database: Database) -> None:
    async with world(database.dsn) as w:
        operator, seen = await w.operator(), set[str]()
        for _ in range(3):
            async with w.http.ws_connect(f"{w.url}/provider/connect") as socket:
                seen.add((await Agent(socket=socket, operator=operator).frame())["nonce"])
        assert len(seen) == 3


async def test_who_says_nothing_is_not_waited_for(database: Database) -> None:
    async with world(database.dsn, timing=Timing(auth_seconds=0.2)) as w:
        operator = await w.operator()
        async with w.http.ws_connect(f"{w.url}/provider/connect") as socket:
            agent = Agent(socket=socket, operator=operator)
            await agent.frame()
            assert await agent.closed() == 1008


async def test_there_is_no_other_websocket(database: Database) -> None:
    async with world(database.dsn) as w:
        with pytest.raises(aiohttp.WSServerHandshakeError) as raised:
            await w.http.ws_connect(f"{w.url}/provider/other")
        assert raised.value.status == 403


async def test_without_a_bond_nobody_is_routed_to(database: Database) -> None:
    async with world(database.dsn) as w:
        user, operator = await w.user(), await w.operator(bonded=False)
        async with w.http.ws_connect(f"{w.url}/provider/connect") as socket:
            agent = Agent(socket=socket, operator=operator)
            told = await agent.authenticate(enrollment_code=f"POD-ENROLL-{operator.code}")
            assert told["type"] == "auth_ok"  # welcome, but without work
            await agent.advertise({"tiny-chat": PRICE})
            async with w.chat(user) as response:
                assert response.status == 503
            address = await w.bond(operator)
            await w.listed("tiny-chat")
            serving = asyncio.create_task(serve_one(agent))
            async with w.chat(user) as response:
                assert response.status == 200
            await serving
            await w.unbond(address)
            async with asyncio.timeout(5):
                while await w.models(user):  # noqa: ASYNC110 -- another task notices
                    await asyncio.sleep(0.02)
            async with w.chat(user) as response:
                assert response.status == 503


async def serve_one(agent: Agent) -> dict[str, Any]:
    job = await agent.job()
    await agent.answer(job, "hello")
    return job


async def test_the_newest_connection_wins_and_jobs_fail_over(database: Database) -> None:
    async with world(database.dsn) as w:
        user, operator = await w.user(), await w.operator()
        async with w.agent(operator) as old:
            request = asyncio.create_task(read(w, user.token))
            await old.job()
            async with w.agent(operator) as new:
                assert await old.closed() == 1012
                # The job failed with the connection; the request may be tried again at once.
                status, _ = await request
                assert status == 503
                serving = asyncio.create_task(serve_one(new))
                assert (await read(w, user.token))[0] == 200
                await serving


async def read(w: World, token: str, **more: object) -> tuple[int, bytes]:
    path = f"/proxy/{token}/v1/chat/completions"
    response = await w.post(path, ask(**more))
    return response.status, await response.read()


async def test_capabilities_replace_each_other(database: Database) -> None:
    async with world(database.dsn) as w:
        user, operator = await w.user(), await w.operator()
        async with w.agent(operator, models={"one": PRICE, "two": PRICE}) as agent:
            assert await w.models(user) == ["one", "two"]
            await agent.advertise({"three": PRICE})
            await w.listed("three")
            assert await w.models(user) == ["three"]
            await agent.advertise({})
            async with asyncio.timeout(5):
                while await w.models(user):  # noqa: ASYNC110 -- the frame is on its way
                    await asyncio.sleep(0.02)


async def test_odd_frames_are_survived(database: Database) -> None:
    async with world(database.dsn) as w:
        user, operator = await w.user(), await w.operator()
        async with w.agent(operator) as agent:
            await agent.send(type="config_ack", version=7)
            await agent.send(type="heartbeat", last_error_at={"odd": 1})
            await agent.socket.send_bytes(b"\x00\x01")
            await agent.socket.send_str("not json")
            await agent.send(type="job_chunk", job_id="nonsense", data="")
            for kind in ("job_chunk", "job_done", "job_error"):
                await agent.send(
                    type=kind, job_id="6a1f0c1e-7a0e-4b52-8a44-000000000001", data="", tokens=None
                )
            serving = asyncio.create_task(serve_one(agent))
            assert (await read(w, user.token))[0] == 200
            await serving
            assert await w.balance(user) == 25 * DOLLAR - 4


async def test_an_unreadable_chunk_fails_its_job_alone(database: Database) -> None:
    async with world(database.dsn) as w:
        user, operator = await w.user(), await w.operator()
        async with w.agent(operator) as agent:
            request = asyncio.create_task(read(w, user.token))
            job = await agent.job()
            await agent.send(type="job_chunk", job_id=job["job_id"], data="@@@")
            await agent.cancelled(job)
            assert (await request)[0] == 503
            serving = asyncio.create_task(serve_one(agent))
            assert (await read(w, user.token))[0] == 200
            await serving


async def test_who_sends_only_nonsense_is_sent_away(database: Database) -> None:
    async with world(database.dsn) as w, w.agent(await w.operator()) as agent:
        for _ in range(MOST_BAD_FRAMES):
            await agent.socket.send_str("not json")
        assert await agent.closed() == 1008


async def test_large_frames_pass_and_larger_ones_do_not(database: Database) -> None:
    async with world(database.dsn) as w:
        user, operator = await w.user(), await w.operator()
        async with w.agent(operator) as agent:
            request = asyncio.create_task(read(w, user.token, max_tokens=2_000_000))
            job = await agent.job()
            await agent.say(job, "word " * 1_000_000)  # 6.7 MB in base64
            await agent.give(job, b'data: {"choices":[{"index":0,"finish_reason":"stop"}]}\n\n')
            await agent.done(job)
            status, body = await request
            assert status == 503  # more than the buffer of a stream: refused, not grown
            assert b"faster" in body
            with suppress(ConnectionError):  # it may be cut while it still sends
                await agent.send(type="heartbeat", padding="x" * 17 * 1024 * 1024)
            assert await agent.closed() in (1006, 1009)


async def test_no_cancel_follows_a_terminal_frame(database: Database) -> None:
    async with world(database.dsn) as w:
        user, operator = await w.user(), await w.operator()
        async with w.agent(operator) as agent:
            request = asyncio.create_task(read(w, user.token))
            job = await agent.job()
            await agent.give(job, b"data: garbage\n\n")
            await agent.done(job)
            assert (await request)[0] == 503
            request = asyncio.create_task(read(w, user.token))
            second = await agent.frame()
            while second["type"] == "job_cancel":  # allowed only if it was sent before the end came
                assert second["job_id"] == job["job_id"]
                second = await agent.frame()
            assert second["type"] == "job"
            await agent.answer(second, "hello")
            assert (await request)[0] == 200


async def test_never_more_jobs_than_it_takes(database: Database) -> None:
    async with world(database.dsn) as w:
        user, operator = await w.user(), await w.operator()
        async with w.agent(operator, slots=2) as agent:
            requests = [asyncio.create_task(read(w, user.token)) for _ in range(8)]
            jobs = [await agent.job(), await agent.job()]
            async with asyncio.timeout(5):
                while sum(each.done() for each in requests) < 6:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            for job in jobs:
                await agent.answer(job, "hello")
            answers = await asyncio.gather(*requests)
            assert sorted(status for status, _ in answers) == [200] * 2 + [503] * 6


async def test_an_idle_agent_that_says_it_is_full_is_reset(database: Database) -> None:
    async with world(database.dsn) as w:
        user, operator = await w.user(), await w.operator()
        async with w.agent(operator) as agent:
            request = asyncio.create_task(read(w, user.token))
            await agent.fail(await agent.job(), "out_of_capacity", "agent at max_concurrent")
            assert await agent.closed() == 1012
            assert (await request)[0] == 503


async def test_its_tokens_per_minute_are_kept_for_it(database: Database) -> None:
    async with world(database.dsn) as w:
        user, operator = await w.user(), await w.operator()
        async with w.agent(operator) as agent:
            await agent.advertise({"tiny-chat": PRICE}, max_tokens_per_minute=4)
            await agent.advertise({"tiny-chat": PRICE, "mark": PRICE}, max_tokens_per_minute=4)
            await w.listed("mark")
            serving = asyncio.create_task(serve_one(agent))
            assert (await read(w, user.token))[0] == 200
            await serving
            assert (await read(w, user.token))[0] == 503


async def test_a_silent_agent_is_dropped_but_not_while_it_discovers(database: Database) -> None:
    timing = Timing(silence_seconds=0.6, discovery_seconds=600)
    async with world(database.dsn, timing=timing) as w:
        quiet, busy = await w.operator(), await w.operator()
        async with w.http.ws_connect(f"{w.url}/provider/connect") as socket:
            discovering = Agent(socket=socket, operator=busy)
            await discovering.authenticate(enrollment_code=f"POD-ENROLL-{busy.code}")
            async with w.agent(quiet) as agent:
                assert await agent.closed() == 1001
            await discovering.advertise({"late": PRICE})
            await w.listed("late")


async def test_a_key_of_ones_own_is_needed(database: Database) -> None:
    async with world(database.dsn) as w:
        first, second = await w.operator(), await w.operator()
        await arrive(w, first, enrollment_code=f"POD-ENROLL-{first.code}")
        second.key = SigningKey(bytes(first.key))
        told = await arrive(w, second, enrollment_code=f"POD-ENROLL-{second.code}")
        assert told["type"] == "auth_failed"
