"""Waiting for a condition of another task or process, never for a time."""

import asyncio
from collections.abc import Awaitable, Callable


async def eventually(condition: Callable[[], object], timeout_seconds: float = 10.0) -> None:
    """Return when the condition holds. Raises TimeoutError when it does not come true."""
    async with asyncio.timeout(timeout_seconds):
        while True:
            if condition():
                return
            await asyncio.sleep(0.005)


async def eventually_true(
    ask: Callable[[], Awaitable[object]], timeout_seconds: float = 10.0
) -> None:
    """The same for a condition that must be asked for."""
    async with asyncio.timeout(timeout_seconds):
        while True:
            if await ask():
                return
            await asyncio.sleep(0.01)
