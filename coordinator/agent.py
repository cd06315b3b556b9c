"""One connected agent: what it offers, its frames, its jobs.

One loop reads the socket and hands bytes to jobs; it never waits for a user. A job takes a slot
the moment it is started and gives it back on its terminal frame, or when we give it up: then the
agent is told to stop, unless a terminal frame came first (wire.md §2.12).
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

import msgspec
import structlog

from coordinator import offers, protocol
from coordinator.offers import Offer
from coordinator.relay import Done, Failed, Job

log = structlog.get_logger()

SECONDS_PER_MINUTE = 60
# What an agent may send wrongly before its connection is given up.
MOST_BAD_FRAMES = 20


class Socket(Protocol):
    """One websocket, as the session needs it."""

    async def send(self, text: str) -> None:
        """Send a text frame; raises `ConnectionError` when the peer is gone."""
        ...

    async def receive(self) -> str | None:
        """The next text frame ('' for a binary one), None when the peer is gone."""
        ...

    async def close(self, code: int, reason: str) -> None:
        """Start closing; idempotent."""
        ...


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How long agents may take, in seconds."""

    auth_seconds: float = 10
    send_seconds: float = 10
    discovery_seconds: float = 600
    silence_seconds: float = 60
    first_chunk_seconds: float = 60
    idle_seconds: float = 120
    deadline_seconds: float = 300


class Session:
    """One authenticated agent."""

    def __init__(self, provider_id: UUID, socket: Socket, timing: Timing, now: float) -> None:
        self.provider_id = provider_id
        self.offers: dict[str, Offer] = {}
        self.jobs: dict[UUID, Job] = {}
        self.ready = False
        self.closing = False
        self.connected_at = now
        self.heard_at = now
        self.bad_frames = 0
        self._socket = socket
        self._timing = timing
        self._limits = protocol.Limits(max_concurrent_total=0)
        self._spent: deque[tuple[float, int]] = deque()

    @property
    def online(self) -> bool:
        """Whether jobs may be sent: it told what it serves and is not going away."""
        return self.ready and not self.closing

    @property
    def free_slots(self) -> int:
        """How many more jobs it takes; more would be rejected, or deadlock it."""
        return self._limits.max_concurrent_total - len(self.jobs)

    def throttled(self, now: float) -> bool:
        """Whether it has served its advertised tokens per minute."""
        limit = self._limits.max_tokens_per_minute
        while self._spent and self._spent[0][0] <= now - SECONDS_PER_MINUTE:
            self._spent.popleft()
        return limit is not None and sum(tokens for _, tokens in self._spent) >= limit

    def spend(self, tokens: int, now: float) -> None:
        """Count served tokens against its limit per minute."""
        if self._limits.max_tokens_per_minute is not None:
            self._spent.append((now, tokens))

    async def start(self, job: Job, *, model_id: str, request: msgspec.Raw) -> None:
        """Take a slot at once and send the job; failure to send ends the job, not the caller."""
        assert self.free_slots > 0, "match offers only agents with a free slot"
        self.jobs[job.job_id] = job
        frame = protocol.JobStart(
            job_id=job.job_id,
            model_id=model_id,
            request=request,
            deadline_ms=int(self._timing.deadline_seconds * 1000),
        )
        await self._send(protocol.encode(frame))

    async def release(self, job: Job) -> None:
        """Give the slot back; an agent still at work on the job is told to stop."""
        if self.jobs.pop(job.job_id, None) is None or job.agent_is_done or self.closing:
            return
        await self._send(protocol.encode(protocol.JobCancel(job_id=job.job_id)))

    async def close(self, code: int, reason: str) -> None:
        """Send Close; every job still running here fails (and may go elsewhere)."""
        self.closing = True
        self.fail_jobs("disconnected", reason)
        await self._socket.close(code, reason)

    def fail_jobs(self, code: str, problem: str) -> None:
        """No more will come for any of its jobs."""
        for job in self.jobs.values():
            job.agent_is_done = True
            job.finish(Failed(code=code, problem=problem))
        self.jobs.clear()

    async def _send(self, text: str) -> None:
        try:
            await asyncio.wait_for(self._socket.send(text), self._timing.send_seconds)
        except (ConnectionError, TimeoutError):
            await self.close(1011, "not reading")

    async def read(self, now: Callable[[], float]) -> None:
        """Read the socket until it ends."""
        while (text := await self._socket.receive()) is not None:
            self.heard_at = now()
            if not text:
                continue  # binary: agents never send it
            try:
                frame = protocol.decode(text)
            except protocol.FrameInvalid as error:
                await self._bad_frame(error)
                continue
            await self._take(frame)

    async def _bad_frame(self, error: protocol.FrameInvalid) -> None:
        self.bad_frames += 1
        log.warning("agent_frame_invalid", provider=str(self.provider_id), problem=str(error))
        job = self.jobs.get(error.job_id) if error.job_id else None
        if job is not None:
            job.finish(Failed(code="frame_invalid", problem="the agent sent an unreadable frame"))
        if self.bad_frames >= MOST_BAD_FRAMES:
            await self.close(1008, "too many unreadable frames")

    async def _take(self, frame: protocol.AgentFrame | protocol.Unknown) -> None:
        match frame:
            case protocol.JobChunk():
                job = self.jobs.get(frame.job_id)
                if job is not None:
                    job.feed(frame.data, now=self.heard_at)
            case protocol.JobDone():
                self._end(frame.job_id, Done(claim=protocol.claimed(frame.tokens)))
            case protocol.JobError():
                await self._job_error(frame)
            case protocol.Capabilities():
                self._advertise(frame)
            case protocol.Heartbeat() | protocol.AuthResponse() | protocol.Unknown():
                pass

    def _end(self, job_id: UUID, end: Done | Failed) -> None:
        """A terminal frame: the slot is free, and no cancel may follow."""
        job = self.jobs.pop(job_id, None)
        if job is not None:
            job.agent_is_done = True
            job.heard_at = self.heard_at
            job.finish(end)

    async def _job_error(self, frame: protocol.JobError) -> None:
        known = frame.job_id in self.jobs
        self._end(
            frame.job_id,
            Failed(
                code=frame.error_code[:64],
                problem=frame.message[:500],
                users_mistake=frame.is_users_mistake,
            ),
        )
        # Its counter of running jobs has wrapped (wire.md §2.12): only a new connection resets it.
        if known and frame.error_code == "out_of_capacity" and not self.jobs:
            await self.close(1012, "capacity reset")

    def _advertise(self, frame: protocol.Capabilities) -> None:
        sellable = offers.offers_of(self.provider_id, frame)
        self.offers = {offer.model: offer for offer in sellable}
        self._limits = frame.limits
        self.ready = True
        log.info(
            "agent_ready",
            provider=str(self.provider_id),
            models=len(sellable),
            dropped=len(frame.models) - len(sellable),
            slots=frame.limits.max_concurrent_total,
        )

    def overdue(self, now: float) -> bool:
        """Whether it has been silent for longer than its state allows."""
        allowed = self._timing.silence_seconds if self.ready else self._timing.discovery_seconds
        return now - self.heard_at > allowed

    def watch_jobs(self, now: float) -> None:
        """End jobs that ran out of time, and wake the readers of quiet ones."""
        for job in self.jobs.values():
            problem = self._late(job, now)
            if problem is not None:
                job.finish(Failed(code="timeout", problem=problem))
            else:
                job.wake()

    def _late(self, job: Job, now: float) -> str | None:
        timing = self._timing
        if now - job.sent_at > timing.deadline_seconds + timing.send_seconds:
            return "the job did not end in time"
        if job.first_chunk_at is None:
            late = now - job.sent_at > timing.first_chunk_seconds
            return "no first chunk in time" if late else None
        return "the stream went silent" if now - job.heard_at > timing.idle_seconds else None
