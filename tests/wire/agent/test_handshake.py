"""Who is let in: the decision table of wire.md §2.2, against the real coordinator."""

import base64
import json

from localnet.provider_identity import Identity
from tests.wire.agent.line import hand
from tests.wire.market import Json, Market
from tests.wire.waiting import eventually_true


def code_of(code: str) -> str:
    return f"POD-ENROLL-{code}"


async def verdict(market: Market, identity: Identity, **changes: object) -> Json:
    async with hand(market) as agent:
        return await agent.respond(identity, **changes)


async def test_the_decision_table(market: Market) -> None:
    one, two = await market.operator(), await market.operator()
    key, other = Identity.new(), Identity.new()
    accepted = {"type": "auth_ok", "provider_id": str(one.provider_id)}
    steps: list[tuple[Identity, str | None, bool]] = [
        (key, None, False),  # unknown key, no code
        (key, code_of("AAAAAAAA"), False),  # unknown key, unknown code
        (key, one.code, False),  # the bare eight characters are not a code
        (key, code_of(one.code), True),  # unknown key, valid code: bound
        (key, None, True),  # bound, no code
        (key, code_of(one.code), True),  # bound, its own code again
        (key, code_of(two.code), False),  # bound, another's code
        (other, code_of(one.code), False),  # a second key for the same operator
        (key, None, True),  # and nothing of this has changed whose the first key is
    ]
    for identity, code, let_in in steps:
        changes = {} if code is None else {"enrollment_code": code}
        answer = await verdict(market, identity, **changes)
        if let_in:
            assert answer == accepted
        else:
            assert answer["type"] == "auth_failed", (code, answer)
            assert isinstance(answer["reason"], str)


async def test_the_nonce_is_32_fresh_bytes(market: Market) -> None:
    seen: set[str] = set()
    for _ in range(3):
        async with hand(market) as agent:
            nonce = str((await agent.receive())["nonce"])
            assert len(base64.b64decode(nonce, validate=True)) == 32
            seen.add(nonce)
    assert len(seen) == 3


BAD_RESPONSES: list[Json] = [
    {"signature": base64.b64encode(bytes(64)).decode()},
    {"signature": "AAAA"},
    {"signature": "!!!"},
    {"signature": 5},
    {"pubkey": base64.b64encode(bytes(31)).decode()},
    {"pubkey": base64.b64encode(bytes(32)).decode()},
    {"pubkey": None},
    {"type": "capabilities"},
    {"type": "hello"},
    {"type": None},
]


async def test_a_bad_response_is_refused_and_closed(market: Market) -> None:
    operator = await market.operator()
    code = code_of(operator.code)
    for changes in BAD_RESPONSES:
        async with hand(market) as agent:
            answer = await agent.respond(Identity.new(), **{"enrollment_code": code, **changes})
            assert answer["type"] == "auth_failed", changes
            assert "close" in await agent.receive()
    _, profile = await market.call("GET", "/v1/host/profile", headers=operator.authorization)
    assert profile["agent"] == {"paired": False, "connected": False, "models": [], "running": 0}


async def test_what_is_no_frame_is_refused(market: Market) -> None:
    for text in ("{not json", "[]", "5", "", "{}"):
        async with hand(market) as agent:
            await agent.receive()
            await agent.socket.send_str(text)
            assert (await agent.receive())["type"] == "auth_failed", text
            assert "close" in await agent.receive()


async def test_a_signature_over_another_nonce_is_refused(market: Market) -> None:
    operator = await market.operator()
    identity = Identity.new()
    async with hand(market) as first, hand(market) as second:
        nonce = base64.b64decode(str((await first.receive())["nonce"]))
        answer = await second.respond(
            identity, signature=identity.sign(nonce), enrollment_code=code_of(operator.code)
        )
        assert answer["type"] == "auth_failed"


async def test_an_agent_without_a_bond_is_let_in_but_gets_no_work(market: Market) -> None:
    operator = await market.operator(bonded=False)
    user = await market.user(funds_microusdc=1_000_000)
    body = {"model": "tiny-chat", "messages": [{"role": "user", "content": "x"}]}
    async with hand(market) as agent:
        answer = await agent.respond(Identity.new(), enrollment_code=code_of(operator.code))
        assert answer["type"] == "auth_ok"
        await agent.offer("tiny-chat")
        await market.until_serving(operator, ["tiny-chat"])
        path = f"/proxy/{user.token}/v1/chat/completions"
        assert (await market.call("POST", path, body))[0] == 503
        await market.post_bond(operator)

        async def listed() -> bool:
            _, told = await market.call("GET", f"/proxy/{user.token}/v1/models")
            return bool(told["data"])

        await eventually_true(listed)
        asking = market.start(market.call("POST", path, body))
        job = await agent.receive()
        assert job["type"] == "job"
        await agent.answer(job["job_id"], "hello")
        status, told = await asking
        assert status == 200
        assert "hello" in json.dumps(told)


async def test_other_paths_are_no_websockets(market: Market) -> None:
    async with market.http.get(f"{market.url}/provider/connect") as response:
        assert response.status in (400, 404, 405, 426)
