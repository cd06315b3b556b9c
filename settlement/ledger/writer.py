"""Group commit: many callers, few transactions.

Whatever arrives while a commit is in flight travels in the next one, so at low load a batch is one
operation and under load it grows by itself; there is no timer. A caller hears its outcome after the
commit that holds it is durable. Where many wait, two batches are on their way, each with half of
what is asked for: the second waits in the database for the writer's head, so the database never
waits for us, and the callers of one half are told, and ask again, while it works on the other.

When the answer is lost (a broken connection, a restarting server) nobody knows whether the commit
happened: the same batch is sent again with the same ids, and what had survived answers `REPLAYED`.
When a batch fails as a whole for another reason (a bug: a constraint), it is halved until the
poisoned operation is alone and gets the error. A fenced writer never recovers.

With a batch size of 1 (strict mode) every operation is a transaction of its own.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
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
_AT_ONCE: Final = 2
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
        self._changed = asyncio.Event()
        self._ended: PodError | None = None
        self._task: asyncio.Task[None] | None = None
        self._commits: set[asyncio.Task[None]] = set()
        self._sent = 0  # operations in those
        # They keep their connections, and leave the pool one for its other users.
        self._at_once = max(1, min(_AT_ONCE, pool.get_max_size() - 1))
        self._connections: list[_Connection] = []

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
        self._changed.set()
        try:
            await self._task
        finally:
            for commit in self._commits:
                commit.cancel()  # there are some only when this wait was cancelled
            await asyncio.gather(*self._commits, return_exceptions=True)
            while self._connections:
                await self._connections.pop().close()

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
        self._changed.set()
        return await answer

    async def _run(self) -> None:
        """Send batch after batch until nothing more can come."""
        while True:
            while size := self._due():
                batch = [self._queue.popleft() for _ in range(size)]
                self._sent += size
                commit = asyncio.create_task(self._commit(batch))
                self._commits.add(commit)
                commit.add_done_callback(partial(self._committed, size))
            if self._ended is not None and not self._queue and not self._commits:
                return
            await self._changed.wait()
            self._changed.clear()

    def _committed(self, size: int, commit: "asyncio.Task[None]") -> None:
        self._sent -= size
        self._commits.discard(commit)
        self._changed.set()

    def _due(self) -> int:
        """How many operations the batch that is to be sent now has; 0: none is to be sent.

        All that wait; or half of all that are asked for, where that is worth it. The second of two
        batches is sent when it has at least half of its half: the database has the first to do.
        """
        waiting, half = len(self._queue), (len(self._queue) + self._sent + 1) // 2
        if 2 * half < _WORTH_HALVING:
            due = 0 if self._commits else waiting
        elif len(self._commits) < self._at_once and 2 * waiting >= half:
            due = half
        else:
            due = 0
        return min(due, waiting, self._batch_size)

    async def _commit(self, batch: list[_Waiting]) -> None:
        """Commit a batch and tell everyone in it. Never raises."""
        try:
            if isinstance(self._ended, WriterFenced):
                raise self._ended
            outcomes = await self._apply_until_known([waiting.operation for waiting in batch])
        except PodError as error:
            if isinstance(error, WriterFenced):
                self._ended = error
            for waiting in batch:
                waiting.fail(error)
        except Exception as error:  # the caller gets it: nobody else looks after this task
            await self._isolate(batch, error)
        else:
            for waiting, outcome in zip(batch, outcomes, strict=True):
                waiting.settle(outcome)

    async def _apply_until_known(self, operations: Sequence[Operation]) -> list[Outcome]:
        """Apply once, however often that takes: ids make a second time a replay."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._give_up_seconds
        pause_seconds = _FIRST_PAUSE_SECONDS
        while True:
            try:
                async with self._connected() as conn:
                    return await self._road.apply(conn, operations)
            except TRANSIENT as error:
                _log.warning("books_resubmit", operations=len(operations), problem=str(error))
                if loop.time() >= deadline:
                    raise DatabaseUnavailable(problem=str(error)) from error
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, _LONGEST_PAUSE_SECONDS)

    @asynccontextmanager
    async def _connected(self) -> AsyncGenerator[CallConn]:
        """A connection that is kept as long as it works, for one round trip a batch."""
        kept = self._connections.pop() if self._connections else await _Connection.open(self._pool)
        try:
            yield kept.conn
        except TRANSIENT:
            await kept.close()
            raise
        except BaseException:
            self._connections.append(kept)
            raise
        self._connections.append(kept)

    async def _isolate(self, batch: list[_Waiting], error: Exception) -> None:
        """Halve a batch that fails as a whole, until the poisoned operation is alone."""
        if len(batch) == 1:
            _log.error("books_poisoned", problem=str(error), kind=type(error).__name__)
            batch[0].fail(error)
            return
        middle = len(batch) // 2
        await self._commit(batch[:middle])
        await self._commit(batch[middle:])


@dataclass(frozen=True, kw_only=True)
class _Connection:
    """A connection taken out of the pool for as long as it works."""

    conn: CallConn
    _held: AsyncExitStack

    @classmethod
    async def open(cls, pool: Pool) -> "_Connection":
        held = AsyncExitStack()
        return cls(conn=await held.enter_async_context(calling(pool)), _held=held)

    async def close(self) -> None:
        with suppress(*TRANSIENT):
            await self._held.aclose()
