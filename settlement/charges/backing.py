"""What every user's keeper works with, and how long leases live."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import structlog

from settlement.charges.recall import Recalls
from settlement.clock import Clock
from settlement.db.pool import Pool
from settlement.errors import PodError
from settlement.ledger.operations import Operation, Outcome, Writer
from settlement.ledger.store import WriterFenced
from settlement.ledger.writer import GroupCommit

T = TypeVar("T")

# A process that did not say so for so long is not alive.
ALIVE_SECONDS: Final = 120
# So many charges and voids are on their way at once; the queue of the books has room for the rest.
_AT_ONCE: Final = 1_500
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class LeaseTerms:
    """How much is set aside at once for one user, and for how long."""

    cap_microusdc: int = 5_000_000
    lifetime_seconds: int = 600
    idle_seconds: int = 60  # unused for so long, it is given back
    recalled_seconds: int = 60  # asked for by another process: so long no more than is needed
    wait_seconds: float = 1.0  # for what other processes give back


class Backing:
    """The books as keepers see them, and the tasks that work for them."""

    def __init__(
        self, books: GroupCommit, pool: Pool, clock: Clock, terms: LeaseTerms, recalls: Recalls
    ) -> None:
        self.pool = pool
        self.clock = clock
        self.terms = terms
        self.recalls = recalls
        self.room = asyncio.Semaphore(_AT_ONCE)
        self.now = asyncio.get_running_loop().time
        self.fuse: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._books = books
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def writer(self) -> Writer:
        """In whose name all of it happens."""
        return self._books.writer

    @property
    def is_busy(self) -> bool:
        """Whether so much waits for the books that nothing new should begin."""
        return self._books.waiting >= _AT_ONCE

    async def submit(self, operation: Operation) -> Outcome:
        """Have it committed. Raises what `GroupCommit.submit` raises; being fenced is noted."""
        try:
            return await self._books.submit(operation)
        except WriterFenced as fenced:
            self.blow(fenced)
            raise

    def blow(self, error: BaseException) -> None:
        """This process must end, not refuse for ever."""
        if not self.fuse.done():
            self.fuse.set_exception(error)
            self.fuse.exception()  # whoever watches is told; nobody has to

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Do this beside everything else; its failure is noted here, whoever else hears of it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def stop(self) -> None:
        """End what still works."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, WriterFenced):
            self.blow(error)
        elif error is not None and not isinstance(error, PodError):
            _log.error("lease_work_failed", problem=str(error), kind=type(error).__name__)
