"""The agent's side of the WebSocket: handshake, capabilities, heartbeats, jobs, and coming back.

Repeats the real agent to the letter (wire.md §2): the server speaks first; what is signed are the
nonce's bytes; a connection lost after `auth_ok` is a planned cycle and is dialled again in about a
second; anything that fails before it doubles the wait, up to a minute. While discovery runs the
socket is not read.
"""

import asyncio
import base64
import binascii
import json
import random
from collections.abc import Callable
from contextlib import AsyncExitStack, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast
from uuid import UUID

import aiohttp
import msgspec
import structlog
from aiohttp import ClientWebSocketResponse, WSMsgType

from localnet.provider_config import AGENT_VERSION, AgentConfig
from localnet.provider_discovery import Discovery, capabilities, discover
from localnet.provider_identity import Identity
from localnet.provider_jobs import Defects, Job, JobExecutor, JobMalformed
from localnet.provider_metrics import JobMetrics

HEARTBEAT_SECONDS = 15.0
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 1.0, 60.0
_MESSAGE_LIMIT_BYTES = 64 * 2**20
_HEARTBEAT = json.dumps(
    {
        "type": "heartbeat",
        "queue_depth": 0,
        "tokens_per_sec_p50": 0.0,
        "p50_latency_ms": 0,
        "p95_latency_ms": 0,
        "error_rate_60s": 0.0,
        "last_error_at": None,
        "last_error_code": None,
    }
)
_log = structlog.get_logger()


class HandshakeFailed(Exception):
    """The connection broke before the coordinator accepted it."""


class Backoff:
    """How long to wait before dialling again; every wait doubles the next one."""

    def __init__(self, jitter: Callable[[], float] = lambda: random.uniform(0.8, 1.2)) -> None:
        self._jitter = jitter
        self._next_seconds = _FIRST_WAIT_SECONDS

    def was_connected(self) -> None:
        """The coordinator had accepted us: start over."""
        self._next_seconds = _FIRST_WAIT_SECONDS

    def wait_seconds(self) -> float:
        """The wait that is due now."""
        due = self._next_seconds
        self._next_seconds = min(due * 2, _LONGEST_WAIT_SECONDS)
        return due * self._jitter()


@dataclass(kw_only=True)
class Agent:
    """One agent with one key. `run` connects and serves until cancelled.

    `recorded`, when given, collects every text frame as (who sent it, text).
    """

    config: AgentConfig
    identity_path: Path
    metrics: JobMetrics
    defects: Defects = field(default_factory=Defects)
    heartbeat_seconds: float = HEARTBEAT_SECONDS
    backoff: Backoff = field(default_factory=Backoff)
    recorded: list[tuple[str, str]] | None = None
    connections: int = 0
    last_error: str | None = None
    discovery: Discovery | None = None  # of the connection there is now
    _executors: list[JobExecutor] = field(default_factory=list[JobExecutor])

    async def run(self) -> None:
        """Connect, serve, come back, for ever. Never returns; cancelling drops the connection."""
        identity = Identity.load_or_create(self.identity_path)
        async with aiohttp.TCPConnector(limit=0) as connector:
            backends = aiohttp.ClientSession(connector=connector, connector_owner=False)
            async with backends:
                try:
                    while True:
                        identity = await self._cycle(identity, backends)
                        await asyncio.sleep(self.backoff.wait_seconds())
                finally:
                    for executor in self._executors:
                        await executor.stop()

    @property
    def connected(self) -> bool:
        """Whether the coordinator has our capabilities and the connection stands."""
        return self.discovery is not None

    async def _cycle(self, identity: Identity, backends: aiohttp.ClientSession) -> Identity:
        async with AsyncExitStack() as stack:
            try:
                socket = await self._dial(stack)
                identity = await self._handshake(socket, identity)
            except (aiohttp.ClientError, OSError, HandshakeFailed) as error:
                self.last_error = str(error) or repr(error)
                _log.error("coordinator connection failed", error=self.last_error)
                return identity
            self.backoff.was_connected()
            self.last_error = None
            try:
                await self._serve(socket, backends)
            except (aiohttp.ClientError, OSError) as error:
                _log.warning("coordinator session ended", error=repr(error))
        return identity

    async def _dial(self, stack: AsyncExitStack) -> ClientWebSocketResponse:
        # A session of its own: leaving it drops the socket without a goodbye, as a dying agent's.
        session = await stack.enter_async_context(
            aiohttp.ClientSession(
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
                trace_configs=[_no_redirects()],
            )
        )
        return await session.ws_connect(
            self.config.coordinator.url,
            max_msg_size=_MESSAGE_LIMIT_BYTES,
            compress=0,
            autoclose=False,
        )

    async def _handshake(self, socket: ClientWebSocketResponse, identity: Identity) -> Identity:
        challenge = await self._receive_json(socket)
        if challenge.get("type") != "auth_challenge":
            raise HandshakeFailed(f"expected auth_challenge, got {challenge}")
        response = {
            "type": "auth_response",
            "pubkey": identity.public_key,
            "signature": identity.sign(_nonce(challenge)),
            "agent_version": AGENT_VERSION,
        }
        if identity.provider_id is None and self.config.coordinator.enrollment_code is not None:
            response["enrollment_code"] = self.config.coordinator.enrollment_code
        await self._send(socket, json.dumps(response))
        verdict = await self._receive_json(socket)
        if verdict.get("type") == "auth_failed":
            raise HandshakeFailed(f"coordinator rejected auth: {verdict.get('reason', 'unknown')}")
        if verdict.get("type") != "auth_ok":
            raise HandshakeFailed(f"expected auth_ok, got type={verdict.get('type')}")
        provider_id = verdict.get("provider_id")
        if isinstance(provider_id, str) and provider_id != identity.provider_id:
            identity = identity.bound_to(provider_id)
            identity.save(self.identity_path)
        return identity

    async def _serve(
        self, socket: ClientWebSocketResponse, backends: aiohttp.ClientSession
    ) -> None:
        found = await discover(self.config, backends)
        await self._send(socket, json.dumps(capabilities(found, self.config)))
        executor = JobExecutor(
            routes=found.routes,
            max_concurrent=self.config.limits.max_concurrent,
            http=backends,
            metrics=self.metrics,
            defects=self.defects,
        )
        self._executors = [*(old for old in self._executors if old.busy), executor]
        self.discovery = found
        self.connections += 1
        self.metrics.connected(len(found.models))
        _log.info("connected", models=len(found.models), url=self.config.coordinator.url)
        turn = asyncio.Lock() if self.defects.one_loop else None
        others = [
            asyncio.create_task(self._write(socket, executor, turn)),
            asyncio.create_task(self._beat(executor)),
        ]
        try:
            await self._read(socket, executor, turn)
        finally:
            self.discovery = None
            self.metrics.disconnected()
            executor.disconnected()
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

    async def _write(
        self, socket: ClientWebSocketResponse, executor: JobExecutor, turn: asyncio.Lock | None
    ) -> None:
        while True:
            frame = await executor.outbound.get()
            async with turn or nullcontext():
                await self._send(socket, frame)

    async def _beat(self, executor: JobExecutor) -> None:
        while True:
            await asyncio.sleep(self.heartbeat_seconds)
            await executor.outbound.put(_HEARTBEAT)

    async def _read(
        self, socket: ClientWebSocketResponse, executor: JobExecutor, turn: asyncio.Lock | None
    ) -> None:
        while True:
            message = await socket.receive()
            if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED):
                return
            if message.type is WSMsgType.ERROR:
                _log.warning("ws read error", error=repr(message.data))
                return
            if message.type is WSMsgType.TEXT:
                text = cast(str, message.data)
                self._record("server", text)
                async with turn or nullcontext():
                    await _handle(executor, text)

    async def _send(self, socket: ClientWebSocketResponse, text: str) -> None:
        self._record("agent", text)
        await socket.send_str(text)

    async def _receive_json(self, socket: ClientWebSocketResponse) -> dict[str, object]:
        message = await socket.receive()
        if message.type is not WSMsgType.TEXT:
            raise HandshakeFailed(f"expected a text frame, got {message.type.name.lower()}")
        text = cast(str, message.data)
        self._record("server", text)
        try:
            return msgspec.json.decode(text, type=dict[str, object])
        except msgspec.MsgspecError as error:
            raise HandshakeFailed(f"parsing ws JSON: {error}") from error

    def _record(self, sender: str, text: str) -> None:
        if self.recorded is not None:
            self.recorded.append((sender, text))


async def _handle(executor: JobExecutor, text: str) -> None:
    """Route one frame of the coordinator; what cannot be understood is logged and passed over."""
    try:
        frame = msgspec.json.decode(text, type=dict[str, object])
        match frame.get("type"):
            case "job":
                await executor.dispatch(Job.parse(frame))
            case "job_cancel":
                executor.cancel(UUID(str(frame.get("job_id"))))
            case other:
                _log.debug("unhandled message", kind=other)
    except (msgspec.MsgspecError, JobMalformed, ValueError) as error:
        _log.warning("malformed frame passed over", error=str(error))


def _nonce(challenge: dict[str, object]) -> bytes:
    nonce = challenge.get("nonce")
    if not isinstance(nonce, str):
        raise HandshakeFailed("auth_challenge missing nonce")
    # Python's decoder stops at padding in the middle; the real one refuses what does not encode
    # back to the same text.
    with suppress(binascii.Error, ValueError):
        decoded = base64.b64decode(nonce, validate=True)
        if base64.b64encode(decoded).decode() == nonce:
            return decoded
    raise HandshakeFailed("decoding challenge nonce")


def _no_redirects() -> aiohttp.TraceConfig:
    async def refuse(*_: object) -> None:
        raise HandshakeFailed("the coordinator answered the upgrade with a redirect")

    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(refuse)
    return trace
