"""From the code on the screen to the books: signed as a wallet signs, on a real chain."""

import pytest
from solders.keypair import Keypair
from solders.transaction import VersionedTransaction

from settlement.chain import program
from settlement.chain.movement import Vault
from settlement.money import MicroUsdc
from tests.chain.indexer.conftest import following
from tests.wire.payment_requests.counter import PUBLIC_URL, Counter, raw_call
from tests.wire.waiting import eventually_true

NINETY_DAYS = 90 * 86_400
BOND = 50_000_000


async def test_a_deposit_is_credited(counter: Counter) -> None:
    user = await counter.market.user()
    code, phone = user.deposit_code.hex(), counter.world.wallet("user")
    asked = {"code": code, "amount": "25.5"}
    status, told = await counter.get("deposit", **asked)
    assert status == 200
    assert told == {"label": "podledger (localnet)", "icon": f"{PUBLIC_URL}/v1/pay/icon.png"}
    async with following(counter.world.settings()):
        instruction = await counter.pay("deposit", phone, **asked)
        assert instruction == program.DepositUsdc(
            depositor=phone.pubkey(),
            depositor_ata=counter.world.ata("user"),
            code=user.deposit_code,
            amount_microusdc=MicroUsdc(25_500_000),
        )

        async def credited() -> bool:
            return await counter.market.balance(user) == 25_500_000

        await eventually_true(credited)
    assert await counter.world.vault_amount(Vault.TILL) == 25_500_000


async def test_a_deposit_is_found_by_its_references(counter: Counter) -> None:
    first, second = Keypair().pubkey(), counter.place.till_authority
    phone = counter.world.wallet("user")
    query = f"code={await counter.code()}&amount=1&reference={first}&reference={second}"
    path = f"/v1/pay/deposit?{query}"
    status, told = await counter.market.call("POST", path, {"account": str(phone.pubkey())})
    assert status == 200, told
    transaction, _ = counter.checked(told["transaction"], phone.pubkey())
    message = transaction.message
    named = [message.account_keys[at] for at in message.instructions[-1].accounts]
    assert named[7:] == [first, second]
    transaction.sign([phone], message.recent_blockhash)
    signature = await counter.world.rpc.send(VersionedTransaction.from_legacy(transaction))
    await counter.world.chain.until_finalized(signature)
    for reference in (first, second):
        found = await counter.world.rpc.call("getSignaturesForAddress", str(reference))
        assert str(signature) in {entry["signature"] for entry in found}


async def test_a_bond_from_posting_to_release(counter: Counter) -> None:
    phone = counter.world.wallet("operator")
    code, header = await counter.enrolled(phone)
    before = await counter.usdc(phone.pubkey())

    async def is_now(status: str) -> None:
        async def holds() -> bool:
            _, told = await counter.market.call("GET", "/v1/host/profile", headers=header)
            return told["status"] == status

        await eventually_true(holds)

    async with following(counter.world.settings()):
        posted = await counter.pay("bond", phone, code=code, beneficiary=str(phone.pubkey()))
        assert isinstance(posted, program.PostBond)
        assert posted.beneficiary == phone.pubkey()
        await is_now("active")
        assert await counter.usdc(phone.pubkey()) == before - BOND
        for path, asked in (("bond", {"code": code}), ("deposit", {"code": code, "amount": "50"})):
            told = await counter.refused(path, phone.pubkey(), 409, **asked)
            assert told["error"]["code"] == "bond_exists"

        await counter.settled()
        await counter.refused("bond/cancel", phone.pubkey(), 409, code=code)
        await counter.pay("bond/retire", phone, code=code)
        await is_now("cooldown")
        await counter.settled()
        told = await counter.refused("bond/release", phone.pubkey(), 409, code=code)
        assert "it ends" in told["message"]

        await counter.world.rpc.call("localnet_advanceClock", NINETY_DAYS + 1)
        await counter.settled()
        await counter.pay("bond/release", phone, code=code)
        await is_now("bond_returned")
    assert await counter.usdc(phone.pubkey()) == before
    await counter.settled()
    for path, asked in (("bond", {"code": code}), ("deposit", {"code": code, "amount": "50"})):
        told = await counter.refused(path, phone.pubkey(), 409, **asked)
        assert told["error"]["code"] == "bond_closed"
        assert told["message"] == "the bond of this code is over: enroll again for a new code"
    told = await counter.refused("bond/retire", phone.pubkey(), 409, code=code)
    assert "released" in told["message"]


async def test_somebody_else_pays_the_bond_and_the_owner_keeps_it(counter: Counter) -> None:
    friend, owner = counter.world.wallet("user"), counter.world.wallet("operator")
    code, _ = await counter.enrolled(owner)
    posted = await counter.pay("bond", friend, code=code)
    assert isinstance(posted, program.PostBond)
    assert (posted.depositor, posted.beneficiary) == (friend.pubkey(), owner.pubkey())
    assert await counter.world.vault_amount(Vault.BOND) == BOND
    await counter.settled()
    told = await counter.refused("bond", friend.pubkey(), 409, code=code)
    assert told["error"]["code"] == "bond_exists"  # said by the chain: no indexer runs here
    told = await counter.refused("bond/retire", friend.pubkey(), 403, code=code)
    assert told["message"] == "only the wallet that gets this bond back can do this"
    await counter.pay("bond/retire", owner, code=code)
    await counter.settled()
    await counter.pay("bond/cancel", owner, code=code)
    await counter.settled()
    await counter.pay("bond/retire", owner, code=code)
    await counter.world.rpc.call("localnet_advanceClock", NINETY_DAYS + 1)
    await counter.settled()
    before = await counter.usdc(owner.pubkey())
    await counter.pay("bond/release", friend, code=code)  # anybody may; it goes to the owner
    assert await counter.usdc(owner.pubkey()) == before + BOND


async def test_money_for_a_bond_through_the_till(counter: Counter) -> None:
    phone = counter.world.wallet("operator")
    code, header = await counter.enrolled(phone)
    async with following(counter.world.settings()):
        await counter.pay("deposit", phone, code=code, amount="50")

        async def pending() -> bool:
            _, told = await counter.market.call("GET", "/v1/host/profile", headers=header)
            return told["bond"]["pending_microusdc"] == BOND  # pyright: ignore[reportIndexIssue, reportUnknownVariableType]

        await eventually_true(pending)
    for path, asked in (("bond", {"code": code}), ("deposit", {"code": code, "amount": "50"})):
        told = await counter.refused(path, phone.pubkey(), 409, **asked)
        assert told["error"]["code"] == "bond_paid_already"


async def test_any_web_page_may_ask(counter: Counter) -> None:
    code = await counter.code()
    path = f"/v1/pay/deposit?code={code}&amount=1"
    asks = {
        "Origin": "https://shop.test",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    response, _ = await raw_call(counter, "OPTIONS", path, headers=asks)
    assert response.status == 204
    assert response.headers["access-control-allow-origin"] == "*"
    assert "POST" in response.headers["access-control-allow-methods"]
    assert "content-type" in response.headers["access-control-allow-headers"]
    for method, where, status in (
        ("GET", path, 200),
        ("GET", "/v1/pay/icon.png", 200),
        ("GET", "/v1/pay/deposit", 400),
        ("POST", path, 400),
        ("PUT", path, 405),
        ("GET", "/v1/pay/nothing", 404),
    ):
        response, _ = await raw_call(counter, method, where)
        assert response.status == status, (method, where)
        assert response.headers["access-control-allow-origin"] == "*", (method, where)


async def test_the_icon_is_a_png(counter: Counter) -> None:
    response, body = await raw_call(counter, "GET", "/v1/pay/icon.png")
    assert response.content_type == "image/png"
    assert body.startswith(b"\x89PNG\r\n\x1a\n")
    assert len(body) < 10_000


@pytest.mark.parametrize("path", ["deposit", "bond", "bond/retire", "bond/cancel", "bond/release"])
async def test_every_way_is_documented(counter: Counter, path: str) -> None:
    _, told = await counter.market.call("GET", "/openapi.json")
    routes: dict[str, dict[str, dict[str, object]]] = told["paths"]  # pyright: ignore[reportAssignmentType] # any JSON
    shown = routes[f"/v1/pay/{path}"]
    assert set(shown) == {"get", "post"}
    assert "code" in str(shown["get"]["parameters"])
    assert "account" in str(shown["post"]["requestBody"])
    assert {f"/v1/pay/{path}/link", f"/v1/pay/{path}/qr.svg"} <= set(routes)
