"""The fleet's addresses: `/` is answered by any backend, `/backend/NAME` by the named one.

Faults that a client can only see on a socket (a reset, half an answer, silence) are made here.
"""

import asyncio
from typing import Final

from aiohttp import web

from localnet.adversary.fleet import Fleet, UnknownBackend
from localnet.adversary.wire import Reply
from localnet.pubsub import PubSub

PATH: Final = "/backend/{backend}"
_LOOK_SECONDS: Final = 0.1


class Doors:
    """Handlers for HTTP and websocket requests."""

    def __init__(self, fleet: Fleet, pubsub: PubSub) -> None:
        """Websockets tell what the cluster does; the gate of each connection spoils it."""
        self._fleet = fleet
        self._pubsub = pubsub

    async def post(self, request: web.Request) -> web.StreamResponse:
        """One JSON-RPC call."""
        if request.content_type != "application/json":
            return web.Response(status=415, text="Content-Type: application/json is required\n")
        backend = request.match_info.get("backend")
        try:
            reply = await self._fleet.post(await request.read(), backend)
        except UnknownBackend:
            return web.Response(status=404, text=f"there is no backend {backend}\n")
        return await _sent(request, reply)

    async def subscribe(self, request: web.Request) -> web.StreamResponse:
        """One websocket."""
        backend = request.match_info.get("backend")
        try:
            gate = self._fleet.gate(backend)
        except UnknownBackend:
            return web.Response(status=404, text=f"there is no backend {backend}\n")
        if gate is None:
            return web.Response(status=503, text="no more connections\n")
        return await self._pubsub.serve(request, gate)


async def _sent(request: web.Request, reply: Reply) -> web.StreamResponse:
    match reply.ending:
        case "whole":
            headers = {"Access-Control-Allow-Origin": "*", **reply.headers}
            return web.Response(
                status=reply.status,
                body=reply.body,
                content_type=reply.content_type,
                headers=headers,
            )
        case "cut":
            response = web.StreamResponse(headers={"Content-Type": reply.content_type})
            response.content_length = len(reply.body)
            await response.prepare(request)
            await response.write(reply.body[: len(reply.body) // 2])
            _hang_up(request)
            return response
        case "reset":
            _hang_up(request)
        case "silence":
            await _until_gone(request)
    return web.Response()


def _hang_up(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


async def _until_gone(request: web.Request) -> None:
    """Return when the client has given up; it has no other way to tell than to leave."""
    while True:
        if request.transport is None or request.transport.is_closing():
            return
        await asyncio.sleep(_LOOK_SECONDS)
