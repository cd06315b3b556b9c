"""Roles in stages: a stage is brought up once the one below it is ready, and stopped before it.

A role that has been ready once is restarted for ever; one that ends again and again before it was
ever ready stops the start, with the end of its log.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from cli.supervisor.child import CannotStart, Child, Role

START_SECONDS = 180.0
_FAILURES_BEFORE_READY = 6
_POLL_SECONDS = 0.05
_LOG_TAIL_LINES = 12


class Stages:
    """The processes of a system, in the order in which they need each other."""

    def __init__(self, logs: Path, changed: Callable[[Child], None]) -> None:
        self._logs = logs
        self._changed = changed
        self._stages: list[list[Child]] = []
        self._tasks: dict[int, list[asyncio.Task[None]]] = {}

    def __iter__(self) -> Iterator[Child]:
        for stage in self._stages:
            yield from stage

    def add(self, roles: Sequence[Role]) -> int:
        """Put these above all others; the number of their stage. Nothing is started yet."""
        self._stages.append([Child(role, self._logs, self._changed) for role in roles])
        return len(self._stages) - 1

    async def bring_up(self, number: int) -> None:
        """Start a stage and return when all of it is ready. Raises `CannotStart`."""
        stage = self._stages[number]
        self._tasks[number] = [asyncio.create_task(child.run()) for child in stage]
        try:
            async with asyncio.timeout(START_SECONDS):
                while not all(child.ready.is_set() for child in stage):
                    for child in stage:
                        _give_up_on(child)
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            late = [child for child in stage if not child.ready.is_set()]
            told = ", ".join(f"{child.role.name} ({child.line or child.state})" for child in late)
            raise CannotStart(f"not healthy after {START_SECONDS:.0f} s: {told}") from None

    async def stop(self) -> None:
        """Stop everything, the last started first; each stage is told stopped before the next."""
        for number in reversed(range(len(self._stages))):
            await asyncio.gather(*(child.stop() for child in self._stages[number]))
            await asyncio.gather(*self._tasks.get(number, ()))

    def kill(self) -> None:
        """End every process at once."""
        for child in self:
            child.kill()


def _give_up_on(child: Child) -> None:
    if child.failures < _FAILURES_BEFORE_READY or child.ready.is_set():
        return
    lines = child.log.read_text(errors="replace").splitlines() if child.log.exists() else []
    tail = "\n".join(f"    {line}" for line in lines[-_LOG_TAIL_LINES:])
    raise CannotStart(f"{child.role.name} does not start ({child.line}); {child.log} ends:\n{tail}")
