"""Every route with everything wrong: a typed error that names the field, and nothing changed."""

import asyncio
import json
from typing import Any

import pytest
from solders.keypair import Keypair

from coordinator.config import HttpLimits
from tests.conftest import Database
from tests.wire.coordinator.scripted import ask
from tests.wire.coordinator.world import DEPLOYMENT, DOLLAR, World, world

WALLET = str(Keypair().pubkey())
OFF_CURVE = str(DEPLOYMENT.till_vault)
UNKNOWN = "6a1f0c1e-7a0e-4b52-8a44-000000000001"
_COUNTS = """
  select (select count(*) from coordinator.user_token) as users,
         (select count(*) from coordinator.host) as hosts,
         (select count(*) from coordinator.pairing) as pairings,
         (select count(*) from coordinator.request) as requests,
         (select count(*) from settlement.hold) as holds,
         (select sum(dr + cr + held) from settlement.balance) as money
"""


async def state(w: World) -> dict[str, Any]:
    row = await w.pool.fetchrow(_COUNTS)
    assert row is not None
    return dict(row)


async def judged(
    w: World,
    path: str,
    raw: bytes,
    *,
    status: int,
    field: str | None = None,
    headers: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Send it and hold the answer against what a bad request is to be told."""
    before = await state(w)
    response = await w.post(path, data=raw, headers=headers)
    told = await response.json()
    assert response.status == status, (raw[:80], told)
    assert {"type", "message", "code", "param"} <= set(told["error"]), told
    assert told["error"]["message"]
    if field is not None:
        assert told["error"]["param"] == field, (raw[:80], told)
    if path.startswith("/v1/host/"):
        assert told["message"] == told["error"]["message"]
    assert await state(w) == before
    return told


ENROLL: list[tuple[object, str | None]] = [
    (b"", None),
    (b"{", None),
    (b"[]", None),
    (b"null", None),
    (b"\xff\xfe", None),
    ({}, "display_name"),
    ({"wallet": WALLET}, "display_name"),
    ({"display_name": "Ann"}, "wallet"),
    ({"display_name": "", "wallet": WALLET}, "display_name"),
    ({"display_name": "  ", "wallet": WALLET}, "display_name"),
    ({"display_name": "x" * 81, "wallet": WALLET}, "display_name"),
    ({"display_name": "a\x00b", "wallet": WALLET}, "display_name"),
    ({"display_name": 7, "wallet": WALLET}, "display_name"),
    ({"display_name": None, "wallet": WALLET}, "display_name"),
    ({"display_name": "Ann", "wallet": 7}, "wallet"),
    ({"display_name": "Ann", "wallet": ""}, "wallet"),
    ({"display_name": "Ann", "wallet": "0" * 44}, "wallet"),
    ({"display_name": "Ann", "wallet": WALLET + "1"}, "wallet"),
    ({"display_name": "Ann", "wallet": OFF_CURVE}, "wallet"),
    ({"display_name": "Ann", "wallet": WALLET, "contact_email": "nobody"}, "contact_email"),
    ({"display_name": "Ann", "wallet": WALLET, "contact_email": 7}, "contact_email"),
]


def raw(body: object) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()


async def test_enroll(database: Database) -> None:
    async with world(database.dsn) as w:
        for body, field in ENROLL:
            await judged(w, "/v1/host/enroll", raw(body), status=400, field=field)
        await judged(w, "/v1/host/enroll", b" " * 300_000, status=413)


WITHDRAW: list[tuple[object, str | None]] = [
    (b"{", None),
    ({}, "amount_usdc"),
    ({"amount_usdc": 25}, "destination"),
    *(
        ({"amount_usdc": amount, "destination": WALLET}, "amount_usdc")
        for amount in (
            0,
            -5,
            -0.0,
            5.0000001,
            4.999999,
            2**63,
            9_223_372_036_854.775808,
            1e300,
            True,
            None,
            "five",
            "NaN",
            "Infinity",
            "",
            {"dollars": 5},
        )
    ),
    (b'{"amount_usdc": 1e400, "destination": "' + WALLET.encode() + b'"}', "amount_usdc"),
    (b'{"amount_usdc": NaN, "destination": "' + WALLET.encode() + b'"}', None),
    *(
        ({"amount_usdc": 5, "destination": destination}, "destination")
        for destination in (7, None, "", "x", "0" * 44, OFF_CURVE, WALLET + "1")
    ),
]


async def test_withdraw(database: Database) -> None:
    async with world(database.dsn) as w:
        operator = await w.operator()
        headers = {"Authorization": f"Bearer {operator.token}"}
        for body, field in WITHDRAW:
            await judged(
                w, "/v1/host/withdraw", raw(body), status=400, field=field, headers=headers
            )
        good = raw({"amount_usdc": 5, "destination": WALLET})
        told = await judged(
            w, "/v1/host/withdraw", good, status=400, field="amount_usdc", headers=headers
        )
        assert told["error"]["code"] == "insufficient_earnings"
        keyed = headers | {"Idempotency-Key": "x" * 256}
        await judged(
            w, "/v1/host/withdraw", good, status=400, field="idempotency_key", headers=keyed
        )


async def test_pairing(database: Database) -> None:
    async with world(database.dsn) as w:
        operator = await w.operator()
        headers = {"Authorization": f"Bearer {operator.token}"}
        for key in ("", "AAAA", "not base64!", 7, None, "A" * 45):
            body = raw({"agent_pubkey": key})
            await judged(w, "/v1/host/pair/issue", body, status=400, field="agent_pubkey")
        for token in ("", 7, None, "x" * 257):
            body = raw({"poll_token": token})
            await judged(w, "/v1/host/pair/poll", body, status=400, field="poll_token")
        bad = raw({"poll_token": "x", "capabilities": {"backends": 7}})
        await judged(w, "/v1/host/pair/poll", bad, status=400, field="capabilities.backends")
        for code in ("", "abcd-1234", "ABCD1234", 7, None):
            body = raw({"pair_code": code})
            path = "/v1/host/pair/claim"
            await judged(w, path, body, status=400, field="pair_code", headers=headers)
        unknown = raw({"pair_code": "ABCD-1234"})
        await judged(w, "/v1/host/pair/claim", unknown, status=404, headers=headers)
        models: list[object] = [
            "",
            7,
            {"model_id": "m", "input_per_1m": -1},
            {"model_id": "m", "output_per_1m": 1.5},
            {"model_id": "m", "max_concurrent": 0},
            {"model_id": "m", "max_concurrent": 257},
            {"input_per_1m": 1},
        ]
        for model in models:
            body = raw({"pair_code": "ABCD-1234", "activated_models": [model]})
            told = await judged(w, "/v1/host/pair/claim", body, status=400, headers=headers)
            assert told["error"]["param"].startswith("activated_models[0]")


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Bearer nonsense", f"Bearer pod_host_{'x' * 40}", "Basic eA=="],
)
async def test_host_routes_need_a_host_token(database: Database, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    async with world(database.dsn) as w:
        for path in ("withdraw", "retire", "pair/claim"):
            await judged(w, f"/v1/host/{path}", b"{}", status=401, headers=headers)
        for path in ("profile", "balance", "transactions", "withdrawals/x"):
            response = await w.get(f"/v1/host/{path}", headers=headers)
            told = await response.json()
            assert response.status == 401
            assert told["error"]["type"] == "unauthorized"
            assert told["message"] == told["error"]["message"]


async def test_ids_that_are_none(database: Database) -> None:
    async with world(database.dsn) as w:
        operator = await w.operator()
        headers = {"Authorization": f"Bearer {operator.token}"}
        cases = [
            ("/v1/host/withdrawals/x", 400, "withdrawal_id"),
            (f"/v1/host/withdrawals/{UNKNOWN}", 404, None),
            ("/v1/host/transactions?before=x", 400, "before"),
        ]
        for path, status, field in cases:
            response = await w.get(path, headers=headers)
            told = await response.json()
            assert (response.status, told["error"]["param"]) == (status, field)


async def test_tokens(database: Database) -> None:
    async with world(database.dsn) as w:
        poor = await w.user(funded=0)
        chat, body = "v1/chat/completions", raw(ask())
        for token in ("x", "%00", UNKNOWN.replace("-", ""), "{" + UNKNOWN + "}", UNKNOWN + "0"):
            told = await judged(w, f"/proxy/{token}/{chat}", body, status=401)
            assert told["error"]["type"] == "unauthorized"
            assert told["error"]["message"] == "unauthorized: invalid token format"
            assert (await w.get(f"/proxy/{token}/balance")).status == 401
        for token in (UNKNOWN, poor.token):
            told = await judged(w, f"/proxy/{token}/{chat}", body, status=401)
            told_message = "unauthorized: token not found or not activated"
            assert told["error"]["message"] == told_message
        assert (await w.get(f"/proxy/{UNKNOWN}/balance")).status == 404
        assert (await w.get(f"/proxy/{UNKNOWN}/v1/models")).status == 404
        shown = await (await w.get(f"/proxy/{poor.token}/balance")).json()
        assert shown == {
            "api_token": poor.token,
            "usdc_balance": 0,
            "credit_balance": 0,
            "deposit_code": poor.code.hex(),
            "is_active": False,
            "arriving": [],
        }
        # A token is refused before its body is looked at, and works once it is funded.
        await judged(w, f"/proxy/{UNKNOWN}/{chat}", b"{", status=401)
        await w.deposit(poor, DOLLAR)
        await judged(w, f"/proxy/{poor.token}/{chat}", body, status=503)
        upper = await w.get(f"/proxy/{poor.token.upper()}/balance")
        assert (await upper.json())["is_active"] is True


async def test_chat_bodies(database: Database) -> None:
    cases: list[tuple[object, str | None]] = [
        (b"", None),
        (b"{", None),
        (b"\xff", None),
        (b"[" * 100_000, None),
        ({}, "model"),
        ({"model": "m"}, "messages"),
        (ask(messages=[]), "messages"),
        (ask(messages=[{"role": "user", "content": 7}]), "messages[0].content"),
        (ask(max_tokens=0), "max_tokens"),
        (ask(stream="yes"), "stream"),
        (ask(n=99), "n"),
    ]
    async with world(database.dsn) as w:
        user, operator = await w.user(), await w.operator()
        async with w.agent(operator):
            path = f"/proxy/{user.token}/v1/chat/completions"
            for body, field in cases:
                told = await judged(w, path, raw(body), status=400, field=field)
                assert told["error"]["type"] == "bad_request"
                assert told["error"]["message"].startswith("bad request: ")
            await judged(w, path, b" " * (8 * 1024 * 1024 + 1), status=413)


async def test_paths_and_methods(database: Database) -> None:
    async with world(database.dsn) as w:
        user = await w.user()
        for path in (
            "/nope",
            f"/proxy/{user.token}/v1/v1/messages",
            f"/proxy/{user.token}/v1/messages",
            f"/proxy/{user.token}/v1/chat/completions/",
            "/v1/register/",
        ):
            response = await w.post(path, {})
            assert response.status == 404, path
            assert (await response.json())["error"]["type"] == "not_found"
        response = await w.get(f"/proxy/{user.token}/v1/chat/completions")
        assert (response.status, response.headers["allow"]) == (405, "POST")
        response = await w.get("/v1/register")
        assert (response.status, (await response.json())["error"]["type"]) == (
            405,
            "method_not_allowed",
        )


async def test_registering_is_limited_per_address(database: Database) -> None:
    async with world(database.dsn, http=HttpLimits(register_per_minute=3)) as w:
        answers = [await w.post("/v1/register") for _ in range(5)]
        assert [each.status for each in answers] == [200, 200, 200, 429, 429]
        assert 0 < int(answers[-1].headers["retry-after"]) <= 61
        assert (await answers[-1].json())["error"]["type"] == "rate_limited"


async def test_a_registration_has_the_shape_that_clients_read(database: Database) -> None:
    async with world(database.dsn) as w:
        told = await (await w.post("/v1/register")).json()
        assert set(told) == {
            "api_token",
            "deposit_code",
            "status",
            "deposit_address",
            "instructions",
        }
        assert told["status"] == "pending_deposit"
        assert len(bytes.fromhex(told["deposit_code"])) == 8
        assert told["deposit_address"] == str(DEPLOYMENT.till_vault)
        assert told["instructions"] == {
            "contract_address": str(DEPLOYMENT.program_id),
            "dashboard_url": f"http://dash.test/dashboard?token={told['api_token']}",
        }


async def test_too_many_at_once_and_too_many_a_minute(database: Database) -> None:
    limits = HttpLimits(register_per_minute=99, requests_at_once=1, requests_per_minute=3)
    async with world(database.dsn, http=limits) as w:
        user, operator = await w.user(), await w.operator()
        path = f"/proxy/{user.token}/v1/chat/completions"
        async with w.agent(operator) as agent:
            request = asyncio.create_task(w.post(path, ask()))
            job = await agent.job()
            second = await w.post(path, ask())
            assert (second.status, second.headers["retry-after"]) == (429, "1")
            await agent.answer(job, "hello")
            assert (await request).status == 200
            statuses = [(await w.post(path, {})).status for _ in range(4)]
            assert statuses == [400, 400, 429, 429]


async def test_health_and_metrics(database: Database) -> None:
    async with world(database.dsn) as w, w.agent(await w.operator()):
        health = await w.get("/health")
        told = await health.json()
        assert (health.status, told["status"]) == (200, "ok")
        assert told["components"] == {"postgres": "ok", "agents": 1}
        text = await (await w.get("/metrics")).text()
        assert "pod_coordinator_providers_connected 1.0" in text
        assert "# HELP pod_coordinator_first_chunk_seconds " in text
        documented = await (await w.get("/openapi.json")).json()
        shown = documented["paths"]["/v1/host/withdraw"]["post"]["requestBody"]
        assert "amount_usdc" in json.dumps(shown)
        assert (await w.get("/docs")).status == 200
