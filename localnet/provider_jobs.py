"""Runs the coordinator's jobs on a local backend and relays every byte that comes back.

As the real agent: capacity first, then the model, then one task a job. Bytes go out as they came
(`job_chunk`), and one frame ends a job, except a cancelled one, after which nothing is sent. The
frames wait in a bounded queue: when nobody takes them for 5 s, the job fails.
"""

import asyncio
import base64
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast
from uuid import UUID

import aiohttp
import msgspec

from localnet.provider_config import AGENT_VERSION
from localnet.provider_metrics import JobMetrics

QUEUE_SLOTS = 64
_DEFAULT_DEADLINE_MS = 60_000
_LEAST_HTTP_TIMEOUT_SECONDS = 5.0
_CONNECT_TIMEOUT_SECONDS = 10.0
_SEND_TIMEOUT_SECONDS = 5.0
_INPUT_KEYS = ("input_tokens", "prompt_tokens", "input")
_OUTPUT_KEYS = ("output_tokens", "completion_tokens", "output")
_UNSIGNED_32 = 2**32


class JobMalformed(Exception):
    """A job frame that cannot be answered: it lacks its id, its model or its request."""


class BackendFailed(Exception):
    """The backend did not serve the job; `code` is the wire's error code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, kw_only=True)
class Defects:
    """Faults of the real agent that a test may switch on (wire.md §2.12).

    `stale_cancel`: a cancel after the end counts the job down once more, and the counter wraps.
    `one_loop`: reading and writing take turns, so a full queue stops both.
    `no_terminal_frame`: jobs end without a last frame.
    """

    stale_cancel: bool = False
    one_loop: bool = False
    no_terminal_frame: bool = False


@dataclass(frozen=True, kw_only=True)
class Job:
    """One request to serve."""

    job_id: UUID
    model_id: str
    request: object
    deadline_ms: int

    @classmethod
    def parse(cls, frame: Mapping[str, object]) -> "Job":
        """Read a job frame. Raises `JobMalformed`."""
        job_id, model_id = frame.get("job_id"), frame.get("model_id")
        if not isinstance(job_id, str) or not isinstance(model_id, str) or "request" not in frame:
            raise JobMalformed("job_id, model_id and request are required")
        deadline_ms = frame.get("deadline_ms")
        if not isinstance(deadline_ms, int) or isinstance(deadline_ms, bool) or deadline_ms < 0:
            deadline_ms = _DEFAULT_DEADLINE_MS
        try:
            parsed = UUID(job_id)
        except ValueError as error:
            raise JobMalformed(f"job_id is no UUID: {job_id!r}") from error
        return cls(
            job_id=parsed,
            model_id=model_id,
            request=frame["request"],
            deadline_ms=max(deadline_ms % _UNSIGNED_32, 1),
        )

    def body(self) -> bytes:
        """What is posted to the backend: the request, streaming, with usage asked for."""
        if not isinstance(self.request, dict):
            return json.dumps(self.request).encode()
        body = {**cast(dict[str, object], self.request), "stream": True}
        body.setdefault("stream_options", {"include_usage": True})
        body.setdefault("model", self.model_id)
        return json.dumps(body).encode()


class _EventWithUsage(msgspec.Struct):
    usage: dict[str, object]


@dataclass(kw_only=True)
class UsageReader:
    """Picks the last usage out of a stream of server-sent events cut anywhere."""

    input_tokens: int = 0
    output_tokens: int = 0
    _pending: bytes = b""

    def push(self, data: bytes) -> None:
        """Take the next bytes of the stream."""
        *lines, self._pending = (self._pending + data).split(b"\n")
        for line in lines:
            self._line(line)

    def finish(self) -> None:
        """The stream is over: what is left counts as a line."""
        self._line(self._pending)
        self._pending = b""

    def _line(self, line: bytes) -> None:
        # Most events carry no usage: they are not worth parsing.
        if not line.startswith(b"data:") or b'"usage"' not in line:
            return
        try:
            event = msgspec.json.decode(line.removeprefix(b"data:"), type=_EventWithUsage)
        except msgspec.MsgspecError:
            return
        self.input_tokens = _pick(event.usage, _INPUT_KEYS, self.input_tokens)
        self.output_tokens = _pick(event.usage, _OUTPUT_KEYS, self.output_tokens)


def _pick(usage: Mapping[str, object], keys: tuple[str, ...], otherwise: int) -> int:
    for key in keys:
        found = usage.get(key)
        if isinstance(found, int) and not isinstance(found, bool) and 0 <= found < _UNSIGNED_32:
            return found
    return otherwise


@dataclass(kw_only=True)
class JobExecutor:
    """The jobs of one connection."""

    routes: Mapping[str, str]
    max_concurrent: int
    http: aiohttp.ClientSession
    metrics: JobMetrics
    defects: Defects
    outbound: asyncio.Queue[str] = field(
        default_factory=lambda: asyncio.Queue[str](maxsize=QUEUE_SLOTS)
    )
    _in_flight: int = 0
    _closed: bool = False
    _active: dict[UUID, asyncio.Task[None]] = field(default_factory=dict[UUID, asyncio.Task[None]])
    _tasks: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])

    @property
    def busy(self) -> bool:
        """Whether a job is running."""
        return bool(self._tasks)

    async def dispatch(self, job: Job) -> None:
        """Start a job, or say why not."""
        if self._in_flight >= self.max_concurrent:
            await self._refuse(job, "out_of_capacity", "agent at max_concurrent")
            return
        base = self.routes.get(job.model_id)
        if base is None:
            await self._refuse(job, "model_not_loaded", "no backend serves this model")
            return
        self._in_flight += 1
        task = asyncio.create_task(self._drive(job, base))
        self._active[job.job_id] = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def cancel(self, job_id: UUID) -> None:
        """Stop a job and send nothing more about it; an unknown id is passed over."""
        task = self._active.pop(job_id, None)
        if task is not None:
            task.cancel()
            self._in_flight = (self._in_flight - 1) % _UNSIGNED_32
            self.metrics.ended("cancelled", None)

    def disconnected(self) -> None:
        """Nobody listens any more: running jobs end with the next bytes they get."""
        self._closed = True
        while not self.outbound.empty():  # whoever waits for room in the queue goes on
            self.outbound.get_nowait()

    async def stop(self) -> None:
        """End every job now."""
        self.disconnected()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _drive(self, job: Job, base: str) -> None:
        started = time.monotonic()
        relay = _Relay(job=job, executor=self)
        try:
            async with asyncio.timeout(job.deadline_ms * 0.001):
                await relay.run(f"{base}/v1/chat/completions")
            frame = _done(job, relay.usage, int((time.monotonic() - started) * 1000))
            outcome = "done"
        except TimeoutError:
            frame = _error(job, "backend_timeout", "backend exceeded deadline_ms", relay.bytes_sent)
            outcome = "backend_timeout"
        except BackendFailed as failure:
            frame = _error(job, failure.code, str(failure), relay.bytes_sent)
            outcome = failure.code
        if not self._closed and not self.defects.no_terminal_frame:
            await self.outbound.put(frame)
        self._in_flight -= 1
        if not self.defects.stale_cancel:
            self._active.pop(job.job_id, None)
        self.metrics.ended(outcome, time.monotonic() - started)

    async def send_chunk(self, job_id: UUID, data: bytes) -> None:
        """Queue bytes for the coordinator. Raises `BackendFailed` when it does not take them."""
        if self._closed:
            raise BackendFailed("internal", "ws outbound closed")
        encoded = base64.b64encode(data).decode()
        frame = f'{{"type":"job_chunk","job_id":"{job_id}","data":"{encoded}"}}'
        try:
            self.outbound.put_nowait(frame)
        except asyncio.QueueFull:
            try:
                await asyncio.wait_for(self.outbound.put(frame), _SEND_TIMEOUT_SECONDS)
            except TimeoutError:
                raise BackendFailed("internal", "ws outbound send timeout") from None

    async def _refuse(self, job: Job, code: str, message: str) -> None:
        self.metrics.refused(code)
        await self.outbound.put(_error(job, code, message, 0))


@dataclass(kw_only=True)
class _Relay:
    """One job on its way through a backend."""

    job: Job
    executor: JobExecutor
    bytes_sent: int = 0
    usage: UsageReader = field(default_factory=UsageReader)

    async def run(self, endpoint: str) -> None:
        """Post the job and relay the answer. Raises `BackendFailed`."""
        total_seconds = max(self.job.deadline_ms * 0.001, _LEAST_HTTP_TIMEOUT_SECONDS)
        timeout = aiohttp.ClientTimeout(
            total=total_seconds, sock_connect=min(total_seconds, _CONNECT_TIMEOUT_SECONDS)
        )
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"usepod-agent/{AGENT_VERSION}",
        }
        try:
            async with self.executor.http.post(
                endpoint, data=self.job.body(), headers=headers, timeout=timeout
            ) as response:
                await self._relay(response)
        except aiohttp.ServerTimeoutError:
            raise BackendFailed("backend_timeout", "backend timeout") from None
        except aiohttp.ClientConnectorError as error:
            raise BackendFailed("backend_unreachable", f"backend unreachable: {error}") from error
        except aiohttp.ClientPayloadError as error:
            message = "transport error: error decoding response body"  # the real agent's words
            raise BackendFailed("internal", message) from error
        except aiohttp.ClientError as error:
            raise BackendFailed("internal", f"transport error: {error}") from error

    async def _relay(self, response: aiohttp.ClientResponse) -> None:
        if not 200 <= response.status < 300:
            body = (await response.read()).decode(errors="replace")
            rejected = response.status in (401, 403)
            raise BackendFailed(
                "auth_rejected_by_backend" if rejected else "internal",
                f"backend returned HTTP {response.status}: {body}",
            )
        async for data in response.content.iter_any():
            self.usage.push(data)
            await self.executor.send_chunk(self.job.job_id, data)
            self.bytes_sent += len(data)
        self.usage.finish()


def _done(job: Job, usage: UsageReader, duration_ms: int) -> str:
    tokens = {
        "input": usage.input_tokens,
        "output": usage.output_tokens,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
    }
    return json.dumps(
        {
            "type": "job_done",
            "job_id": str(job.job_id),
            "tokens": tokens,
            "duration_ms": duration_ms,
        }
    )


def _error(job: Job, code: str, message: str, bytes_sent: int) -> str:
    return json.dumps(
        {
            "type": "job_error",
            "job_id": str(job.job_id),
            "error_code": code,
            "message": message,
            "tokens_emitted": bytes_sent,
        }
    )
