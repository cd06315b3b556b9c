"""Group commit: many callers, one transaction at a time.

Whatever arrives while a commit is in flight travels in the next one, so at low load a batch is one
operation and under load it grows by itself; there is no timer. A caller hears its outcome after the
commit that holds it is durable. Where many wait, half of them travel: then the callers of one half
are answered, and ask again, while the database works on the other half, and neither side idles.

When the answer is lost (a broken connection, a restarting server) nobody knows whether the commit
happened: the same batch is sent again with the same ids, and what had survived answers `REPLAYED`.
When a batch fails as a whole for another reason (a bug: a constraint), it is halved until the
poisoned operation is alone and gets the error. A fenced writer never recovers.

With a batch size of 1 (strict mode) every operation is a transaction of its own.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Final

import structlog

from settlement.db.pool import TRANSIENT, CallConn, DatabaseUnavailable, Pool, calling
from settlement.errors import PodError, Unavailable
from settlement.ledger.encode import check
from settlement.ledger.everyday import EverydayRoad
from settlement.ledger.operations import Operation, Outcome, Writer
from settlement.ledger.store import WriterFenced

BATCH_SIZE: Final = 500
# Below that many, what a commit costs whatever its size weighs more than working side by side.
_WORTH_HALVING: Final = 48
_TURNS_APART: Final = 3
QUEUE_SIZE: Final = 2_000
_FIRST_PAUSE_SECONDS: Final = 0.05
_LONGEST_PAUSE_SECONDS: Final = 1.0
_GIVE_UP_SECONDS: Final = 30.0

_log = structlog.get_logger(__name__)


class WriterBusy(Unavailable):
    """Too many operations wait for the books already."""


class WriterClosed(Unavailable):
    """The writer has been shut down."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Waiting:
    """One operation and whoever waits for its outcome."""

    operation: Operation
    answer: "asyncio.Future[Outcome]"

    def fail(self, error: BaseException) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)

    def settle(self, outcome: Outcome) -> None:
        if not self.answer.done():
            self.answer.set_result(outcome)


class GroupCommit:
    """The books' door for a process that serves many requests at once.

    `async with GroupCommit(pool, writer) as books: await books.submit(operation)`. Leaving it
    commits what was submitted before.
    """

    def __init__(
        self,
        pool: Pool,
        writer: Writer,
        *,
        batch_size: int = BATCH_SIZE,
        queue_size: int = QUEUE_SIZE,
        give_up_seconds: float = _GIVE_UP_SECONDS,
    ) -> None:
        self.writer = writer
        self._pool = pool
        self._road = EverydayRoad(writer)
        self._batch_size = batch_size
        self._queue_size = queue_size
        self._give_up_seconds = give_up_seconds
        self._queue: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._ended: PodError | None = None
        self._task: asyncio.Task[None] | None = None
        self._connections = AsyncExitStack()
        self._conn: CallConn | None = None

    async def __aenter__(self) -> "GroupCommit":
        assert self._task is None, "a group commit lives once"
        self._task = asyncio.create_task(self._run(), name=f"group-commit:{self.writer.name}")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._task is not None, "entered before it is left"
        self._ended = self._ended or WriterClosed(writer=self.writer.name)
        self._arrived.set()
        try:
            await self._task
        finally:
            await self._disconnect()

    @property
    def waiting(self) -> int:
        """How many operations wait for a commit to begin."""
        return len(self._queue)

    async def submit(self, operation: Operation) -> Outcome:
        """Have `operation` committed and return its outcome.

        Cancelling the wait does not withdraw the operation. Raises `WriterBusy` at once when too
        many wait, `WriterFenced` when this process must stop posting, `DatabaseUnavailable` when
        the books did not answer in time: whether it happened is then unknown, submit it again.
        """
        check(operation)
        if self._ended is not None:
            raise self._ended
        if len(self._queue) >= self._queue_size:
            raise WriterBusy(waiting=len(self._queue))
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._queue.append(_Waiting(operation=operation, answer=answer))
        self._arrived.set()
        return await answer

    async def _run(self) -> None:
        """Commit batch after batch; the next is on its way when callers of the last are told."""
        tell: Callable[[], None] = _nothing
        untold = 0
        while True:
            if not self._queue:
                tell()
                tell, untold = _nothing, 0
                if self._ended is not None and not self._queue:
                    return
                await self._arrived.wait()
                self._arrived.clear()
                continue
            batch = self._next_batch(untold)
            commit = asyncio.ensure_future(self._commit(batch))
            await asyncio.sleep(0)  # it is sent now
            tell()
            tell, untold = await commit, len(batch)

    def _next_batch(self, untold: int) -> list[_Waiting]:
        """All that waits; or half, where it is nearly all there is, so that two halves take turns.

        `untold` is how many hear of the last batch while this one is on its way, and may ask again.
        """
        size = len(self._queue)
        if size >= _WORTH_HALVING and untold < size // _TURNS_APART:
            size = (size + 1) // 2
        return [self._queue.popleft() for _ in range(min(size, self._batch_size))]

    async def _commit(self, batch: list[_Waiting]) -> Callable[[], None]:
        """Commit a batch; what it returns tells everyone in it. Never raises."""
        try:
            if isinstance(self._ended, WriterFenced):
                raise self._ended
            outcomes = await self._apply_until_known([waiting.operation for waiting in batch])
        except WriterFenced as fenced:
            self._ended = fenced
            return partial(_tell_all, batch, fenced)
        except PodError as error:
            return partial(_tell_all, batch, error)
        except Exception as error:  # the caller gets it: this loop must outlive it
            return await self._isolate(batch, error)
        return partial(_tell_each, batch, outcomes)

    async def _apply_until_known(self, operations: Sequence[Operation]) -> list[Outcome]:
        """Apply once, however often that takes: ids make a second time a replay."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._give_up_seconds
        pause_seconds = _FIRST_PAUSE_SECONDS
        while True:
            try:
                return await self._road.apply(await self._connected(), operations)
            except TRANSIENT as error:
                await self._disconnect()
                _log.warning("books_resubmit", operations=len(operations), problem=str(error))
                if loop.time() >= deadline:
                    raise DatabaseUnavailable(problem=str(error)) from error
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)

    async def _connected(self) -> CallConn:
        """The connection that is kept, for one round trip a batch."""
        if self._conn is None:
            self._conn = await self._connections.enter_async_context(calling(self._pool))
        return self._conn

    async def _disconnect(self) -> None:
        self._conn = None
        with suppress(*TRANSIENT):
            await self._connections.aclose()

    async def _isolate(self, batch: list[_Waiting], error: Exception) -> Callable[[], None]:
        """Halve a batch that fails as a whole, until the poisoned operation is alone."""
        if len(batch) == 1:
            _log.error("books_poisoned", problem=str(error), kind=type(error).__name__)
            return partial(batch[0].fail, error)
        middle = len(batch) // 2
        (await self._commit(batch[:middle]))()
        return await self._commit(batch[middle:])


def _nothing() -> None:
    """Nobody waits for an answer."""


def _tell_each(batch: Sequence[_Waiting], outcomes: Sequence[Outcome]) -> None:
    for waiting, outcome in zip(batch, outcomes, strict=True):
        waiting.settle(outcome)


def _tell_all(batch: Sequence[_Waiting], error: BaseException) -> None:
    for waiting in batch:
        waiting.fail(error)
