"""Pairing with the real coordinator: issue, claim, poll; and the provider that does it alone."""

import asyncio
import base64
import re
from contextlib import AsyncExitStack
from pathlib import Path
from typing import cast
from uuid import uuid4

from localnet.provider import Running, running
from localnet.provider_identity import Identity
from tests.conftest import Database, free_port
from tests.wire.agent.line import hand
from tests.wire.market import Json, Market, Operator, market_at
from tests.wire.waiting import eventually

OFFER: Json = {
    "model_id": "tiny-chat",
    "input_per_1m": 300_000,
    "output_per_1m": 600_000,
    "max_concurrent": 2,
}
FOUND: Json = {
    "backends": [{"kind": "vllm", "url": "http://localhost:8000", "models": ["tiny-chat"]}],
    "agent_version": "0.3.3",
}


async def issue(market: Market, public_key: str) -> Json:
    status, told = await market.call("POST", "/v1/host/pair/issue", {"agent_pubkey": public_key})
    assert status == 200, told
    return told


async def poll(market: Market, issued: Json) -> Json:
    body = {"poll_token": issued["poll_token"], "capabilities": FOUND}
    status, told = await market.call("POST", "/v1/host/pair/poll", body)
    assert status == 200, told
    return told


async def claim(
    market: Market, operator: Operator, code: object, models: list[object]
) -> tuple[int, Json]:
    body = {"pair_code": code, "activated_models": models}
    return await market.call("POST", "/v1/host/pair/claim", body, headers=operator.authorization)


async def test_from_code_to_connection(market: Market) -> None:
    operator, identity = await market.operator(), Identity.new()
    issued = await issue(market, identity.public_key)
    assert set(issued) == {"pair_code", "poll_token", "expires_at"}
    assert all(isinstance(value, str) for value in issued.values())
    assert re.fullmatch(r"[A-Z0-9]{4}-[A-Z0-9]{4}", str(issued["pair_code"]))
    assert (await poll(market, issued)) == {"status": "pending"}
    assert (await claim(market, operator, issued["pair_code"], [OFFER]))[0] == 200
    active = await poll(market, issued)
    assert active == {
        "status": "active",
        "host_token": operator.host_token,
        "provider_id": str(operator.provider_id),
        "model_config": [OFFER],
    }
    assert await poll(market, issued) == active, "there is no acknowledgement: it stays active"
    async with hand(market) as agent:  # as `setup` leaves it: no code, no provider_id
        verdict = await agent.respond(identity)
        assert verdict == {"type": "auth_ok", "provider_id": str(operator.provider_id)}
    async with hand(market) as agent:  # as HivemindOS runs it: the code as well
        verdict = await agent.respond(identity, enrollment_code=f"POD-ENROLL-{operator.code}")
        assert verdict["type"] == "auth_ok"


async def test_every_activated_model_has_prices(market: Market) -> None:
    choices: list[list[object]] = [[], ["tiny-chat"], [{"model_id": "tiny-chat"}]]
    for activated in choices:
        operator = await market.operator()
        issued = await issue(market, Identity.new().public_key)
        await poll(market, issued)  # tells what the agent found
        assert (await claim(market, operator, issued["pair_code"], activated))[0] == 200
        config = cast(list[Json], (await poll(market, issued))["model_config"])
        assert [model["model_id"] for model in config] == ["tiny-chat"]
        for key in OFFER.keys() - {"model_id"}:
            assert isinstance(config[0][key], int)
            assert cast(int, config[0][key]) > 0


async def test_pairing_waits_for_the_bond(market: Market) -> None:
    operator = await market.operator(bonded=False)
    issued = await issue(market, Identity.new().public_key)
    status, told = await claim(market, operator, issued["pair_code"], [OFFER])
    assert status >= 400
    assert "operator bond must be active before pairing" in str(told["message"]).lower()
    assert (await poll(market, issued)) == {"status": "pending"}
    await market.post_bond(operator)
    assert (await claim(market, operator, issued["pair_code"], [OFFER]))[0] == 200


async def test_a_code_is_one_operators(market: Market) -> None:
    one, two = await market.operator(), await market.operator()
    identity = Identity.new()
    issued = await issue(market, identity.public_key)
    assert (await claim(market, one, issued["pair_code"], [OFFER]))[0] == 200
    assert (await claim(market, two, issued["pair_code"], [OFFER]))[0] == 409
    assert (await claim(market, one, issued["pair_code"], [OFFER]))[0] == 200
    again = await issue(market, identity.public_key)  # the same key pairs again after a lost answer
    assert (await claim(market, two, again["pair_code"], [OFFER]))[0] == 409
    assert (await claim(market, one, again["pair_code"], [OFFER]))[0] == 200
    assert (await poll(market, again))["status"] == "active"


async def test_pairing_again_swaps_the_key_and_ends_the_old_connection(market: Market) -> None:
    operator, old, new = await market.operator(), Identity.new(), Identity.new()
    first = await issue(market, old.public_key)
    await claim(market, operator, first["pair_code"], [OFFER])
    async with hand(market) as agent:
        assert (await agent.respond(old))["type"] == "auth_ok"
        second = await issue(market, new.public_key)
        await claim(market, operator, second["pair_code"], [OFFER])
        assert "close" in await agent.receive()
    async with hand(market) as agent:
        assert (await agent.respond(old))["type"] == "auth_failed"
    async with hand(market) as agent:
        assert (await agent.respond(new))["type"] == "auth_ok"


BAD_ISSUES: list[Json] = [
    {},
    {"agent_pubkey": ""},
    {"agent_pubkey": "!!!"},
    {"agent_pubkey": 5},
    {"agent_pubkey": base64.b64encode(bytes(31)).decode()},
    {"agent_pubkey": base64.b64encode(bytes(33)).decode()},
]
BAD_CLAIMS: list[Json] = [
    {},
    {"pair_code": "nonsense", "activated_models": []},
    {"pair_code": "AAAA-AAAA", "activated_models": "all"},
    {"pair_code": "AAAA-AAAA", "activated_models": [5]},
    {"pair_code": "AAAA-AAAA", "activated_models": [{**OFFER, "input_per_1m": -1}]},
    {"pair_code": "AAAA-AAAA", "activated_models": [{**OFFER, "input_per_1m": 1.5}]},
    {"pair_code": "AAAA-AAAA", "activated_models": [{**OFFER, "output_per_1m": 2**63}]},
    {"pair_code": "AAAA-AAAA", "activated_models": [{**OFFER, "max_concurrent": 0}]},
    {"pair_code": "AAAA-AAAA", "activated_models": [{**OFFER, "max_concurrent": 257}]},
]


async def test_bad_input_is_refused_in_words(market: Market) -> None:
    operator = await market.operator()
    for body in BAD_ISSUES:
        status, told = await market.call("POST", "/v1/host/pair/issue", body)
        assert (status, bool(told["message"])) == (400, True), body
    for body in BAD_CLAIMS:
        status, told = await market.call(
            "POST", "/v1/host/pair/claim", body, headers=operator.authorization
        )
        assert (status, bool(told["message"])) == (400, True), body
    for headers in ({}, {"Authorization": "Bearer pod_host_" + "a" * 40}):
        status, told = await market.call(
            "POST", "/v1/host/pair/claim", BAD_CLAIMS[1], headers=headers
        )
        assert (status, bool(told["message"])) == (401, True)
    assert (await claim(market, operator, "ZZZZ-ZZZZ", []))[0] == 404
    # A setup must not end with an HTTP error: a token nobody knows has simply expired.
    assert await poll(market, {"poll_token": uuid4().hex}) == {"status": "expired"}


async def set_up(market: Market, provider: Running) -> str:
    async with market.http.post(f"{provider.url}/setup", json=OFFER) as response:
        assert response.status == 200, await response.text()
        return str((await response.json())["pair_code"])


async def test_the_provider_pairs_serves_and_comes_back_after_a_restart(
    database: Database, tmp_path: Path
) -> None:
    port = str(free_port())
    at = {"POD_COORDINATOR_LISTEN": f"127.0.0.1:{port}"}
    body: Json = {"model": "tiny-chat", "messages": [{"role": "user", "content": "8 words"}]}
    async with running(directory=tmp_path / "p", coordinator=f"http://127.0.0.1:{port}") as one:
        async with market_at(database.dsn, tmp_path, **at) as market:
            operator = await market.operator()
            code = await set_up(market, one)
            assert (await claim(market, operator, code, [OFFER]))[0] == 200
            await eventually(lambda: one.provider.status()["state"] == "connected")
            await market.until_serving(operator, ["tiny-chat"])
            user = await market.user(funds_microusdc=1_000_000)
            path = f"/proxy/{user.token}/v1/chat/completions"
            status, told = await market.call("POST", path, body)
            assert status == 200, told
            assert one.provider.status()["provider_id"] == str(operator.provider_id)
            before = await market.balance(user)
        await eventually(lambda: one.provider.status()["state"] == "connecting")
        async with market_at(database.dsn, tmp_path, **at) as market:
            await market.until_serving(operator, ["tiny-chat"])
            assert await market.balance(user) == before
            status, told = await market.call("POST", path, body)
            assert status == 200, told


async def test_a_shutdown_says_1001_to_every_agent(database: Database, tmp_path: Path) -> None:
    async with AsyncExitStack() as hands:  # they outlive the coordinator
        async with market_at(database.dsn, tmp_path) as market:
            operator = await market.operator()
            agent = await hands.enter_async_context(hand(market))
            code = f"POD-ENROLL-{operator.code}"
            assert (await agent.respond(Identity.new(), enrollment_code=code))["type"] == "auth_ok"
            goodbye = asyncio.create_task(agent.receive())
        assert await goodbye == {"close": 1001}


async def test_a_dropped_agent_is_back_in_about_a_second(market: Market, tmp_path: Path) -> None:
    now = asyncio.get_running_loop().time
    async with running(directory=tmp_path / "p", coordinator=market.url) as one:
        operator = await market.operator()
        await claim(market, operator, await set_up(market, one), [OFFER])
        await market.until_serving(operator, ["tiny-chat"])
        again = await issue(market, str(one.provider.status()["public_key"]))
        await claim(market, operator, again["pair_code"], [OFFER])  # drops the connection
        dropped_at = now()
        await eventually(lambda: one.provider.status()["connections"] == 2)
        assert 0.5 < now() - dropped_at < 4.0
        await market.until_serving(operator, ["tiny-chat"])
