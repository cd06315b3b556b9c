"""The database is killed under load, all its processes at once, again and again.

Group commit sends again what had no answer, by itself. In the end every promise is in the books,
once and as it was made, and nobody was refused who should not have been. POD_SEED repeats a run.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from random import Random
from uuid import uuid4

import asyncpg
import pytest

from localnet import postgres
from settlement.db.migrate import migrate
from settlement.db.pool import open_pool
from settlement.ledger import store
from settlement.ledger.writer import GroupCommit
from tests.conftest import PACKAGES
from tests.database.ledger_drills.business import Business, Record, check_record, fund
from tests.database.ledger_drills.server import DurableServer, durable_server
from tests.wire.waiting import eventually

_SEED = int(os.environ.get("POD_SEED", "1"))
_TEMPLATE = "drill_template"
_SIZES = pytest.mark.parametrize("batch_size", [1, 100], ids=["strict", "batches"])
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DurableServer]:
    """One for all drills of this file, each in a database of its own."""
    with durable_server(tmp_path_factory.mktemp("drill")) as running:
        postgres.create_database(running.cluster, _TEMPLATE)
        asyncio.run(migrate(running.cluster.dsn(_TEMPLATE), PACKAGES))
        yield running


@pytest.fixture
async def dsn(server: DurableServer) -> AsyncIterator[str]:
    """Books of the drill's own."""
    name = f"drill_{uuid4().hex}"
    admin = await asyncpg.connect(server.cluster.dsn())
    await admin.execute(f"create database {name} template {_TEMPLATE}")
    await admin.close()
    yield server.cluster.dsn(name)
    admin = await asyncpg.connect(server.cluster.dsn())
    await admin.execute(f"drop database {name} with (force)")
    await admin.close()


async def test_its_commits_are_durable(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    for setting in ("fsync", "synchronous_commit", "full_page_writes"):
        assert await connection.fetchval(f"show {setting}") == "on"
    await connection.close()


@_SIZES
async def test_what_was_promised_survives_kill_9(
    server: DurableServer, dsn: str, batch_size: int
) -> None:
    drilled = await drill(server, dsn, seed=1, batch_size=batch_size, kills=2)
    assert min(drilled.in_flight) > 0


@pytest.mark.nightly
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("seed", range(_SEED, _SEED + 10))
@_SIZES
async def test_what_was_promised_survives_many_kills(
    server: DurableServer, dsn: str, batch_size: int, seed: int
) -> None:
    drilled = await drill(server, dsn, seed=seed, batch_size=batch_size, kills=8)
    assert min(drilled.in_flight) > 0


@dataclass(frozen=True, kw_only=True)
class Drilled:
    """What happened: how much was asked and not yet answered at each kill, and what was told."""

    in_flight: list[int]
    record: Record


async def drill(
    server: DurableServer, dsn: str, *, seed: int, batch_size: int, kills: int
) -> Drilled:
    """Business, kills at the seed's moments, more business, and the check of everything."""
    random, record = Random(seed), Record()
    pool = await open_pool(dsn, role="pod_coordinator", application="drill", size=3)
    try:
        await fund(pool)
        writer = await store.open_writer(pool, "coordinator")
        async with GroupCommit(pool, writer, batch_size=batch_size, give_up_seconds=120) as group:
            business = Business(group.submit, record, random)
            working = asyncio.create_task(business.run(12))
            try:
                in_flight = [await _killed(server, record, Random(seed + n)) for n in range(kills)]
                await _more(record, 40)
            finally:
                business.enough = True
            await working
    finally:
        pool.terminate()
    assert record.unanswered == []
    await check_record(dsn, record)
    print(f"seed {seed}: {record.codes()}, survivors {len(record.survivors)}, at {in_flight}")
    return Drilled(in_flight=in_flight, record=record)


async def _killed(server: DurableServer, record: Record, random: Random) -> int:
    """Kill it some answers and some milliseconds from now; what was under way at that moment."""
    await _more(record, random.randrange(1, 120))
    await asyncio.sleep(random.uniform(0, 0.02))
    under_way = len(record.unanswered)
    await asyncio.to_thread(server.kill)
    await server.start_again()
    return under_way


async def _more(record: Record, count: int) -> None:
    """Return once there are so many more answers."""
    reached = record.answers + count
    await eventually(lambda: record.answers >= reached, timeout_seconds=90)
