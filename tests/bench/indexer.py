"""`bench indexer`: a history of deposits from the first signature to the last entry in the books.

A process of its own serves a made-up chain over HTTP on loopback (`indexer_chain`); the indexer is
the process of production, its Postgres durable. Before and after it our RPC client fetches some of
the same transactions from the same backend, as many at once, and does nothing with them: what share
of that rate is left when each is also checked, decoded, attributed and booked is the figure that
holds on any machine. Then the embedded chain tells how long it takes from finalized to credited.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

import asyncpg
import uvloop

from cli.workspace import ROOT
from indexer.follow import Pace
from localnet import postgres
from settlement import deposits
from settlement.chain.rpc import RpcClient, open_rpc
from settlement.db.migrate import migrate
from settlement.db.pool import open_pool, transaction
from settlement.observability import configure_logging
from tests.bench import indexer_latency
from tests.bench.harness import Bar, Measured, Number
from tests.bench.indexer_process import CLUSTER, Running, own_cpu_seconds, running_indexer
from tests.bench.ledger_meter import server_seconds
from tests.bench.ledger_server import Server, running_server
from tests.conftest import PACKAGES
from tests.pure.transactions import DEPLOYMENT, TILL, key

Results = dict[str, dict[str, Number]]

LEAST_SHARE = 0.6
RAW_PER_SECOND = 2_000
WHOLE_SECONDS, WHOLE = 180, 100_000
MEMORY_MB = 300
GROWTH_MB = 40  # from the middle of the run to its end
POLLING_P99_MS, AWAKE_P99_MS = 2_000, 300
_DATABASE = "bench"
_LATENCY = indexer_latency.Plan()
_LOOK_SECONDS = 0.5
_PAYER = str(key("payer"))
_STUCK_SECONDS = 60.0
# Every signature is an entry of the books or two: counting is begun when there are enough of them.
_ENTRIES = "select coalesce(max(head_rows), 0) from settlement.writer where name = 'indexer'"
_BOOKED = "select count(*) from indexer.signature where cluster = $1 and state = 'booked'"
_BOOKS = """
select (select count(*) from settlement.txn) as entries,
       (select dr - cr from settlement.balance join settlement.account using (account_id)
         where name = 'chain:till') as held,
       (select count(*) from indexer.incident) as incidents,
       (select count(*) from settlement.check_books_v1()) as broken
"""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much to measure."""

    signatures: int = WHOLE
    raw: int = 10_000  # fetched before, and once more after
    users: int = 500
    latency: indexer_latency.Plan | None = _LATENCY


def sized(signatures: int) -> Plan:
    """A plan for a history of this length, the rest in proportion."""
    whole = Plan()
    few = replace(_LATENCY, deposits=min(_LATENCY.deposits, max(4, signatures // 200)))
    return replace(whole, signatures=signatures, raw=min(whole.raw, signatures), latency=few)


def measure(directory: Path, *, plan: Plan | None = None) -> Measured:
    """All of it."""
    chosen = plan or Plan()
    configure_logging("bench", "WARNING")  # the embedded chain's lines are no part of the report
    load_before, begun = os.getloadavg()[0], time.perf_counter()
    with tempfile.TemporaryDirectory(dir=directory, prefix="indexer-") as made:
        place = Path(made)
        with (
            running_server(place) as server,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            results = runner.run(_backfill(server, place, chosen))
            if chosen.latency is not None:
                results |= runner.run(indexer_latency.measure(server, place, chosen.latency))
    results["run"] = {
        "load_average_before": round(load_before, 2),
        "load_average_after": round(os.getloadavg()[0], 2),
        "seconds": round(time.perf_counter() - begun, 1),
    }
    return Measured(results=results, bars=bars_of(results))


def bars_of(results: Results) -> list[Bar]:
    """What the issue asks for; and that every figure is of right books."""
    raw, backfill = results["raw"], results["backfill"]
    wanted = WHOLE / WHOLE_SECONDS
    bars = [
        Bar(name="raw_per_second", value=raw["per_second"], limit=RAW_PER_SECOND),
        Bar(name="share_of_raw", value=backfill["share_of_raw"], limit=LEAST_SHARE),
        Bar(name="signatures_per_second", value=backfill["per_second"], limit=round(wanted, 1)),
        Bar(name="peak_mb", value=backfill["peak_mb"], limit=MEMORY_MB, kind="at most"),
        Bar(name="growth_mb", value=backfill["growth_mb"], limit=GROWTH_MB, kind="at most"),
        Bar(name="not_as_on_chain", value=backfill["wrong"], limit=0, kind="at most"),
    ]
    for name, limit in (("polling", POLLING_P99_MS), ("awake", AWAKE_P99_MS)):
        if name in results:
            p99 = results[name]["p99_ms"]
            bars.append(Bar(name=f"{name}_p99_ms", value=p99, limit=limit, kind="at most"))
    return bars


async def _backfill(server: Server, place: Path, plan: Plan) -> Results:
    await asyncio.to_thread(postgres.create_database, server.cluster, _DATABASE)
    dsn = server.cluster.dsn(_DATABASE)
    await migrate(dsn, PACKAGES)
    codes = place / "codes"
    codes.write_text("\n".join(await _codes(dsn, plan.users)))
    connection = await asyncpg.connect(dsn)
    try:
        with _made_up_chain(plan.signatures, codes) as (url, held):
            async with open_rpc([url]) as rpc:
                names = await _listed(rpc, plan.raw)
                before = await _fetch(rpc, names)
            figures = await _index(server, connection, dsn, url, place, plan.signatures)
            async with open_rpc([url]) as rpc:
                after = await _fetch(rpc, names)
        books = await connection.fetchrow(_BOOKS)
        assert books is not None, "counts are one row"
    finally:
        await connection.close()
    raw: dict[str, Number] = {
        "signatures": 2 * len(names),
        "per_second": round(2 * len(names) / (before.seconds + after.seconds), 1),
        "per_second_before": round(len(names) / before.seconds, 1),
        "per_second_after": round(len(names) / after.seconds, 1),
        "cpu_us_each": round(1e6 * (before.cpu + after.cpu) / (2 * len(names))),
    }
    wrong = abs(held - books["held"]) + books["broken"] + books["incidents"]
    return {
        "raw": raw,
        "backfill": {
            **figures,
            "share_of_raw": round(figures["per_second"] / raw["per_second"], 3),
            "cpu_times_raw": round(figures["indexer_cpu_us_each"] / raw["cpu_us_each"], 2),
            "entries": books["entries"],
            "wrong": wrong,
        },
    }


async def _codes(dsn: str, users: int) -> list[str]:
    pool = await open_pool(dsn, role="pod_coordinator", application="bench", size=1)
    try:
        async with transaction(pool) as tx:
            return [(await deposits.enroll_user(tx, uuid4())).hex() for _ in range(users)]
    finally:
        await pool.close()


@contextlib.contextmanager
def _made_up_chain(signatures: int, codes: Path) -> Generator[tuple[str, int]]:
    """The backend's URL, and what its till holds in the end."""
    words = ("--signatures", str(signatures), "--codes", str(codes))
    with subprocess.Popen(
        [sys.executable, "-m", "tests.bench.indexer_chain", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        try:
            told = json.loads(process.stdout.readline())
            yield told["url"], told["held_microusdc"]
        finally:
            process.terminate()


async def _listed(rpc: RpcClient, wanted: int) -> list[str]:
    """The newest signatures of the till."""
    names: list[str] = []
    while len(names) < wanted:
        page = await rpc.signatures_for(TILL, before=names[-1] if names else None)
        if not page:
            break
        names += [one.signature for one in page]
    return names[:wanted]


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What some work took, by the clock and by the processor."""

    seconds: float
    cpu: float


async def _fetch(rpc: RpcClient, names: list[str]) -> Spent:
    """Ask for each transaction, as many at once as the indexer does, and drop the answer."""
    left = iter(names)

    async def ask() -> None:
        for name in left:
            found = await rpc.transaction(name)
            assert found is not None, "the backend has what it lists"

    begun, cpu = time.perf_counter(), own_cpu_seconds()
    await asyncio.gather(*(ask() for _ in range(Pace().fetch_at_once)))
    return Spent(seconds=time.perf_counter() - begun, cpu=own_cpu_seconds() - cpu)


async def _index(
    server: Server,
    connection: "asyncpg.Connection[asyncpg.Record]",
    dsn: str,
    url: str,
    place: Path,
    signatures: int,
) -> dict[str, Number]:
    """Follow the chain from nothing until its last transaction is in the books."""
    used = server_seconds(server.pid)
    with running_indexer(
        dsn=dsn,
        rpc_url=url,
        ws_url=None,
        deployment=DEPLOYMENT,
        payer=_PAYER,
        log=place / "indexer.log",
    ) as indexer:
        half_mb, first_mb = await _until(connection, indexer, signatures // 2)
        end_mb, then_mb = await _until(connection, indexer, signatures)
        seconds = time.perf_counter() - indexer.began_seconds
        return {
            "signatures": signatures,
            "seconds": round(seconds, 2),
            "per_second": round(signatures / seconds, 1),
            "peak_mb": max(first_mb, then_mb),
            "half_mb": half_mb,
            "end_mb": end_mb,
            "growth_mb": round(end_mb - half_mb, 1),
            "indexer_cpu_us_each": round(1e6 * indexer.cpu_seconds / signatures),
            "postgres_cpu_us_each": round(1e6 * (server_seconds(server.pid) - used) / signatures),
        }


async def _until(
    connection: "asyncpg.Connection[asyncpg.Record]", indexer: Running, booked: int
) -> tuple[float, float]:
    """Return when so many are booked; what memory the indexer has then and had at most, in MB."""
    so_far, since = -1, time.perf_counter()
    now_mb = peak_mb = 0.0
    while True:
        indexer.check_alive()
        now_mb = indexer.memory_mb("VmRSS")
        peak_mb = max(peak_mb, indexer.memory_mb("VmHWM"))
        now = await connection.fetchval(_ENTRIES)
        if now >= booked and await connection.fetchval(_BOOKED, CLUSTER) >= booked:
            return now_mb, peak_mb
        if now > so_far:
            so_far, since = now, time.perf_counter()
        if time.perf_counter() - since > _STUCK_SECONDS:
            raise AssertionError(f"stuck at {now}:\n" + indexer.log.read_text()[-4_000:])
        await asyncio.sleep(_LOOK_SECONDS)
