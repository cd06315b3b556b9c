"""The settlement worker keeps days ahead, counts them, and cries out while they become few."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Any, cast

import asyncpg
import pytest
from structlog.testing import capture_logs

from settlement import app
from settlement.clock import SystemClock
from settlement.db.pool import Pool, open_pool
from settlement.ledger import charge_days
from settlement.metrics import WorkerMetrics
from settlement.process import Standing
from tests.conftest import Database
from tests.database import days

# Days to come are taken away, as only a superuser can.
_FEWER = """
do $$
declare
  v_name text;
begin
  set local session_replication_role = replica;
  for v_name in delete from settlement.charge_day
                 where day > (clock_timestamp() at time zone 'utc')::date + {} returning partition
  loop
    execute format('drop table settlement.%I', v_name);
  end loop;
end
$$
"""


@pytest.fixture
async def worker(database: Database) -> AsyncIterator[app._Worker]:
    """A worker that has what this part of it needs, and no chain."""
    pool = await open_pool(database.dsn, role="pod_settlement", application="test", size=2)
    yield app._Worker(
        settings=cast("Any", None),
        pool=pool,
        rpc=cast("Any", None),
        clock=SystemClock(),
        standing=Standing(),
        metrics=WorkerMetrics(),
    )
    await pool.close()


async def keep(worker: app._Worker, pool: Pool | None = None) -> None:
    """One round."""
    await charge_days.keep_ahead(pool or worker.pool, partial(app._days_told, worker))


async def fewer(database: Database, ahead: int) -> None:
    """Leave only so many days ahead."""
    connection = await asyncpg.connect(database.dsn)
    try:
        await connection.execute(_FEWER.format(ahead))
    finally:
        await connection.close()


def counted(worker: app._Worker) -> float | None:
    """What the metric says."""
    return worker.metrics.registry.get_sample_value("settlement_charge_days_ahead")


async def test_days_are_made_and_counted(worker: app._Worker, database: Database) -> None:
    await fewer(database, -1)
    assert await charge_days.days_ahead(worker.pool) == -1
    with capture_logs() as logs:
        await keep(worker)
    assert (counted(worker), worker.standing.well, logs) == (3, True, [])
    connection = await asyncpg.connect(database.dsn)
    newest = await connection.fetchval("select max(day) from settlement.charge_day")
    await connection.close()
    assert newest == days.today() + 3 * days.DAY


@pytest.mark.parametrize(("ahead", "alarmed"), [(2, False), (1, True), (0, True), (-1, True)])
async def test_few_days_are_an_alarm_while_none_can_be_made(
    worker: app._Worker, database: Database, ahead: int, alarmed: bool
) -> None:
    await fewer(database, ahead)
    # Who may not make days stands for whatever keeps the worker from it.
    other = await open_pool(database.dsn, role="pod_finance", application="test", size=1)
    try:
        with capture_logs() as logs, pytest.raises(asyncpg.InsufficientPrivilegeError):
            await keep(worker, other)
    finally:
        await other.close()
    assert counted(worker) == ahead
    told = {"event": "charge_days_short", "days_ahead": ahead, "log_level": "error"}
    assert (told in logs, worker.standing.well) == (alarmed, not alarmed)
    await keep(worker)
    assert (counted(worker), worker.standing.well) == (3, True)
