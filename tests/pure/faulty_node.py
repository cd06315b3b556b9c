"""An HTTP server that answers JSON-RPC the way bad days do: each request takes the next answer."""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Answer = Callable[[web.Request, dict[str, Any]], Awaitable[web.StreamResponse]]


def result(value: object) -> Answer:
    """What a healthy node says."""

    async def answer(_request: web.Request, asked: dict[str, Any]) -> web.StreamResponse:
        return web.json_response({"jsonrpc": "2.0", "id": asked["id"], "result": value})

    return answer


def error(code: int, message: str = "no", *, status: int = 200, **more: object) -> Answer:
    """An error object, with `data` only if it is given."""

    async def answer(_request: web.Request, asked: dict[str, Any]) -> web.StreamResponse:
        body = {"code": code, "message": message, **more}
        return web.json_response(
            {"jsonrpc": "2.0", "id": asked["id"], "error": body}, status=status
        )

    return answer


def raw(body: str, *, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    """These very bytes; `ID` in them becomes the id that was asked with."""

    async def answer(_request: web.Request, asked: dict[str, Any]) -> web.StreamResponse:
        return web.Response(
            text=body.replace("ID", str(asked["id"])), status=status, headers=headers
        )

    return answer


async def hang_up(request: web.Request, _asked: dict[str, Any]) -> web.StreamResponse:
    """The connection is reset before anything is said."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def cut_off(request: web.Request, asked: dict[str, Any]) -> web.StreamResponse:
    """Half of the body that was promised."""
    whole = json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": 5})
    response = web.StreamResponse(headers={"Content-Length": str(len(whole))})
    await response.prepare(request)
    await response.write(whole[:10].encode())
    assert request.transport is not None
    request.transport.abort()
    return response


@dataclass
class Node:
    """Answers in the order given; afterwards always with the last one."""

    answers: list[Answer]
    asked: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    url: str = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        asked: dict[str, Any] = json.loads(await request.text())
        self.asked.append(asked)
        answer = self.answers[min(len(self.asked), len(self.answers)) - 1]
        return await answer(request, asked)


@asynccontextmanager
async def node(*answers: Answer) -> AsyncGenerator[Node]:
    """A node that answers like this."""
    made = Node(list(answers))
    application = web.Application()
    application.add_routes([web.post("/{tail:.*}", made.handle)])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/?api-key=secret"
        yield made
    finally:
        await runner.cleanup()
