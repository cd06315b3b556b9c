"""Taking money out over HTTP, against a real chain: ask, look, list, take back, and bad input."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import pytest
from solders.keypair import Keypair

from settlement import deposits
from settlement.chain.movement import Vault
from settlement.chain.program import associated_token_address
from settlement.db.pool import reading, transaction
from settlement.ledger import accounts, store
from settlement.ledger.operations import AccountName
from settlement.money import MicroUsdc, format_usdc
from tests import factories
from tests.wire.market import Operator
from tests.wire.payment_requests.counter import Counter

USDC = 1_000_000
Json = dict[str, Any]


async def earner(counter: Counter, amount: int = 100 * USDC) -> Operator:
    operator = await counter.market.operator(bonded=False)
    await give(counter, accounts.host(operator.provider_id), amount)
    return operator


async def give(counter: Counter, account: AccountName, amount: int) -> None:
    async with transaction(counter.market.pool) as tx:
        done = await store.apply(tx, counter.market.writer, [factories.deposit(account, amount)])
    assert all(each.done for each in done)


async def raw(
    counter: Counter,
    path: str,
    body: bytes,
    headers: Mapping[str, str],
    method: str = "POST",
) -> tuple[int, Json]:
    url = f"{counter.market.url}{path}"
    async with counter.market.http.request(method, url, data=body, headers=headers) as answer:
        return answer.status, await answer.json()


async def ask(
    counter: Counter, operator: Operator, amount: object, destination: object, **headers: str
) -> tuple[int, Json]:
    body = json.dumps({"amount_usdc": amount, "destination": str(destination)}).encode()
    return await raw(counter, "/v1/host/withdraw", body, {**operator.authorization, **headers})


async def available(counter: Counter, account: AccountName) -> int:
    async with reading(counter.market.pool) as conn:
        return (await store.balance(conn, account)).available_microusdc


async def test_asked_shown_listed_and_taken_back(counter: Counter) -> None:
    operator, wallet = await earner(counter), Keypair().pubkey()
    status, made = await ask(counter, operator, 25.25, wallet, **{"Idempotency-Key": "one"})
    assert status == 200, made
    wanted = made["withdrawal_id"]
    assert made == {
        "withdrawal_id": wanted,
        "state": "approved",
        "status": "approved",
        "amount_usdc": "25.250000",
        "amount_microusdc": 25_250_000,
        "destination": str(wallet),
        "destination_account": None,
        "requested_at": made["requested_at"],
        "not_before": None,
        "signature": None,
        "reasons": [],
        "links": {
            "self": f"/v1/host/withdrawals/{wanted}",
            "cancel": f"/v1/host/withdrawals/{wanted}/cancel",
        },
    }
    auth = operator.authorization
    assert await ask(counter, operator, "25.25", wallet, **{"Idempotency-Key": "one"}) == (
        200,
        made,
    )
    status, other = await ask(counter, operator, 26, wallet, **{"Idempotency-Key": "one"})
    assert (status, other["error"]["param"]) == (409, "idempotency_key")
    assert await counter.market.call("GET", made["links"]["self"], headers=auth) == (200, made)
    stranger = await counter.market.operator(bonded=False)
    for method, path in (
        ("GET", made["links"]["self"]),
        ("DELETE", made["links"]["self"]),
        ("POST", made["links"]["cancel"]),
    ):
        status, _ = await counter.market.call(method, path, headers=stranger.authorization)
        assert status == 404
    status, gone = await counter.market.call("POST", made["links"]["cancel"], headers=auth)
    assert (status, gone["state"]) == (200, "cancelled")
    assert gone["links"] == {"self": made["links"]["self"], "cancel": None}
    again = await counter.market.call("DELETE", made["links"]["self"], headers=auth)
    assert again == (200, gone)
    assert await available(counter, accounts.host(operator.provider_id)) == 100 * USDC


async def test_too_late_to_take_back(counter: Counter) -> None:
    operator = await earner(counter)
    _, made = await ask(counter, operator, 10, Keypair().pubkey())
    async with transaction(counter.market.pool) as tx:
        await tx.execute(
            "update settlement.payout set state = 'numbered', sequence = 0,"
            " destination_account = 'x'"
        )
    status, told = await counter.market.call(
        "DELETE", made["links"]["self"], headers=operator.authorization
    )
    error: Any = told["error"]
    assert (status, error["code"]) == (409, "too_late_to_cancel")
    assert await available(counter, accounts.host(operator.provider_id)) == 90 * USDC


async def test_pages_stay_right_while_others_arrive(counter: Counter) -> None:
    operator = await earner(counter)
    made = [(await ask(counter, operator, 5, Keypair().pubkey()))[1] for _ in range(5)]
    ids = [each["withdrawal_id"] for each in made][::-1]
    auth, path = operator.authorization, "/v1/host/withdrawals"
    _, first = await counter.market.call("GET", f"{path}?limit=2", headers=auth)
    await ask(counter, operator, 5, Keypair().pubkey())
    seen, after = list(page(first)), first["next"]
    while after:
        _, more = await counter.market.call("GET", f"{path}?limit=2&before={after}", headers=auth)
        seen, after = seen + page(more), more["next"]
    assert seen == ids
    _, everything = await counter.market.call("GET", path, headers=auth)
    assert (len(page(everything)), everything["next"]) == (6, None)
    for query, field in (
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=-1", "limit"),
        ("limit=x", "limit"),
        ("limit=", "limit"),
        ("limit=%D9%A5", "limit"),
        ("before=x", "before"),
        (f"before={uuid4()}", "before"),
    ):
        status, told = await counter.market.call("GET", f"{path}?{query}", headers=auth)
        error: Any = told["error"]
        assert (status, error["param"]) == (400, field), query


def page(told: Mapping[str, object]) -> list[str]:
    rows: Any = told["withdrawals"]
    return [each["withdrawal_id"] for each in rows]


AMOUNTS = [
    *(b"0", b"-5", b"5.0000001", b"4.999999", b"1e400", b"1e-400", b"9223372036854.775808"),
    b"5." + b"0" * 40 + b"1",
    *(b"true", b"null", b"{}", b"[5]", b'"five"', b'"NaN"', b'"1_000"', b'""', b'"5.0000001"'),
    b'"' + b"9" * 5_000 + b'"',
    '"\uff15"'.encode(),
]


async def test_amounts_that_are_none(counter: Counter) -> None:
    operator, wallet = await earner(counter), str(Keypair().pubkey()).encode()
    for amount in AMOUNTS:
        body = b'{"amount_usdc": ' + amount + b', "destination": "' + wallet + b'"}'
        status, told = await raw(counter, "/v1/host/withdraw", body, operator.authorization)
        assert (status, told["error"]["param"]) == (400, "amount_usdc"), amount
    await nothing_happened(counter, operator)


@pytest.mark.parametrize("key", ["", "x" * 256, "caf\xe9"])
async def test_keys_that_are_none(counter: Counter, key: str) -> None:
    operator = await earner(counter)
    status, told = await ask(counter, operator, 5, Keypair().pubkey(), **{"Idempotency-Key": key})
    assert (status, told["error"]["param"]) == (400, "idempotency_key")
    await nothing_happened(counter, operator)


async def nothing_happened(counter: Counter, operator: Operator) -> None:
    async with reading(counter.market.pool) as conn:
        assert await conn.fetchval("select count(*) from settlement.payout") == 0
    assert await available(counter, accounts.host(operator.provider_id)) == 100 * USDC


async def test_destinations_that_cannot_be_paid(counter: Counter) -> None:
    operator, place, world = await earner(counter), counter.place, counter.world
    someone = Keypair().pubkey()
    refused: dict[str, object] = {
        "an address no key can sign for": associated_token_address(someone, place.mint),
        "the mint": place.mint,
        "the program": place.program_id,
        "the till vault": place.till_vault,
        "the escrow": place.escrow,
        "the fee payer": world.wallet("payer").pubkey(),
        "no address": "0" * 44,
    }
    for what, destination in refused.items():
        status, told = await ask(counter, operator, 5, destination)
        assert (status, told["error"]["param"]) == (400, "destination"), what
        assert told["message"] == told["error"]["message"]
    await nothing_happened(counter, operator)
    status, _ = await ask(counter, operator, 5, world.ata("user"))  # a token account that is there
    assert status == 200
    async with reading(counter.market.pool) as conn:
        kind = await conn.fetchval("select destination_kind from settlement.payout")
    assert kind == "token_account"


@pytest.mark.parametrize(("amount", "state"), [(1_000, "approved"), (1_001, "requested")])
async def test_large_amounts_wait_for_a_person(counter: Counter, amount: int, state: str) -> None:
    operator = await earner(counter, 5_000 * USDC)
    status, made = await ask(counter, operator, amount, operator.wallet)
    assert (status, made["state"]) == (200, state)
    assert [each["code"] for each in made["reasons"]] == (
        ["approval"] if state == "requested" else []
    )


async def test_a_storm_over_http(counter: Counter) -> None:
    operator = await earner(counter, 52 * USDC)
    answers = await asyncio.gather(
        *(ask(counter, operator, "10", operator.wallet) for _ in range(20))
    )
    assert sorted(status for status, _ in answers) == [200] * 5 + [400] * 15
    assert await available(counter, accounts.host(operator.provider_id)) == 2 * USDC


async def test_a_user_takes_back_what_is_unspent(counter: Counter) -> None:
    user = await counter.market.user()
    wallet = counter.world.wallet("user").pubkey()
    source = str(counter.world.ata("user"))
    async with transaction(counter.market.pool) as tx:
        owner = await tx.fetchval(
            "select user_id from settlement.deposit_code where code = $1", user.deposit_code
        )
    account = accounts.user(owner)
    path = f"/proxy/{user.token}/withdraw"
    body = {"amount_usdc": "20", "destination": str(wallet)}
    status, told = await counter.market.call("POST", path, body)
    error: Any = told["error"]
    assert (status, error["code"]) == (400, "insufficient_unspent")
    await give(counter, account, 50 * USDC)
    status, told = await counter.market.call("POST", path, body)
    error = told["error"]
    assert (status, error["code"]) == (400, "not_paid_in_from")
    await paid_in(counter, user.deposit_code, source)
    status, made = await counter.market.call("POST", path, body)
    assert status == 200, made
    here = f"/proxy/{user.token}/withdrawals/{made['withdrawal_id']}"
    assert made["links"] == {"self": here, "cancel": f"{here}/cancel"}
    _, listed = await counter.market.call("GET", f"/proxy/{user.token}/withdrawals")
    assert listed == {"withdrawals": [made], "next": None}
    assert await counter.market.call("GET", here) == (200, made)
    other = await counter.market.user()
    theirs = here.replace(user.token, other.token)
    assert (await counter.market.call("GET", theirs))[0] == 404
    assert (await counter.market.call("DELETE", theirs))[0] == 404
    assert await available(counter, account) == 40 * USDC
    status, gone = await counter.market.call("DELETE", here)
    assert (status, gone["state"]) == (200, "cancelled")
    assert await available(counter, account) == 60 * USDC
    for wrong, code in ((str(uuid4()), 404), ("x", 401)):
        assert (await counter.market.call("POST", f"/proxy/{wrong}/withdraw", body))[0] == code


async def paid_in(counter: Counter, code: bytes, source: str) -> None:
    """Ten dollars by a coded deposit from this token account, as the indexer books it."""
    async with transaction(counter.market.pool) as tx:
        fact = deposits.VaultDeposit(
            key=factories.movement(),
            moment=factories.moment(),
            vault=Vault.TILL,
            amount_microusdc=MicroUsdc(10 * USDC),
            code=code,
            source=source,
        )
        done = await store.apply(tx, counter.market.writer, await deposits.book_deposit(tx, fact))
    assert all(each.done for each in done)


async def test_the_balance_on_the_wire_follows(counter: Counter) -> None:
    operator = await earner(counter)
    await ask(counter, operator, format_usdc(30 * USDC), operator.wallet)
    _, told = await counter.market.call("GET", "/v1/host/balance", headers=operator.authorization)
    assert told == {
        "usdc_balance": 100 * USDC,
        "withdrawable_usdc_balance": 70 * USDC,
    }
