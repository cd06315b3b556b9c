"""How an operator stands, from pending to gone: who gets work, what runs on, and what is told."""

import asyncio
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest

from settlement.bonds import lifecycle
from settlement.chain.movement import ChainMoment, MovementKey, Vault
from settlement.db.pool import transaction
from settlement.deposits import VaultDeposit, book_deposit
from settlement.ledger import accounts, store
from settlement.money import MicroUsdc, Slot
from tests.conftest import Database
from tests.wire.coordinator.scripted import Operator
from tests.wire.coordinator.test_hosts import ask_once, bearer, pair, told
from tests.wire.coordinator.world import DOLLAR, World, world

BOND = MicroUsdc(50 * DOLLAR)
_NUMBERS = count(1)


def key() -> MovementKey:
    return MovementKey(cluster="localnet", signature=f"standing-{next(_NUMBERS)}", outer=0)


def moment() -> ChainMoment:
    return ChainMoment(slot=Slot(200 + next(_NUMBERS)), block_time=datetime.now(UTC))


async def cancel_on_chain(w: World, address: str) -> None:
    fact = lifecycle.BondRetireCancelled(key=key(), moment=moment(), address=address)
    async with transaction(w.pool) as tx:
        await lifecycle.retire_cancelled(tx, fact)


async def release(w: World, address: str, wallet: str) -> str:
    fact = lifecycle.BondReleased(
        key=key(), moment=moment(), address=address, amount_microusdc=BOND, destination=wallet
    )
    async with transaction(w.pool) as tx:
        await store.apply(tx, w.books, await lifecycle.released(tx, fact))
    return fact.key.signature


async def seize(w: World, address: str) -> str:
    fact = lifecycle.BondSeized(key=key(), moment=moment(), address=address, amount_microusdc=BOND)
    async with transaction(w.pool) as tx:
        await store.apply(tx, w.books, await lifecycle.seized(tx, fact))
    return fact.key.signature


async def pay_bond_money(w: World, operator: Operator, amount: int) -> None:
    fact = VaultDeposit(
        key=key(),
        moment=moment(),
        vault=Vault.TILL,
        amount_microusdc=MicroUsdc(amount),
        code=operator.code.encode(),
        source="somebody",
    )
    async with transaction(w.pool) as tx:
        await store.apply(tx, w.books, await book_deposit(tx, fact))


async def status(w: World, operator: Operator) -> str:
    return (await told(w, "/v1/host/profile", operator))["status"]


async def becomes(w: World, operator: Operator, wanted: str) -> None:
    async with asyncio.timeout(10):
        while await status(w, operator) != wanted:  # noqa: ASYNC110 -- another process
            await asyncio.sleep(0.02)


async def nobody_serves(w: World) -> None:
    """Wait until no model can be asked for."""
    token = (await w.user(funded=0)).token
    async with asyncio.timeout(10):
        while (await (await w.get(f"/proxy/{token}/v1/models")).json())["data"]:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_a_retirement_on_chain_stops_new_work_and_lets_old_work_finish(
    database: Database,
) -> None:
    async with world(database.dsn) as w:
        user, operator = await w.user(), await w.operator(bonded=False)
        address = await w.bond(operator)
        async with w.agent(operator) as agent:
            running = asyncio.create_task(ask_once(w, user.token))
            job = await agent.job()
            await w.unbond(address)
            await nobody_serves(w)
            assert await ask_once(w, user.token) == 503
            assert await status(w, operator) == "retiring"
            profile = await told(w, "/v1/host/profile", operator)
            assert profile["agent"]["running"] == 1
            await agent.answer(job, "one two three")
            assert await running == 200
            await becomes(w, operator, "cooldown")
        await w.nothing_reserved()
        assert (await w.earned(operator)).net_microusdc > 0, "what ran was paid"


async def test_who_leaves_by_the_api_finishes_what_runs(database: Database) -> None:
    async with world(database.dsn) as w:
        user, operator = await w.user(), await w.operator()
        async with w.agent(operator) as agent:
            running = asyncio.create_task(ask_once(w, user.token))
            job = await agent.job()
            assert (await w.post("/v1/host/retire", headers=bearer(operator))).status == 200
            assert await status(w, operator) == "retiring"
            assert await ask_once(w, user.token) == 503
            await agent.answer(job, "one two three")
            assert await running == 200
            await becomes(w, operator, "retired")


async def test_who_stays_after_all_gets_work_again(database: Database) -> None:
    async with world(database.dsn) as w:
        operator = await w.operator()
        async with w.agent(operator):
            await w.post("/v1/host/retire", headers=bearer(operator))
            await nobody_serves(w)
            async with w.http.delete(w.url + "/v1/host/retire", headers=bearer(operator)) as back:
                assert back.status == 200
                answer = await back.json()
            assert (answer["status"], answer["next"]) == ("active", None)
            await w.listed("tiny-chat")


async def test_a_cancel_on_chain_brings_the_operator_back(database: Database) -> None:
    async with world(database.dsn) as w:
        operator = await w.operator(bonded=False)
        address = await w.bond(operator)
        async with w.agent(operator):
            await w.post("/v1/host/retire", headers=bearer(operator))
            await w.unbond(address)
            await becomes(w, operator, "cooldown")
            async with w.http.delete(w.url + "/v1/host/retire", headers=bearer(operator)) as back:
                answer = await back.json()
            assert answer["status"] == "cooldown", "on chain it still is"
            assert "cancel_retire" in answer["next"]
            again = await w.post("/v1/host/retire", headers=bearer(operator))
            assert (await again.json())["status"] == "retiring"
            await cancel_on_chain(w, address)
            await becomes(w, operator, "active")
            await w.listed("tiny-chat")
            # What was said before the cancel is over; what is said after it holds.
            await w.post("/v1/host/retire", headers=bearer(operator))
            await becomes(w, operator, "retired")
            await nobody_serves(w)


async def test_every_word_of_a_life(database: Database) -> None:
    async with world(database.dsn) as w:
        operator = await w.operator(bonded=False)
        assert await status(w, operator) == "pending"
        address = await w.bond(operator)
        assert await status(w, operator) == "active", "bonded, and never had an agent"
        await pair(w, operator)
        assert await status(w, operator) == "offline"
        async with w.agent(operator):
            assert await status(w, operator) == "active"
        await becomes(w, operator, "offline")
        await w.unbond(address)
        assert await status(w, operator) == "cooldown"
        signature = await release(w, address, operator.wallet)
        profile = await told(w, "/v1/host/profile", operator)
        assert (profile["status"], profile["bond"]["ended_by"]) == ("bond_returned", signature)
        banned = await w.operator(bonded=False)
        seized = await seize(w, await w.bond(banned))
        profile = await told(w, "/v1/host/profile", banned)
        assert (profile["status"], profile["bond"]["ended_by"]) == ("banned", seized)


async def test_who_has_served_its_tokens_per_minute_is_throttled(database: Database) -> None:
    async with world(database.dsn) as w:
        user, operator = await w.user(), await w.operator()
        async with w.agent(operator) as agent:
            await agent.advertise({"tiny-chat": 1_000_000}, max_tokens_per_minute=4)
            running = asyncio.create_task(ask_once(w, user.token))
            await agent.answer(await agent.job(), "one two three four five six")
            assert await running == 200
            assert await status(w, operator) == "throttled"


async def refund(w: World, operator: Operator) -> tuple[int, dict[str, Any]]:
    response = await w.post("/v1/host/bond/refund", headers=bearer(operator))
    return response.status, await response.json()


async def test_bond_money_that_no_bond_needs_goes_back(database: Database) -> None:
    async with world(database.dsn) as w:
        operator = await w.operator()
        await pay_bond_money(w, operator, 7 * DOLLAR + 3)
        profile = await told(w, "/v1/host/profile", operator)
        assert profile["bond"]["refundable_microusdc"] == 7 * DOLLAR + 3
        code, made = await refund(w, operator)
        assert (code, made["amount_usdc"], made["destination"]) == (
            200,
            "7.000003",
            operator.wallet,
        )
        assert await refund(w, operator) == (200, made), "one at a time"
        shown = await told(w, made["links"]["self"], operator)
        assert (shown["status"], shown["amount_microusdc"]) == ("approved", 7 * DOLLAR + 3)
        profile = await told(w, "/v1/host/profile", operator)
        assert (
            profile["bond"]["pending_microusdc"],
            profile["bond"]["refundable_microusdc"],
        ) == (7 * DOLLAR + 3, 0)
        rows = await w.pool.fetch("select account, kind, amount from settlement.payout")
        account = accounts.bond_pending(operator.provider_id)
        assert [tuple(row) for row in rows] == [(account, "pay", 7 * DOLLAR + 3)]
        # What comes in meanwhile waits for the next one.
        await pay_bond_money(w, operator, 2 * DOLLAR)
        assert (await refund(w, operator))[1] == made


@pytest.mark.parametrize("amount", [0, 999_999])
async def test_nothing_or_next_to_nothing_is_not_sent_back(database: Database, amount: int) -> None:
    async with world(database.dsn) as w:
        operator = await w.operator()
        if amount:
            await pay_bond_money(w, operator, amount)
        code, refused = await refund(w, operator)
        assert (code, refused["error"]["code"]) == (400, "nothing_to_refund")
        assert refused["error"]["details"]["available_microusdc"] == amount
        assert await w.pool.fetchval("select count(*) from settlement.payout") == 0


async def test_many_refunds_at_once_are_one(database: Database) -> None:
    async with world(database.dsn) as w:
        operator = await w.operator()
        await pay_bond_money(w, operator, 7 * DOLLAR)
        made = await asyncio.gather(*(refund(w, operator) for _ in range(8)))
        assert len({answer["withdrawal_id"] for _, answer in made}) == 1
        assert await w.pool.fetchval("select count(*) from settlement.payout") == 1


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/host/profile"),
        ("POST", "/v1/host/retire"),
        ("DELETE", "/v1/host/retire"),
        ("POST", "/v1/host/bond/refund"),
    ],
)
async def test_nobody_speaks_for_an_operator_without_its_token(
    database: Database, method: str, path: str
) -> None:
    async with world(database.dsn) as w:
        for headers in ({}, {"Authorization": "Bearer pod_host_" + "a" * 40}):
            async with w.http.request(method, w.url + path, headers=headers) as response:
                assert response.status == 401
                assert (await response.json())["error"]["type"] == "unauthorized"
