"""`bench ledger`: requests settled a second by our books, beside the plain design of one row each.

Everything runs against one durable Postgres of its own: first the plain design (one treasury row,
then 64 of them), then ours at growing numbers of requests in flight: spread over all users, all on
one, with a hold of its own for each request, and while the books are being verified. Asked to, it
does the core of that again with every WAL sync slowed to 5 ms.

A request of ours is a charge against its user's lease: its code, the lease, both balances and the
treasury's, the hash chain (which is the outbox too: readers follow it by number) are in one commit.
A request of the plain design is one call without any of these. The books are checked at the end.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import uvloop

from localnet import postgres
from settlement.db.migrate import migrate
from tests.bench import ledger_ours as ours
from tests.bench.harness import Bar, Measured, Number
from tests.bench.ledger_meter import Meter
from tests.bench.ledger_ours import Names
from tests.bench.ledger_plain import SCHEMA as PLAIN
from tests.bench.ledger_plain import TREASURIES, PlainBooks
from tests.bench.ledger_server import (
    SLOW_SYNC_MS,
    Server,
    commit_milliseconds,
    running_server,
    slow_sync_library,
)
from tests.bench.ledger_verifier import verifying
from tests.conftest import PACKAGES

TIMES_PLAIN = 4
TIMES_PLAIN_SLOW = 20
REQUESTS_PER_SECOND = 15_000
P99_MS = 25
_AT = 100  # in flight, where the bars are
_DATABASE = "bench"

Results = dict[str, dict[str, Number]]
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much to measure: connections of the plain design, requests in flight of ours."""

    users: int = 10_000
    hosts: int = 1_000
    seconds: float = 2.5
    plain_seconds: int = 2
    plain: tuple[int, ...] = (1, 8, 32)
    sharded: tuple[int, ...] = (8, 32)
    in_flight: tuple[int, ...] = (1, 10, 50, _AT, 500)
    one_user: tuple[int, ...] = (1, 10, 50, _AT, 500)
    by_id: tuple[int, ...] = (_AT,)
    verified: tuple[int, ...] = (_AT,)

    def with_slow_syncs(self) -> "Plan":
        """The core of it: the rest says nothing new when only the disk is slower."""
        deep = tuple(number for number in self.in_flight if number >= _AT)
        return replace(
            self, sharded=self.sharded[-1:], in_flight=deep, one_user=(), by_id=(), verified=()
        )


WHOLE = Plan()


def measure(directory: Path, *, slow_sync: bool = False, plan: Plan = WHOLE) -> Measured:
    """All of it. Raises `CannotSlowSyncs` when that is asked for and cannot be done."""
    load_before, begun = os.getloadavg()[0], time.perf_counter()
    results: Results = {}
    with tempfile.TemporaryDirectory(dir=directory, prefix="ledger-") as made:
        place = Path(made)
        preload = slow_sync_library(place) if slow_sync else None
        with running_server(place) as server:
            names, found = _run(_fill_and_measure(server, plan))
        results |= found
        if preload is not None:
            with running_server(place, preload=preload) as server:
                found = _run(_measure(server, names, plan.with_slow_syncs()))
            results |= {f"slow_{name}": figures for name, figures in found.items()}
    results["run"] = {
        "users": plan.users,
        "hosts": plan.hosts,
        "load_average_before": round(load_before, 2),
        "seconds": round(time.perf_counter() - begun, 1),
    }
    return Measured(results=results, bars=bars_of(results))


def bars_of(results: Results) -> list[Bar]:
    """What the issue asks for, at 100 in flight; and that every figure is of right books."""
    figures, ratio = results[f"ours_{_AT}"], results["ratio"]
    bars = [
        Bar(name="times_best_plain", value=ratio["times_best_plain"], limit=TIMES_PLAIN),
        Bar(
            name="requests_per_second",
            value=figures["requests_per_second"],
            limit=REQUESTS_PER_SECOND,
        ),
        Bar(name="p99_ms", value=figures["p99_ms"], limit=P99_MS, kind="at most"),
    ]
    if "slow_ratio" in results:
        times = results["slow_ratio"]["times_best_plain"]
        sync = results["slow_books"]["commit_median_ms"]
        bars += [
            Bar(name="slow_times_best_plain", value=times, limit=TIMES_PLAIN_SLOW),
            Bar(name="slow_commit_ms", value=sync, limit=SLOW_SYNC_MS),
        ]
    failed = sum(part.get("failed", 0) for part in results.values())
    broken = sum(part.get("broken_rules", 0) for part in results.values())
    return [
        *bars,
        Bar(name="failed", value=failed, limit=0, kind="at most"),
        Bar(name="broken_rules", value=broken, limit=0, kind="at most"),
    ]


def ratio_of(results: Results) -> dict[str, Number]:
    """Ours at 100 in flight over the best plain figure, with one treasury row and with 64."""

    def best(kind: str) -> Number:
        names = [name for name in results if name.rpartition("_")[0] == kind]
        return max(results[name]["requests_per_second"] for name in names)

    own = results[f"ours_{_AT}"]["requests_per_second"]
    plain, sharded = best("plain"), best(f"plain{TREASURIES}")
    return {
        "best_plain_requests_per_second": plain,
        "times_best_plain": round(own / plain, 2),
        f"best_plain{TREASURIES}_requests_per_second": sharded,
        f"times_best_plain{TREASURIES}": round(own / sharded, 2),
    }


async def _fill_and_measure(server: Server, plan: Plan) -> tuple[Names, Results]:
    await asyncio.to_thread(postgres.create_database, server.cluster, _DATABASE)
    await migrate(server.cluster.dsn(_DATABASE), PACKAGES)
    connection = await asyncpg.connect(server.cluster.dsn(_DATABASE))
    try:
        await _plain(server, plan).fill(connection)
        names = await ours.fill(
            server.cluster.dsn(_DATABASE), connection, users=plan.users, hosts=plan.hosts
        )
    finally:
        await connection.close()
    return names, await _measure(server, names, plan)


async def _measure(server: Server, names: Names, plan: Plan) -> Results:
    dsn = server.cluster.dsn(_DATABASE)
    connection = await asyncpg.connect(dsn)
    try:
        commit = await commit_milliseconds(connection)
        meter = Meter(connection=connection, server_pid=server.pid, schema=ours.SCHEMA)
        checkpoints = (await meter.read()).checkpoints
        results = await _measure_plain(_plain(server, plan), replace(meter, schema=PLAIN), plan)
        for in_flight in plan.in_flight:
            results[f"ours_{in_flight}"] = await ours.push(
                dsn, names, meter, in_flight=in_flight, seconds=plan.seconds
            )
        one = replace(names, users=names.users[:1])
        for in_flight in plan.one_user:
            results[f"ours_one_user_{in_flight}"] = await ours.push(
                dsn, one, meter, in_flight=in_flight, seconds=plan.seconds
            )
        for in_flight in plan.by_id:
            results[f"ours_by_id_{in_flight}"] = await ours.push(
                dsn, names, meter, in_flight=in_flight, seconds=plan.seconds, by_id=True
            )
        for in_flight in plan.verified:
            async with verifying(dsn) as verified:
                figures = await ours.push(
                    dsn, names, meter, in_flight=in_flight, seconds=plan.seconds
                )
            results[f"ours_verified_{in_flight}"] = figures | verified.figures()
        results["ratio"] = ratio_of(results)
        results["books"] = {
            "leases_per_second": round(names.leases_per_second),
            "commit_median_ms": commit,
            "checkpoints": (await meter.read()).checkpoints - checkpoints,
            "broken_rules": len(await ours.broken_rules(connection)),
        }
    finally:
        await connection.close()
    return results


async def _measure_plain(books: PlainBooks, meter: Meter, plan: Plan) -> Results:
    results: Results = {}
    for treasuries, numbers in ((1, plan.plain), (TREASURIES, plan.sharded)):
        name = "plain" if treasuries == 1 else f"plain{treasuries}"
        for connections in numbers:
            results[f"{name}_{connections}"] = await books.push(
                meter, connections=connections, treasuries=treasuries, seconds=plan.plain_seconds
            )
    return results


def _plain(server: Server, plan: Plan) -> PlainBooks:
    return PlainBooks(
        cluster=server.cluster, database=_DATABASE, users=plan.users, hosts=plan.hosts
    )


def _run(work: Coroutine[Any, Any, T]) -> T:
    """On the event loop that the coordinator runs on."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)
