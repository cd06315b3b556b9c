"""`bench payouts`: withdrawals from request to last entry, several in a message and one in each.

Two systems of production processes, one after the other, on the same machine: in the first a
message carries as many payouts as the settings' default says, in the second exactly one. Each is
asked for a few withdrawals one at a time (what a host waits for), then for many at once (how many
become final a second). Costs are what the fee payer's SOL fell by. Every payout must be paid, and
the books must equal the chain.
"""

import asyncio
import json
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID, uuid4

import aiohttp
import asyncpg

from cli.story.api import Api
from cli.story.people import People, deployment_of, people_of
from cli.story.stage import until
from cli.wallet import carry_out, patient_rpc
from cli.workspace import Running
from coordinator.store import fingerprint
from settlement.chain import program
from settlement.chain.rpc import RpcClient
from settlement.clock import SystemClock
from settlement.db.pool import open_pool, transaction
from settlement.keys.file import keypair_of
from settlement.ledger import accounts, store
from settlement.ledger.operations import Post, TransactionKind, Transfer
from settlement.money import MicroUsdc
from tests.bench.harness import Bar, Measured, Number
from tests.e2e.system import TestSystem, running_system

_ASKED_MICROUSDC = 5_000_000  # the smallest there is
_NEWCOMER_PAYOUTS = 200  # of that: a host's first thousand dollars need no person
_BOND_CODE_PREFIX = "POD-BOND-"
_TOLD = """
select p.payout_id, p.requested_at, min(m.first_sent_at) as sent_at, x.recorded_at as final_at
  from settlement.payout p
  join settlement.payout_attempt a using (payout_id)
  join settlement.payout_message m using (message_id)
  join settlement.txn x on x.hold_id = p.payout_id
 where p.state = 'paid' and p.payout_id = any ($1)
 group by p.payout_id, x.recorded_at
"""
_USER = "select user_id from coordinator.user_token where token_sha256 = $1"
_MESSAGES = "select count(*) from settlement.payout_message where sends > 0"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is asked for."""

    one_at_a_time: int = 10
    at_once: int = 400
    slot_time_ms: int = 200


@dataclass(frozen=True, kw_only=True)
class _Told:
    """When one payout was asked for, first sent, and booked as final."""

    requested_at: datetime
    sent_at: datetime
    final_at: datetime


def measure(directory: Path, *, plan: Plan | None = None) -> Measured:
    """Both systems."""
    chosen = plan or Plan()
    results: dict[str, dict[str, Number]] = {}
    for name, settings in (("batched", {}), ("single", {"POD_SETTLEMENT_LARGEST_BATCH": "1"})):
        with (
            tempfile.TemporaryDirectory(dir=directory, prefix="payouts-") as place,
            running_system(Path(place), slot_time_ms=chosen.slot_time_ms) as system,
        ):
            # What is measured is the road, not how often one host may ask.
            system.environment.update({"POD_COORDINATOR_WITHDRAWALS_PER_MINUTE": "100000"})
            system.environment.update(settings)
            results |= asyncio.run(_measure(name, system, system.up(), chosen))
    return Measured(results=results, bars=bars_of(results, chosen))


def bars_of(results: dict[str, dict[str, Number]], plan: Plan) -> list[Bar]:
    """All paid and all right; and several in a message cost less and are no slower."""
    batched, single = results["batched"], results["single"]
    unpaid = sum(plan.at_once - each["paid"] for each in (batched, single))
    wrong = sum(each["difference_microusdc"] for each in (batched, single))
    cheaper = batched["lamports_each"] / single["lamports_each"]
    quicker = batched["final_per_second"] / single["final_per_second"]
    return [
        Bar(name="unpaid", value=unpaid, limit=0, kind="at most"),
        Bar(name="difference_microusdc", value=wrong, limit=0, kind="at most"),
        Bar(name="cost_of_single", value=round(cheaper, 3), limit=0.5, kind="at most"),
        Bar(name="speed_of_single", value=round(quicker, 2), limit=1.0),
    ]


async def _measure(
    name: str, system: TestSystem, running: Running, plan: Plan
) -> dict[str, dict[str, Number]]:
    people = people_of(running)
    async with (
        aiohttp.ClientSession() as http,
        patient_rpc(running.rpc) as rpc,
    ):
        coordinator = Api(http, running.coordinator)
        hosts = await _hosts_with_earnings(running, coordinator, rpc, people, plan)
        payer = keypair_of((Path(running.keys) / "payer.json").read_text()).pubkey()
        connection = await asyncpg.connect(running.database)
        try:
            alone = [
                told
                for _ in range(plan.one_at_a_time)
                for told in await _withdraw(connection, hosts[:1], people, 1)
            ]
            before, sent_before = await rpc.balance(payer), await connection.fetchval(_MESSAGES)
            told = await _withdraw(connection, hosts[1:], people, plan.at_once)
            spent = before - await rpc.balance(payer)
            messages = await connection.fetchval(_MESSAGES) - sent_before
        finally:
            await connection.close()
    compared = json.loads(system.pod("reconcile", "--json").stdout)
    wrong = sum(abs(line["difference"]) for line in compared["vaults"])
    seconds = _seconds(min(t.requested_at for t in told), max(t.final_at for t in told))
    return {
        name: {
            "paid": len(told),
            "messages": messages,
            "final_per_second": round(len(told) / seconds, 1),
            "lamports_each": round(spent / len(told), 1),
            "difference_microusdc": wrong,
            **_waits(told),
        },
        f"{name}_alone": {"paid": len(alone), **_waits(alone)},
    }


async def _hosts_with_earnings(
    running: Running, coordinator: Api, rpc: RpcClient, people: People, plan: Plan
) -> list[Api]:
    """Hosts who earned enough for all that is asked: the first for those one at a time."""
    several = -(-plan.at_once // _NEWCOMER_PAYOUTS)
    each = MicroUsdc(_ASKED_MICROUSDC * max(_NEWCOMER_PAYOUTS, plan.one_at_a_time))
    user = await coordinator.post("/v1/register")
    deposited = MicroUsdc(each * (several + 1))
    instruction = program.deposit_usdc(
        deployment_of(running),
        depositor=people.user.pubkey(),
        code=bytes.fromhex(user["deposit_code"]),
        amount_microusdc=deposited,
    )
    await carry_out(rpc, [instruction], people.user)
    balance = coordinator.below(f"/proxy/{user['api_token']}")

    async def credited() -> bool:
        return int((await balance.get("/balance"))["usdc_balance"]) == deposited

    await until("the deposit to be credited", credited)
    body = {"display_name": "Bench", "wallet": str(people.operator.pubkey())}
    enrolled = [
        await coordinator.post("/v1/host/enroll", json.dumps(body)) for _ in range(several + 1)
    ]
    providers = [UUID(one["provider_id"]) for one in enrolled]
    await _earn(running, user["api_token"], providers, each)
    return [coordinator.with_bearer(one["host_token"]) for one in enrolled]


async def _earn(running: Running, token: str, providers: Sequence[UUID], each: MicroUsdc) -> None:
    """What many requests would have done, as one entry."""
    now = SystemClock().now()
    user = await _user_of(running, token)
    pool = await open_pool(running.database, role="pod_settlement", application="bench", size=1)
    try:
        writer = await store.open_writer(pool, "bench")
        async with transaction(pool) as tx:
            legs = tuple(
                Transfer(
                    debit=accounts.user(user),
                    credit=accounts.host(provider),
                    amount_microusdc=each,
                )
                for provider in providers
            )
            earned = Post(
                transaction_id=uuid4(),
                kind=TransactionKind.ADJUSTMENT,
                transfers=legs,
                event_at=now,
                effective_on=now.date(),
                actor="bench",
            )
            (done,) = await store.apply(tx, writer, [earned])
            assert done.done, f"the earnings were not booked: {done.code}"
    finally:
        await pool.close()


async def _user_of(running: Running, token: str) -> UUID:
    connection = await asyncpg.connect(running.database)
    try:
        return UUID(str(await connection.fetchval(_USER, fingerprint(token))))
    finally:
        await connection.close()


async def _withdraw(
    connection: "asyncpg.Connection[asyncpg.Record]",
    hosts: Sequence[Api],
    people: People,
    count: int,
) -> list[_Told]:
    """Ask for `count` withdrawals at once, shared among the hosts, and wait until all are final."""
    wallets = (str(people.operator.pubkey()), str(people.user.pubkey()))

    async def ask(number: int) -> UUID:
        body = {"amount_usdc": 5, "destination": wallets[number % len(wallets)]}
        host = hosts[number % len(hosts)]
        return UUID((await host.post("/v1/host/withdraw", json.dumps(body)))["withdrawal_id"])

    asked = await asyncio.gather(*map(ask, range(count)))

    async def all_told() -> list[asyncpg.Record] | None:
        rows = await connection.fetch(_TOLD, asked)
        return rows if len(rows) == count else None

    found = await until(f"{count} withdrawals to be final", all_told)
    return [
        _Told(requested_at=row["requested_at"], sent_at=row["sent_at"], final_at=row["final_at"])
        for row in found
    ]


def _waits(told: Sequence[_Told]) -> dict[str, Number]:
    sent = [_seconds(one.requested_at, one.sent_at) for one in told]
    final = [_seconds(one.requested_at, one.final_at) for one in told]
    return {
        "broadcast_p50_seconds": round(statistics.median(sent), 3),
        "broadcast_p99_seconds": round(_p99(sent), 3),
        "final_p50_seconds": round(statistics.median(final), 3),
        "final_p99_seconds": round(_p99(final), 3),
    }


def _p99(values: Sequence[float]) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * 99 // 100)]


def _seconds(since: datetime, until_: datetime) -> float:
    return (until_ - since).total_seconds()
