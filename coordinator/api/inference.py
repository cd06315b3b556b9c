"""The data plane: paid requests, as a raw ASGI app beside the control plane.

No framework stands between the provider's bytes and the user's socket. Everything that can refuse a
request is decided before the response begins; after that, `Reply` is all that is left to do.
"""

import asyncio
from uuid import UUID

import structlog

from coordinator import match
from coordinator.api import body, errors
from coordinator.api.body import Receive, Scope, Send
from coordinator.callers import Callers
from coordinator.delivery import Headers
from coordinator.dispatch import Dispatch
from coordinator.limits import Gate, HttpLimits
from coordinator.metrics import Metrics
from coordinator.order import Order, monotonic
from coordinator.relay import Job, Left
from coordinator.transcode import request as requests
from settlement.clock import Clock, new_id

log = structlog.get_logger()

_JSON: Headers = [(b"content-type", b"application/json")]
_EVENTS: Headers = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


class AsgiReply:
    """The user's side of one HTTP connection."""

    def __init__(self, receive: Receive, send: Send, *, write_seconds: float) -> None:
        self.started = False
        self.left = False
        self._receive = receive
        self._send = send
        self._write_seconds = write_seconds
        self._job: Job | None = None
        self._writing: asyncio.Timeout | None = None

    def watch(self, job: Job | None) -> None:
        """End this job when the user leaves."""
        self._job = job
        if job is not None:
            job.on_left = self._interrupt
        if self.left:
            self._lose("client_left")

    async def listen(self) -> None:
        """Notice that the user hung up."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._lose("client_left")

    def _lose(self, reason: str) -> None:
        self.left = True
        if self._job is not None:
            self._job.finish(Left(reason=reason))

    def _interrupt(self) -> None:
        """Do not wait any longer for a user who does not read."""
        if self._writing is not None and not self._writing.expired():
            self._writing.reschedule(monotonic())

    async def begin(self, headers: Headers) -> None:
        """Commit to a streamed answer."""
        await self._start(200, _EVENTS + headers)

    async def write(self, data: bytes) -> None:
        """Send bytes; a user who does not take them in time has left."""
        await self._give({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        """End a streamed answer."""
        await self._give({"type": "http.response.body", "body": b"", "more_body": False})

    async def whole(self, headers: Headers, body: bytes, *, status: int = 200) -> None:
        """Send an answer in one piece."""
        length = (b"content-length", str(len(body)).encode())
        await self._start(status, [*_JSON, length, *headers])
        await self._give({"type": "http.response.body", "body": body, "more_body": False})

    async def _start(self, status: int, headers: Headers) -> None:
        self.started = True
        await self._give({"type": "http.response.start", "status": status, "headers": headers})

    async def _give(self, message: body.Message) -> None:
        if self.left:
            return
        try:
            async with asyncio.timeout(self._write_seconds) as self._writing:
                await self._send(message)
        except TimeoutError:
            self._lose("slow_reader")
        except OSError:
            self._lose("client_left")
        finally:
            self._writing = None


class Inference:
    """Answers `POST /proxy/{token}/v1/chat/completions`."""

    def __init__(
        self,
        *,
        callers: Callers,
        dispatch: Dispatch,
        clock: Clock,
        metrics: Metrics,
        limits: HttpLimits,
    ) -> None:
        self._callers = callers
        self._dispatch = dispatch
        self._clock = clock
        self._metrics = metrics
        self._limits = limits
        self._gate = Gate(per_minute=limits.requests_per_minute, at_once=limits.requests_at_once)

    async def serve(self, scope: Scope, receive: Receive, send: Send, token: str) -> None:
        """One request, from its first byte to its last."""
        request_id = new_id(self._clock)
        reply = AsgiReply(receive, send, write_seconds=self._limits.write_seconds)
        try:
            await self._answer(scope, receive, token, request_id, reply)
        except body.ClientGone:
            pass
        except Exception as error:
            await self._refuse(error, request_id, reply)

    async def _answer(
        self, scope: Scope, receive: Receive, token: str, request_id: UUID, reply: AsgiReply
    ) -> None:
        if scope["method"] != "POST":
            raise body.MethodNotAllowed
        user_id = await self._callers.activated(token)
        with self._gate.enter(user_id, monotonic()):
            raw = await body.read(
                receive,
                limit_bytes=self._limits.body_bytes,
                timeout_seconds=self._limits.body_seconds,
            )
            order = Order(
                request_id=request_id,
                user_id=user_id,
                ask=requests.parse(raw),
                wish=match.read_wish(scope["headers"]),
            )
            listening = asyncio.create_task(reply.listen())
            try:
                await self._dispatch.serve(order, reply)
            finally:
                listening.cancel()

    async def _refuse(self, error: Exception, request_id: UUID, reply: AsgiReply) -> None:
        known = errors.translated(error)
        self._metrics.refused.labels(code=known.code if known else "internal").inc()
        if known is None:
            log.exception("request_broke", request=str(request_id))
        if reply.started:
            return  # incomplete on purpose: the server cuts the connection
        told = errors.answer(known) if known else errors.of_http(500)
        headers = [(name.encode(), value.encode()) for name, value in told.headers.items()]
        if told.status == 405:
            headers.append((b"allow", b"POST"))
        headers.append((b"x-request-id", str(request_id).encode()))
        await reply.whole(headers, told.body, status=told.status)
