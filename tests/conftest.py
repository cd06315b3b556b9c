"""The harness every test stands on.

One throw-away Postgres per test process; one template database that went through all migrations;
each test that asks for `database` gets a clone of its own, and after it the books are checked: they
sum to zero, nothing is below its floor, and what is held equals the open holds.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, settings

from localnet import postgres
from settlement.db.migrate import migrate
from tests.in_memory import throwaway_directory

PACKAGES = ("settlement", "indexer", "coordinator")
TEMPLATE = "podledger_template"

# How hard Hypothesis works. No deadline: a loaded machine is no failure.
_SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)
settings.register_profile(
    "default", max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=_SLOW
)
settings.register_profile(
    "nightly", max_examples=600, stateful_step_count=40, deadline=None, suppress_health_check=_SLOW
)
# A failure is told as it was found: shrinking one with a database behind it takes minutes.
settings.register_profile(
    "unshrunk",
    max_examples=40,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=_SLOW,
    phases=[Phase.explicit, Phase.generate],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with a long test come first: begun last, they would keep one core busy alone."""
    long = {item.path for item in items if item.get_closest_marker("long")}
    items.sort(key=lambda item: item.path not in long)


def free_port() -> int:
    """A TCP port nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[postgres.Cluster]:
    """A running server that lives as long as this test process.

    POD_TEST_POSTGRES_BIN is the folder of another version's programs, for tests that run on it.
    """
    programs = os.environ.get("POD_TEST_POSTGRES_BIN")
    with throwaway_directory() as directory:
        cluster = postgres.Cluster(
            directory=directory / "postgres",
            port=free_port(),
            programs=Path(programs) if programs else None,
        )
        postgres.create(cluster)
        log = Path(cluster.directory / "log")
        process = postgres.start(cluster, log=log, settings=postgres.THROWAWAY_SETTINGS)
        try:
            postgres.wait_ready(cluster, process)
            yield cluster
        finally:
            postgres.stop(process)


@pytest.fixture(scope="session")
def migrated_template(postgres_cluster: postgres.Cluster) -> str:
    """The name of a database that all migrations have run on; clone it, never write to it."""
    postgres.create_database(postgres_cluster, TEMPLATE)
    asyncio.run(migrate(postgres_cluster.dsn(TEMPLATE), PACKAGES))
    return TEMPLATE


@dataclass(frozen=True, kw_only=True)
class Database:
    """One test's own database."""

    name: str
    dsn: str


@pytest.fixture
async def empty_database(postgres_cluster: postgres.Cluster) -> AsyncIterator[Database]:
    """A database nothing has run on."""
    async for database in _database(postgres_cluster, template="template0"):
        yield database


@pytest.fixture
async def database(
    postgres_cluster: postgres.Cluster, migrated_template: str
) -> AsyncIterator[Database]:
    """A fresh clone of the migrated template; the books are checked when the test is over."""
    async for database in _database(postgres_cluster, template=migrated_template):
        yield database
        await check_books(database.dsn)


async def _database(cluster: postgres.Cluster, *, template: str) -> AsyncIterator[Database]:
    name = f"test_{uuid4().hex}"
    admin = await asyncpg.connect(cluster.dsn())
    try:
        await admin.execute(f'create database "{name}" template "{template}" strategy file_copy')
        try:
            yield Database(name=name, dsn=cluster.dsn(name))
        finally:
            await admin.execute(f'drop database "{name}" with (force)')
    finally:
        await admin.close()


async def check_books(dsn: str) -> None:
    """Fail when the books of this database do not add up.

    `settlement.check_books_v1()` returns one row per broken rule; there must be none.
    """
    connection = await asyncpg.connect(dsn)
    try:
        broken = await connection.fetch("select rule, detail from settlement.check_books_v1()")
    finally:
        await connection.close()
    assert not broken, "\n".join(f"{row['rule']}: {row['detail']}" for row in broken)
