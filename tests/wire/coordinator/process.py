"""A coordinator as a process of its own, and the world around it."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import aiohttp

from settlement.db.pool import open_pool
from settlement.ledger import store
from tests.conftest import free_port
from tests.wire.coordinator.world import DEPLOYMENT, World


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
