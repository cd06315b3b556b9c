"""The embedded chain as a process of its own, to be killed."""

import asyncio
import json
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Chain:
    """A running process that has said where it listens."""

    process: asyncio.subprocess.Process
    rpc_url: str
    ws_url: str

    async def kill(self) -> None:
        self.process.kill()
        await self.process.wait()

    async def stop(self) -> int:
        """Ask it to stop; its exit code."""
        self.process.terminate()
        return await self.process.wait()


async def spawn(data: Path, keys: Path, *more: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "localnet",
        "--config",
        "localnet.toml",
        "--data",
        str(data),
        "--keys",
        str(keys),
        *more,
        stderr=asyncio.subprocess.PIPE,
    )


@asynccontextmanager
async def started(data: Path, keys: Path, *more: str) -> AsyncGenerator[Chain]:
    """Start on free ports with slots of 20 ms; killed at the end if it still runs."""
    (data / "address.json").unlink(missing_ok=True)
    process = await spawn(data, keys, "--rpc-port", "0", "--slot-time-ms", "20", *more)
    try:
        address = await _address(data / "address.json", process)
        yield Chain(process=process, rpc_url=address["rpc_url"], ws_url=address["ws_url"])
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def _address(path: Path, process: asyncio.subprocess.Process) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while True:
            address = _read(path)
            if address is not None:
                return address
            if process.returncode is not None:
                raise AssertionError((await process.communicate())[1].decode())
            await asyncio.sleep(0.01)


def _read(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text()) if path.exists() else None
