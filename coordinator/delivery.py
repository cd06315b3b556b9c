"""One attempt: takes a job's bytes, counts them, and gives the user what is theirs.

Two kinds of users want one stream in two shapes, so there are two outlets: one writes events as
they come, one folds them into a body. Neither ends the answer here: the chunk that tells the end,
and everything after it, is kept back until the money is settled (ledger.md, amendment 10).
"""

import asyncio
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from coordinator.protocol import Claim
from coordinator.relay import Done, Failed, Job, Left
from coordinator.tokens.output import OutputCount
from coordinator.transcode import chunk as chunks
from coordinator.transcode.answer import KEEP_ALIVE, Fold
from coordinator.transcode.chunk import Chunk
from coordinator.transcode.reading import Part, Reader
from settlement.errors import PodError

KEEP_ALIVE_SECONDS = 15

Headers = list[tuple[bytes, bytes]]


class Reply(Protocol):
    """The user's side of the connection."""

    @property
    def left(self) -> bool:
        """Whether the user is gone, or reads too slowly to be served."""
        ...

    def watch(self, job: Job | None) -> None:
        """End this job when the user leaves."""
        ...

    async def begin(self, headers: Headers) -> None:
        """Commit to a streamed answer."""
        ...

    async def write(self, data: bytes) -> None:
        """Send bytes of a streamed answer."""
        ...

    async def end(self) -> None:
        """End a streamed answer."""
        ...

    async def whole(self, headers: Headers, body: bytes) -> None:
        """Send an unstreamed answer."""
        ...


class Outlet(Protocol):
    """Where the parts of an answer go."""

    @property
    def begun(self) -> bool:
        """Whether the user has seen anything, so that no other provider may start over."""
        ...

    async def deliver(self, parts: list[Part]) -> None:
        """Give the user these parts."""
        ...

    async def idle(self) -> None:
        """Nothing came for a while."""
        ...


class Cover(Protocol):
    """How many output tokens may be delivered: what is reserved pays for them."""

    tokens: int

    async def more(self) -> bool:
        """Reserve for more; False when there will be no more."""
        ...


class StreamOutlet:
    """Passes the provider's events on, byte for byte."""

    def __init__(self, reply: Reply, headers: Headers) -> None:
        self.begun = False
        self._reply = reply
        self._headers = headers
        self._now = asyncio.get_running_loop().time
        self._written_at = self._now()

    async def begin(self) -> None:
        """Send the headers, once."""
        if not self.begun:
            self.begun = True
            await self._reply.begin(self._headers)

    async def deliver(self, parts: list[Part]) -> None:
        """Write the events; comments alone do not commit to this provider."""
        if not self.begun:
            parts = [part for part in parts if part.chunk is not None]
        if parts:
            await self.begin()
            await self._reply.write(b"".join([part.raw for part in parts]))
            self._written_at = self._now()

    async def idle(self) -> None:
        """Write a comment when nothing was written for a while, so nobody gives up waiting."""
        if self.begun and self._now() - self._written_at >= KEEP_ALIVE_SECONDS:
            await self._reply.write(KEEP_ALIVE)
            self._written_at = self._now()


class FoldOutlet:
    """Collects the chunks; the user sees nothing before the end."""

    def __init__(self, fold: Fold) -> None:
        self.begun = False
        self._fold = fold

    async def deliver(self, parts: list[Part]) -> None:
        """Keep what the parts deliver."""
        for part in parts:
            if part.chunk is not None:
                self._fold.add(part.chunk)

    async def idle(self) -> None:
        """An unstreamed answer cannot be kept alive."""


class Ending(Enum):
    """How an attempt ended."""

    COMPLETE = "complete"
    CUT = "cut"  # the provider went on past what is paid for
    LEFT = "left"  # the user hung up or reads too slowly
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Attempted:
    """What came of an attempt: what was delivered and counted, and what is kept back."""

    ending: Ending
    output_tokens: int
    claim: Claim | None = None
    failure: Failed | None = None
    kept_back: tuple[Part, ...] = ()


class Attempt:
    """Serves one job into one outlet, within what is reserved for it."""

    def __init__(
        self, job: Job, outlet: Outlet, fold: Fold, count: OutputCount, cover: Cover, choices: int
    ) -> None:
        self._job = job
        self._outlet = outlet
        self._fold = fold
        self._count = count
        self._cover = cover
        self._choices = choices
        self._reader = Reader()
        self._kept_back: list[Part] = []

    async def run(self) -> Attempted:
        """Until the job ends, nothing more is paid for, or the user has left."""
        try:
            while (data := await self._job.next()) is not None:
                if not data:
                    await self._outlet.idle()
                elif not await self._take(self._reader.feed(data)):
                    return self._attempted(Ending.CUT)
            return await self._ended()
        except PodError as error:
            return self._failed(Failed(code=error.code, problem=error.message))

    async def _ended(self) -> Attempted:
        match self._job.end:
            case Done():
                if not await self._take(self._reader.end()):
                    return self._attempted(Ending.CUT)
                if self._fold.has_finished(self._choices):
                    return self._attempted(Ending.COMPLETE)
                return self._failed(
                    Failed(code="truncated", problem="the answer stopped before its end")
                )
            case Failed() as failure:
                return self._failed(failure)
            case Left():
                self._count.take_back(
                    [
                        piece
                        for part in self._kept_back
                        if part.chunk
                        for piece in _texts(part.chunk)
                    ]
                )
                return self._attempted(Ending.LEFT)
            case None:
                raise AssertionError("a job that gives nothing more has ended")

    async def _take(self, parts: list[Part]) -> bool:
        """Deliver what may be delivered now; False when nothing more is paid for."""
        ready: list[Part] = []
        fits = True
        for part in parts:
            chunk = part.chunk
            if chunk is not None:
                if chunks.is_usage_only(chunk):
                    continue  # the user gets our count instead
                fits = await self._fits(chunk)
                if not fits:
                    break
                self._fold.identify(chunk)
            keeps = self._kept_back or self._fold.has_finished(self._choices)
            (self._kept_back if keeps else ready).append(part)
        if ready:
            await self._outlet.deliver(ready)
        return fits

    async def _fits(self, chunk: Chunk) -> bool:
        """Count the chunk in if it is paid for, once more is reserved if need be."""
        texts = _texts(chunk)
        while not self._count.fits(texts, limit_tokens=self._cover.tokens):
            if not await self._cover.more():
                return False
        return True

    def _failed(self, failure: Failed) -> Attempted:
        return self._attempted(Ending.FAILED, failure)

    def _attempted(self, ending: Ending, failure: Failed | None = None) -> Attempted:
        end = self._job.end
        return Attempted(
            ending=ending,
            # Clamped: a sum over pieces is, very rarely, below the count of the whole.
            output_tokens=min(self._count.total(), self._cover.tokens),
            claim=end.claim if isinstance(end, Done) else None,
            failure=failure,
            kept_back=tuple(self._kept_back),
        )


def _texts(chunk: Chunk) -> list[tuple[tuple[int, str], str]]:
    return list(chunks.pieces(chunk))
