"""A client session that asks a fleet in the same process: no sockets, no waiting.

It has as much of `aiohttp.ClientSession` as a JSON-RPC client uses, and raises what aiohttp raises.
Silence costs no time: the client's timeout is over at once.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

import aiohttp
import msgspec

from localnet.adversary.fleet import Fleet
from localnet.adversary.wire import Reply

URL: Final = "http://fleet.localnet"
"""Any backend; add `/backend/NAME` for one."""
_BACKEND: Final = "/backend/"


class InProcessSession:
    """Stands where a client wants an `aiohttp.ClientSession`."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def post(
        self, url: str, *, json: object = None, data: bytes | str | None = None, **_how: object
    ) -> AbstractAsyncContextManager["InProcessResponse"]:
        """Ask; the URL's path says whom."""
        if data is None:
            body = msgspec.json.encode(json)
        else:
            body = data.encode() if isinstance(data, str) else data
        path = urlsplit(url).path
        backend = path.removeprefix(_BACKEND) if path.startswith(_BACKEND) else None
        return self._answered(body, backend)

    @asynccontextmanager
    async def _answered(
        self, body: bytes, backend: str | None
    ) -> AsyncGenerator["InProcessResponse"]:
        reply = await self._fleet.post(body, backend)
        if reply.ending == "silence":
            raise TimeoutError
        if reply.ending == "reset":
            raise aiohttp.ServerDisconnectedError
        yield InProcessResponse(reply)


class InProcessResponse:
    """As much of `aiohttp.ClientResponse` as is read."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self.status = reply.status
        self.headers: Mapping[str, str] = {"Content-Type": reply.content_type, **reply.headers}
        self.content = self

    async def iter_chunked(self, _size: int) -> AsyncIterator[bytes]:
        """The body; a connection that breaks in the middle raises as aiohttp does."""
        body = self._reply.body
        if self._reply.ending == "cut":
            yield body[: len(body) // 2]
            raise aiohttp.ClientPayloadError("Response payload is not completed")
        yield body

    async def read(self) -> bytes:
        """The whole body."""
        return b"".join([chunk async for chunk in self.iter_chunked(0)])
