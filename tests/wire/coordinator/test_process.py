"""`python -m coordinator` as a process: starting, refusing to be two, stopping, being killed."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from settlement.db.pool import open_pool
from settlement.ledger import store
from tests.conftest import Database, free_port
from tests.wire.coordinator.scripted import delta, events_of
from tests.wire.coordinator.world import DEPLOYMENT, DOLLAR, World, world


class Coordinator:
    """One process and where it listens."""

    def __init__(self, dsn: str, port: int, **settings: str) -> None:
        self.url = f"http://127.0.0.1:{port}"
        environment = {
            "PATH": os.environ["PATH"],
            "DATABASE_URL": dsn,
            "POD_PROGRAM_ID": str(DEPLOYMENT.program_id),
            "POD_USDC_MINT": str(DEPLOYMENT.mint),
            "POD_COORDINATOR_LISTEN": f"127.0.0.1:{port}",
            "POD_COORDINATOR_GRACE_SECONDS": "1",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "coordinator"],
            env=environment | settings,
            stderr=subprocess.PIPE,
            text=True,
        )

    async def ended(self) -> tuple[int, str]:
        """Its exit code and what it wrote."""
        _, said = await asyncio.to_thread(self.process.communicate, timeout=30)
        return self.process.returncode, said


@asynccontextmanager
async def coordinator(dsn: str, **settings: str) -> AsyncGenerator[tuple[Coordinator, World]]:
    """A healthy process and the world around it."""
    one = Coordinator(dsn, free_port(), **settings)
    pool = await open_pool(dsn, role="none", application="test", size=4)
    try:
        async with aiohttp.ClientSession() as http:
            books = await store.open_writer(pool, "indexer")
            await healthy(http, one)
            yield one, World(url=one.url, http=http, pool=pool, books=books)
    finally:
        await pool.close()
        if one.process.poll() is None:
            one.process.kill()
        one.process.communicate()


async def healthy(http: aiohttp.ClientSession, one: Coordinator) -> None:
    async with asyncio.timeout(30):
        while True:
            assert one.process.poll() is None, one.process.communicate()[1]
            try:
                async with http.get(one.url + "/health") as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.05)


async def test_sigterm_sends_agents_away_and_breaks_no_stream_silently(database: Database) -> None:
    async with coordinator(database.dsn) as (one, w):
        user, operator = await w.user(), await w.operator()
        async with w.agent(operator) as agent:
            hello = delta(content="hello")
            async with w.stream(user, agent, hello) as (response, _):
                one.process.send_signal(signal.SIGTERM)
                events = [each async for each in events_of(response)]
                assert events[-1]["error"]["type"] == "provider_failed"
            assert await agent.closed() == 1001
        code, said = await one.ended()
        assert (code, "Traceback" in said) == (0, False), said
        assert await w.leased() == 0, "all is given back at the end"


async def test_sigterm_lets_a_short_request_finish(database: Database) -> None:
    async with coordinator(database.dsn, POD_COORDINATOR_GRACE_SECONDS="20") as (one, w):
        user, operator = await w.user(), await w.operator()
        async with w.agent(operator) as agent:
            async with w.stream(user, agent, delta(content="hello")) as (response, job):
                one.process.send_signal(signal.SIGTERM)
                await agent.answer(job, "hello")
                events = [each async for each in events_of(response)]
                assert events[-1] == "[DONE]"
            assert await agent.closed() == 1001
        assert (await one.ended())[0] == 0


async def test_a_second_coordinator_is_refused(database: Database) -> None:
    async with coordinator(database.dsn) as (_, w):
        code, said = await Coordinator(database.dsn, free_port()).ended()
        assert code == 1
        assert "another coordinator is active on this database" in said
        assert "Traceback" not in said
        assert (await w.get("/health")).status == 200


async def test_a_killed_coordinator_leaves_nothing_behind(database: Database) -> None:
    async with coordinator(database.dsn) as (one, w):
        user, operator = await w.user(), await w.operator()
        async with w.agent(operator) as agent, w.stream(user, agent, delta(content="hello")):
            assert await w.reserved() > 0
            one.process.kill()
    async with world(database.dsn) as w:
        assert await w.leased() == 0
        assert await w.balance(user) == 25 * DOLLAR
        assert [row["outcome"] for row in await w.rows()] == ["unsettled"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("POD_PROGRAM_ID", "not an address"),
        ("POD_USDC_MINT", ""),
        ("POD_COORDINATOR_LISTEN", "8402"),
        ("POD_COORDINATOR_GRACE_SECONDS", "-1"),
        ("DATABASE_URL", ""),
    ],
)
async def test_a_wrong_setting_is_named(database: Database, name: str, value: str) -> None:
    code, said = await Coordinator(database.dsn, free_port(), **{name: value}).ended()
    assert code == 1
    assert name in said
    assert "Traceback" not in said
