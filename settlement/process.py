"""What a long-running process of ours does besides its work: wait, repeat, stand still, stop.

A lost database or node is waited for, with a growing pause and one log line; it never ends the
process. What is left raises through and does.
"""

import asyncio
import contextlib
import signal
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final

import structlog

from settlement.chain.transport import RpcRefused
from settlement.db.pool import TRANSIENT, DatabaseUnavailable, Pool, open_pool
from settlement.errors import Unavailable

_LONGEST_PAUSE_SECONDS: Final = 2.0
_FIRST_PAUSE_SECONDS: Final = 0.1
_log = structlog.stdlib.get_logger()


class Standing:
    """What keeps each part of a process from its work, by the part's name; empty when nothing."""

    def __init__(self) -> None:
        self._problems: dict[str, str] = {}

    @property
    def line(self) -> str:
        """For people; "working" when nothing is wrong."""
        told = "; ".join(f"{part}: {problem}" for part, problem in self._problems.items())
        return told or "working"

    @property
    def well(self) -> bool:
        """Whether every part can do its work."""
        return not self._problems

    def wrong(self, part: str, problem: str) -> None:
        """Say what is wrong; logged when it is new."""
        if self._problems.get(part) != problem:
            _log.warning("waiting", part=part, problem=problem)
        self._problems[part] = problem

    def right(self, part: str) -> None:
        """Say that nothing is wrong any more."""
        if self._problems.pop(part, None) is not None:
            _log.info("going_on", part=part)


async def repeat(
    step: Callable[[], Coroutine[Any, Any, None]],
    *,
    part: str,
    every_seconds: float,
    standing: Standing,
) -> None:
    """Run `step` for ever; what is away for a while is waited for."""
    pause_seconds = _FIRST_PAUSE_SECONDS
    while True:
        try:
            await step()
        except (*TRANSIENT, Unavailable, RpcRefused) as error:
            standing.wrong(part, str(error) or type(error).__name__)
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)
            continue
        standing.right(part)
        pause_seconds = _FIRST_PAUSE_SECONDS
        await asyncio.sleep(every_seconds)


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, None]) -> AsyncGenerator[None]:
    """Let `work` go on as long as the block lasts; how it ends is its own affair."""
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until_first_ends(*jobs: Coroutine[Any, Any, None]) -> None:
    """Run all until one ends, stop the others, and raise what the first one raised."""
    tasks = [asyncio.ensure_future(job) for job in jobs]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


@asynccontextmanager
async def waited_pool(
    dsn: str, *, role: str, application: str, size: int, standing: Standing
) -> AsyncGenerator[Pool]:
    """A pool, as soon as the database answers."""
    pool = await _connect(dsn, role, application, size, standing)
    try:
        yield pool
    finally:
        # A connection that hangs must not keep the process from ending.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(pool.close(), timeout=5)


async def _connect(dsn: str, role: str, application: str, size: int, standing: Standing) -> Pool:
    while True:
        try:
            pool = await open_pool(dsn, role=role, application=application, size=size)
        except (*TRANSIENT, DatabaseUnavailable) as error:
            standing.wrong("database", str(error))
            await asyncio.sleep(_FIRST_PAUSE_SECONDS * 5)
            continue
        standing.right("database")
        return pool


async def until_stopped(job: Coroutine[Any, Any, None]) -> None:
    """Run `job` until it ends or the process is told to stop (SIGTERM, SIGINT)."""
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(job)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        _log.info("stopped")
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
