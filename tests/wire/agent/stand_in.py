"""A coordinator of a few lines that a test steers frame by frame: it judges the scripted agent.

The real coordinator never sends a bad nonce or forgets its reply; this one does what it is told.
"""

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import WSMsgType, web
from nacl.signing import VerifyKey

from tests.wire.waiting import eventually

NONCE = bytes(range(0x20, 0x40))

Frame = dict[str, object]


def encode(raw: bytes) -> str:
    """Base64 as the wire has it."""
    return base64.b64encode(raw).decode()


@dataclass(kw_only=True)
class Line:
    """One accepted connection, from the coordinator's end."""

    socket: web.WebSocketResponse
    headers: dict[str, str]

    async def send(self, **frame: object) -> None:
        """Send one frame."""
        await self.socket.send_str(json.dumps(frame))

    async def receive(self) -> Frame:
        """The next frame of the agent. Raises AssertionError when there is none."""
        message = await self.socket.receive(timeout=5)
        assert message.type is WSMsgType.TEXT, message
        frame: Frame = json.loads(message.data)
        return frame

    async def closed(self) -> int | None:
        """Wait until the agent has gone; the close code it gave, if any."""
        message = await self.socket.receive(timeout=5)
        assert message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED), message
        return self.socket.close_code

    async def challenge(self) -> Frame:
        """Send a challenge; the agent's response, its signature checked."""
        await self.send(type="auth_challenge", nonce=encode(NONCE))
        response = await self.receive()
        key = VerifyKey(base64.b64decode(str(response["pubkey"]), validate=True))
        key.verify(NONCE, base64.b64decode(str(response["signature"]), validate=True))
        return response

    async def accept(self, provider_id: str = "p-1") -> Frame:
        """The whole handshake; the agent's capabilities."""
        await self.challenge()
        await self.send(type="auth_ok", provider_id=provider_id)
        return await self.receive()

    async def job(self, job_id: str, model_id: str = "tiny-chat", **request: object) -> None:
        """Send a job asking for a few tokens."""
        messages = [{"role": "user", "content": "8 words"}]
        body = {"messages": messages, **request}
        await self.send(type="job", job_id=job_id, model_id=model_id, request=body)


@dataclass(kw_only=True)
class StandIn:
    """Accepts agents and hands each connection to the test."""

    url: str = ""
    lines: asyncio.Queue[Line] = field(default_factory=lambda: asyncio.Queue[Line]())
    dialled_at: list[float] = field(default_factory=list[float])
    upgrade: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None
    issue: Callable[[Frame], tuple[int, Frame]] | None = None
    poll: Callable[[Frame], tuple[int, Frame]] | None = None

    async def next_line(self, timeout_seconds: float = 5.0) -> Line:
        """The next connection an agent opens."""
        return await asyncio.wait_for(self.lines.get(), timeout_seconds)

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """The WebSocket route: stays open until the agent goes or the test closes it."""
        self.dialled_at.append(asyncio.get_running_loop().time())
        if self.upgrade is not None:
            return await self.upgrade(request)
        socket = web.WebSocketResponse(autoping=False, compress=False)
        await socket.prepare(request)
        await self.lines.put(Line(socket=socket, headers=dict(request.headers)))
        transport = request.transport
        assert transport is not None
        await eventually(lambda: socket.closed or transport.is_closing(), timeout_seconds=60)
        return socket

    async def answer(self, request: web.Request) -> web.Response:
        """The two pairing routes, as the test says."""
        hook = self.issue if request.path.endswith("issue") else self.poll
        assert hook is not None, f"nobody expects {request.path}"
        status, body = hook(await request.json())
        return web.json_response(body, status=status)


@asynccontextmanager
async def stand_in() -> AsyncGenerator[StandIn]:
    """A coordinator's stand-in, listening."""
    one = StandIn()
    app = web.Application()
    app.add_routes(
        [
            web.get("/provider/connect", one.connect),
            web.post("/v1/host/pair/issue", one.answer),
            web.post("/v1/host/pair/poll", one.answer),
        ]
    )
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        one.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield one
    finally:
        await runner.cleanup()
