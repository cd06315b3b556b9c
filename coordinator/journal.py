"""The request log: what was asked, who served it, our counts beside the provider's claim.

Rows are written in batches by one task: whatever waits while the previous write is in flight is
written together. Opening a row does not wait; closing one can be waited for. The books do not
depend on this log, they only name the same request id; rows that a crash left open are marked at
the next start.
"""

import asyncio
import dataclasses
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from operator import attrgetter
from uuid import UUID

import structlog

from coordinator import store
from settlement.db.pool import TRANSIENT, Pool, transaction

log = structlog.get_logger()

_PAUSE_SECONDS = 0.2
_MOST_ROWS = 500


class Outcome(StrEnum):
    """How a request ended."""

    OPEN = "open"
    SETTLED = "settled"  # delivered to its end
    CUT = "cut"  # delivered until what was set aside was used up; settled
    LEFT = "left"  # the user hung up; what was delivered is settled
    ABANDONED = "abandoned"  # the user hung up before anything was delivered; free
    FAILED = "failed"  # no provider delivered; free
    UNSETTLED = "unsettled"  # this process stopped before the books heard of it; free
    LOST = "lost"  # the process stopped before it wrote how this ended; the books know


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One row of the log; amounts and prices in microunits."""

    request_id: UUID
    user_id: UUID
    model: str
    streamed: bool
    started_at: datetime
    outcome: Outcome = Outcome.OPEN
    job_id: UUID | None = None
    provider_id: UUID | None = None
    attempts: int = 0
    input_per_1m_microusdc: int | None = None
    output_per_1m_microusdc: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    claimed_input_tokens: int | None = None
    claimed_output_tokens: int | None = None
    held_microusdc: int | None = None
    gross_microusdc: int | None = None
    first_chunk_ms: int | None = None
    failure: str | None = None
    ended_at: datetime | None = None


_VALUES = attrgetter(*(field.name for field in dataclasses.fields(Entry)))


def row(entry: Entry) -> tuple[object, ...]:
    """The entry's values in the order of its fields, which is the order of the query."""
    values: tuple[object, ...] = _VALUES(entry)
    return values


class Journal:
    """The one writer of the log; `run` it beside the server."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._waiting: dict[UUID, Entry] = {}
        self._written: list[asyncio.Future[None]] = []
        self._wake = asyncio.Event()
        self._stopping = False

    def note(self, entry: Entry) -> None:
        """Write this soon; a later entry of the same request replaces it."""
        self._waiting[entry.request_id] = entry
        self._wake.set()

    def write(self, entry: Entry) -> "asyncio.Future[None]":
        """Write this soon; done when it is durable."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._written.append(future)
        self.note(entry)
        return future

    async def run(self) -> None:
        """Write until stopped, and then what still waits; a database that is away is waited for."""
        while self._waiting or not self._stopping:
            await self._wake.wait()
            self._wake.clear()
            batch, self._waiting = self._waiting, {}
            written, self._written = self._written, []
            await self._persist(list(batch.values()))
            for future in written:
                if not future.done():
                    future.set_result(None)

    def stop(self) -> None:
        """Let `run` end."""
        self._stopping = True
        self._wake.set()

    async def _persist(self, entries: list[Entry]) -> None:
        for start in range(0, len(entries), _MOST_ROWS):
            part = entries[start : start + _MOST_ROWS]
            written = False
            while not written:
                written = await self._try(part)

    async def _try(self, entries: list[Entry]) -> bool:
        try:
            async with transaction(self._pool) as tx:
                await store.write_requests(tx, [row(entry) for entry in entries])
        except TRANSIENT as error:
            log.warning("request_log_waits", rows=len(entries), problem=str(error))
            await asyncio.sleep(_PAUSE_SECONDS)
            return False
        return True
