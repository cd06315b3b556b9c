"""The operator's routes: enroll, profile, balance, withdraw, retire, and pairing."""

import asyncio
import base64
import re
from typing import Any

import pytest
from nacl.signing import SigningKey
from solders.keypair import Keypair

from tests.conftest import Database
from tests.wire.coordinator.scripted import Agent, Operator, b64
from tests.wire.coordinator.world import DEPLOYMENT, DOLLAR, PRICE, World, world


def bearer(operator: Operator) -> dict[str, str]:
    return {"Authorization": f"Bearer {operator.token}"}


async def told(w: World, path: str, operator: Operator) -> dict[str, Any]:
    response = await w.get(path, headers=bearer(operator))
    assert response.status == 200, await response.text()
    return await response.json()


async def test_an_enrollment_has_the_shapes_that_clients_read(database: Database) -> None:
    async with world(database.dsn) as w:
        wallet = str(Keypair().pubkey())
        body = {"display_name": "Ann's GPUs", "wallet": wallet, "contact_email": "a@b.c"}
        made = await (await w.post("/v1/host/enroll", body)).json()
        assert re.fullmatch(r"pod_host_[A-Za-z0-9]{40}", made["host_token"])
        code = made["enrollment_code"].removeprefix("POD-ENROLL-")
        assert re.fullmatch(r"[A-Za-z0-9]{8}", code)
        assert made["bond"]["deposit_code"] == f"POD-BOND-{code}"
        assert made["bond"]["amount_usdc"] == 50
        assert made["bond"]["destination"] == str(DEPLOYMENT.till_authority)
        stored = await w.pool.fetchrow("select * from coordinator.host")
        assert stored is not None
        assert made["host_token"] not in str(dict(stored))


async def test_the_profile_follows_the_bond(database: Database) -> None:
    async with world(database.dsn) as w:
        operator = await w.operator(bonded=False)
        before = await told(w, "/v1/host/profile", operator)
        assert before["status"] == "pending"
        assert before["bond"]["deposit_code"] == f"POD-BOND-{operator.code}"
        assert before["bond"]["amount_usdc"] == 50
        assert before["metadata"] == {"enrollment_code": f"POD-ENROLL-{operator.code}"}
        address = await w.bond(operator)
        after = await told(w, "/v1/host/profile", operator)
        assert (after["status"], after["bond"]["address"]) == ("active", address)
        assert after["bond"]["posted_microusdc"] == 50 * DOLLAR
        await w.unbond(address)
        assert (await told(w, "/v1/host/profile", operator))["status"] == "cooldown"


async def test_earnings_are_shown_and_without_a_chain_to_ask_they_stay(database: Database) -> None:
    async with world(database.dsn) as w:
        operator = await earning(w)
        whole = {"usdc_balance": 9_600_000, "withdrawable_usdc_balance": 9_600_000}
        assert await told(w, "/v1/host/balance", operator) == whole
        body = {"amount_usdc": 5.25, "destination": str(Keypair().pubkey())}
        response = await w.post("/v1/host/withdraw", body, headers=bearer(operator))
        refused = await response.json()
        assert (response.status, refused["error"]["type"]) == (503, "unavailable")
        assert "no Solana RPC" in refused["message"]
        assert await told(w, "/v1/host/balance", operator) == whole
        assert await w.pool.fetchval("select count(*) from settlement.payout") == 0


async def earning(w: World) -> Operator:
    """An operator who has earned 9.6 dollars: twelve tokens at a dollar each."""
    user, operator = await w.user(), await w.operator()
    async with w.agent(operator, models={"tiny-chat": DOLLAR * 1_000_000}) as agent:
        request = asyncio.create_task(ask_once(w, user.token))
        await agent.answer(await agent.job(), "one two three four five six seven eight nine")
        assert await request == 200
    earned = await w.earned(operator)
    assert earned.net_microusdc == 9_600_000
    return operator


async def ask_once(w: World, token: str) -> int:
    body = {"model": "tiny-chat", "messages": [{"role": "user", "content": "hello there"}]}
    return (await w.post(f"/proxy/{token}/v1/chat/completions", body)).status


async def test_transactions_are_the_requests_that_were_paid(database: Database) -> None:
    async with world(database.dsn) as w:
        operator = await earning(w)
        (credit,) = (await told(w, "/v1/host/transactions", operator))["transactions"]
        assert (credit["gross_microusdc"], credit["usdc_amount"]) == (12 * DOLLAR, 9_600_000)
        assert (credit["input_tokens"], credit["output_tokens"]) == (2, 10)
        rest = await told(w, f"/v1/host/transactions?before={credit['id']}", operator)
        assert rest == {"transactions": [], "next": None}


async def test_who_retires_gets_no_new_requests_until_paired_again(database: Database) -> None:
    async with world(database.dsn) as w:
        user, operator = await w.user(), await w.operator()
        async with w.agent(operator):
            response = await w.post("/v1/host/retire", headers=bearer(operator))
            assert response.status == 200
            first = await response.json()
            assert first["status"] == "retiring"
            assert await w.models(user) == []
            assert await ask_once(w, user.token) == 503
            again = await (await w.post("/v1/host/retire", headers=bearer(operator))).json()
            assert again["retiring_since"] == first["retiring_since"]
        assert (await told(w, "/v1/host/profile", operator))["status"] == "retired"
        await pair(w, operator)
        assert (await told(w, "/v1/host/profile", operator))["status"] == "offline"


async def pair(w: World, operator: Operator, **claim: object) -> dict[str, Any]:
    """The whole of pairing; what the agent's last poll said."""
    issued = await issue(w, operator.key)
    body = {"pair_code": issued["pair_code"], "activated_models": ["tiny-chat"]} | claim
    response = await w.post("/v1/host/pair/claim", body, headers=bearer(operator))
    assert response.status == 200, await response.text()
    return await poll(w, issued)


async def issue(w: World, key: SigningKey) -> dict[str, Any]:
    response = await w.post("/v1/host/pair/issue", {"agent_pubkey": b64(bytes(key.verify_key))})
    assert response.status == 200
    return await response.json()


async def poll(w: World, issued: dict[str, Any], models: list[str] | None = None) -> dict[str, Any]:
    found = {"kind": "vllm", "url": "http://localhost:8000", "models": models or ["tiny-chat"]}
    body = {
        "poll_token": issued["poll_token"],
        "capabilities": {"backends": [found], "agent_version": "0.3.3"},
    }
    response = await w.post("/v1/host/pair/poll", body)
    assert response.status == 200
    return await response.json()


async def test_pairing_from_end_to_end(database: Database) -> None:
    async with world(database.dsn) as w:
        user, operator = await w.user(), await w.operator()
        issued = await issue(w, operator.key)
        assert re.fullmatch(r"[A-Z0-9]{4}-[A-Z0-9]{4}", issued["pair_code"])
        assert isinstance(issued["expires_at"], str)
        assert await poll(w, issued) == {"status": "pending"}
        priced = {"model_id": "b", "input_per_1m": 7, "output_per_1m": 8, "max_concurrent": 2}
        response = await w.post(
            "/v1/host/pair/claim",
            {"pair_code": issued["pair_code"], "activated_models": ["a", priced]},
            headers=bearer(operator),
        )
        assert response.status == 200
        active = await poll(w, issued)
        assert active == {
            "status": "active",
            "host_token": operator.token,
            "provider_id": str(operator.provider_id),
            "model_config": [
                {
                    "model_id": "a",
                    "input_per_1m": 300_000,
                    "output_per_1m": 600_000,
                    "max_concurrent": 4,
                },
                priced,
            ],
        }
        # There is no acknowledgement: it keeps saying so.
        assert await poll(w, issued) == active
        async with w.http.ws_connect(f"{w.url}/provider/connect") as socket:
            agent = Agent(socket=socket, operator=operator)
            assert (await agent.authenticate())["type"] == "auth_ok"
            await agent.advertise({"a": PRICE})
            await w.listed("a")
        assert await w.models(user) is not None


async def test_all_it_found_when_nothing_was_chosen(database: Database) -> None:
    async with world(database.dsn) as w:
        operator = await w.operator()
        issued = await issue(w, operator.key)
        await poll(w, issued, ["b", "a"])
        body = {"pair_code": issued["pair_code"]}
        await w.post("/v1/host/pair/claim", body, headers=bearer(operator))
        config = (await poll(w, issued))["model_config"]
        assert [each["model_id"] for each in config] == ["a", "b"]
        assert all(each["input_per_1m"] > 0 and each["output_per_1m"] > 0 for each in config)


async def test_no_pairing_before_the_bond(database: Database) -> None:
    async with world(database.dsn) as w:
        operator = await w.operator(bonded=False)
        issued = await issue(w, operator.key)
        body = {"pair_code": issued["pair_code"]}
        response = await w.post("/v1/host/pair/claim", body, headers=bearer(operator))
        refused = await response.json()
        assert response.status == 409
        assert "operator bond must be active before pairing" in refused["message"]
        assert await poll(w, issued) == {"status": "pending"}


async def test_whose_code_it_is(database: Database) -> None:
    async with world(database.dsn) as w:
        first, second = await w.operator(), await w.operator()
        issued = await issue(w, first.key)
        body = {"pair_code": issued["pair_code"], "activated_models": ["a"]}
        claimed = await w.post("/v1/host/pair/claim", body, headers=bearer(first))
        assert claimed.status == 200
        again = await w.post("/v1/host/pair/claim", body, headers=bearer(first))
        assert again.status == 200
        other = await w.post("/v1/host/pair/claim", body, headers=bearer(second))
        assert other.status == 409
        # Whoever knows a public key can ask for a code for it: that must not move the key.
        stolen = await issue(w, first.key)
        body = {"pair_code": stolen["pair_code"], "activated_models": ["a"]}
        theft = await w.post("/v1/host/pair/claim", body, headers=bearer(second))
        assert theft.status == 409
        assert "another operator" in (await theft.json())["message"]
        # Its owner may pair again, and with a new key the old one is out.
        assert (await w.post("/v1/host/pair/claim", body, headers=bearer(first))).status == 200


async def test_pairing_again_changes_the_key(database: Database) -> None:
    async with world(database.dsn) as w:
        operator = await w.operator()
        await pair(w, operator)
        old_key, operator.key = operator.key, SigningKey.generate()
        await pair(w, operator)
        async with w.http.ws_connect(f"{w.url}/provider/connect") as socket:
            assert (await Agent(socket=socket, operator=operator).authenticate())[
                "type"
            ] == "auth_ok"
        operator.key = old_key
        async with w.http.ws_connect(f"{w.url}/provider/connect") as socket:
            assert (await Agent(socket=socket, operator=operator).authenticate())[
                "type"
            ] == "auth_failed"


async def test_what_has_expired_says_so(database: Database) -> None:
    async with world(database.dsn) as w:
        operator = await w.operator()
        issued = await issue(w, operator.key)
        await w.pool.execute(
            "update coordinator.pairing set issued_at = now() - interval '1 hour',"
            " expires_at = now() - interval '1 second'"
        )
        assert await poll(w, issued) == {"status": "expired"}
        assert await poll(w, {"poll_token": "never-issued"}) == {"status": "expired"}
        body = {"pair_code": issued["pair_code"]}
        response = await w.post("/v1/host/pair/claim", body, headers=bearer(operator))
        assert response.status == 404


async def test_no_credential_is_stored(database: Database) -> None:
    async with world(database.dsn) as w:
        user, operator = await w.user(), await w.operator()
        issued = await issue(w, operator.key)
        body = {"pair_code": issued["pair_code"], "activated_models": ["a"]}
        await w.post("/v1/host/pair/claim", body, headers=bearer(operator))
        for table in ("user_token", "host", "pairing", "request"):
            for row in await w.pool.fetch(f"select * from coordinator.{table}"):
                stored = " ".join(shown(value) for value in row.values())
                for secret in (user.token, operator.token, issued["poll_token"]):
                    assert secret not in stored


def shown(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1") + base64.b64encode(value).decode()
    return str(value)


async def test_the_page_where_codes_are_typed(database: Database) -> None:
    async with world(database.dsn) as w:
        response = await w.get("/host/pair")
        assert response.status == 200
        assert "frame-ancestors 'none'" in response.headers["content-security-policy"]
        assert "/v1/host/pair/claim" in await response.text()


@pytest.mark.parametrize("amount", ["5.000001", 7, 5.5, "1e1"])
async def test_amounts_are_dollars_in_any_spelling(database: Database, amount: float | str) -> None:
    async with world(database.dsn) as w:
        operator = await w.operator()
        body = {"amount_usdc": amount, "destination": str(Keypair().pubkey())}
        response = await w.post("/v1/host/withdraw", body, headers=bearer(operator))
        refused = await response.json()
        assert response.status == 400
        assert refused["error"]["code"] == "insufficient_earnings"
        assert refused["error"]["details"]["available_microusdc"] == 0
