"""From finalized to credited, and what an idle minute asks of a node: on the embedded chain.

One deposit after the other, at a moment of the poll that chance decides: from the end of the slot
in which the chain calls it finalized until another connection sees it in the books. Once with
nothing but the timer, once with the websocket awake. Then nothing happens for a while, and the
calls that were answered are counted.
"""

import asyncio
import random
import re
import statistics
import time
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
import asyncpg

from localnet import postgres
from localnet.embedded import RunningChain, cluster_server, quick_settings
from settlement.chain.program import Deployment
from settlement.db.migrate import migrate
from settlement.db.pool import open_pool
from tests.bench.harness import Number
from tests.bench.indexer_process import Running, running_indexer
from tests.bench.ledger_server import Server
from tests.chain.indexer.conftest import World, initialize
from tests.chain.localnet.calls import Rpc
from tests.conftest import PACKAGES, Database

Results = dict[str, dict[str, Number]]

SLOT_TIME_MS = 200  # what localnet.toml says; tests are quicker
_LOOK_SECONDS = 0.004
_MINUTE_SECONDS = 60
_CALLS = re.compile(rb"^localnet_rpc_requests_total\{.*\} ([0-9.e+]+)$", re.MULTILINE)
_SEEN = "select count(*) from settlement.txn where external_ref like 'chain:%:' || $1 || ':%'"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How many deposits, and how long nothing."""

    deposits: int = 60
    idle_seconds: float = 20.0


async def measure(server: Server, place: Path, plan: Plan) -> Results:
    """Both ways of waking, and idling with each."""
    results: Results = {}
    for name, awake in (("polling", False), ("awake", True)):
        database = f"latency_{name}"
        await asyncio.to_thread(postgres.create_database, server.cluster, database)
        dsn = server.cluster.dsn(database)
        await migrate(dsn, PACKAGES)
        settings = quick_settings(Path("localnet.toml"))
        settings = replace(settings, embedded=replace(settings.embedded, slot_time_ms=SLOT_TIME_MS))
        async with (
            cluster_server(
                settings, data=place / name / "chain", keys=place / name / "keys"
            ) as chain,
            Rpc(chain.rpc_url) as rpc,
        ):
            world = await _world(chain, rpc, Database(name=database, dsn=dsn))
            try:
                results[name] = await _deposits(world, place / f"{name}.log", plan, awake=awake)
            finally:
                await world.pool.close()
    return results


async def _world(chain: RunningChain, rpc: Rpc, database: Database) -> World:
    assert chain.program_id is not None, "the program is built"
    world = World(
        chain=chain,
        rpc=rpc,
        deployment=Deployment(chain.program_id, chain.mint),
        database=database,
        pool=await open_pool(database.dsn, role="pod_coordinator", application="bench", size=2),
    )
    await initialize(world)
    return world


async def _deposits(world: World, log: Path, plan: Plan, *, awake: bool) -> dict[str, Number]:
    _, code = await world.user()
    chance = random.Random(7)
    connection = await asyncpg.connect(world.database.dsn)
    try:
        with running_indexer(
            dsn=world.database.dsn,
            rpc_url=world.chain.rpc_url,
            ws_url=world.chain.ws_url if awake else None,
            deployment=world.deployment,
            payer=str(world.wallet("payer").pubkey()),
            log=log,
        ) as indexer:
            await _credited(world, connection, indexer, code, 1)  # it has begun
            taken: list[float] = []
            for number in range(plan.deposits):
                await asyncio.sleep(chance.random() * SLOT_TIME_MS / 1_000)
                taken.append(await _credited(world, connection, indexer, code, 2 + number))
            calls = await _calls_of(world.chain)
            await asyncio.sleep(plan.idle_seconds)
            idle = await _calls_of(world.chain) - calls
    finally:
        await connection.close()
    quantiles = statistics.quantiles(taken, n=100, method="inclusive")
    return {
        "deposits": len(taken),
        "p50_ms": round(1_000 * quantiles[49], 1),
        "p99_ms": round(1_000 * quantiles[98], 1),
        "worst_ms": round(1_000 * max(taken), 1),
        "idle_calls_per_minute": round(idle * _MINUTE_SECONDS / plan.idle_seconds),
    }


async def _credited(
    world: World,
    connection: "asyncpg.Connection[asyncpg.Record]",
    indexer: Running,
    code: bytes,
    amount: int,
) -> float:
    """Send one deposit; the seconds from finalized until it is in the books."""
    signature = await world.deposit(code, amount)
    await world.chain.until_finalized(signature)
    begun = time.perf_counter()
    while not await connection.fetchval(_SEEN, str(signature)):
        indexer.check_alive()
        await asyncio.sleep(_LOOK_SECONDS)
    return time.perf_counter() - begun


async def _calls_of(chain: RunningChain) -> int:
    """How many JSON-RPC calls the chain has answered."""
    async with aiohttp.ClientSession() as http, http.get(f"{chain.rpc_url}/metrics") as response:
        return round(sum(float(count) for count in _CALLS.findall(await response.read())))
