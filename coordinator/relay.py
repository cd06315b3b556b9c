"""The buffer between an agent's socket and one user's stream.

The socket is read as fast as it delivers and never waits for a user: what a job's bytes cannot be
handed on at once waits here, up to a bound, and a user slower than that loses the stream, not the
agent its connection (wire.md §2.12). A job ends exactly once; the first reason stands.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from coordinator.protocol import Claim


@dataclass(frozen=True, kw_only=True)
class Done:
    """The agent said the backend's stream ended."""

    claim: Claim


@dataclass(frozen=True, kw_only=True)
class Failed:
    """The provider did not deliver: it said so, it vanished, or it was too slow."""

    code: str
    problem: str
    users_mistake: bool = False


@dataclass(frozen=True, kw_only=True)
class Left:
    """The user's connection is gone, or reads too slowly to be served."""

    reason: str


End = Done | Failed | Left


class Job:
    """One request at one agent: bytes come in from its socket, one reader takes them out."""

    def __init__(self, job_id: UUID, *, now: float, buffer_bytes: int) -> None:
        self.job_id = job_id
        self.sent_at = now
        self.first_chunk_at: float | None = None
        self.heard_at = now
        self.end: End | None = None
        self.agent_is_done = False  # a terminal frame came: never cancel after it
        self.on_left: Callable[[], None] | None = None  # a write to the user may be stuck
        self._pieces: deque[bytes] = deque()
        self._buffered_bytes = 0
        self._buffer_bytes = buffer_bytes
        self._waiter: asyncio.Future[None] | None = None

    def feed(self, data: bytes, *, now: float) -> None:
        """Take in a chunk; a reader too far behind ends the job."""
        self.heard_at = now
        if self.end is not None or not data:
            return
        if self.first_chunk_at is None:
            self.first_chunk_at = now
        self._pieces.append(data)
        self._buffered_bytes += len(data)
        if self._buffered_bytes > self._buffer_bytes:
            self.finish(Left(reason="slow_reader"))
        self.wake()

    def finish(self, end: End) -> None:
        """End the job; only the first end counts."""
        if self.end is None:
            self.end = end
            self.wake()
            if isinstance(end, Left) and self.on_left is not None:
                self.on_left()

    def wake(self) -> None:
        """Let the reader look again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def next(self) -> bytes | None:
        """All bytes that wait; b"" when woken for nothing; None when the job has ended.

        What came before the agent's own end is given out first; when the user has left nothing is.
        """
        if not self._pieces and self.end is None:
            await self._wait()
        if isinstance(self.end, Left):
            return None
        if self._pieces:
            data = b"".join(self._pieces) if len(self._pieces) > 1 else self._pieces[0]
            self._pieces.clear()
            self._buffered_bytes = 0
            return data
        return None if self.end is not None else b""

    async def _wait(self) -> None:
        assert self._waiter is None, "a job has one reader"
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
