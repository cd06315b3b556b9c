"""Reads request bodies: bounded, in time, strictly typed."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request

from coordinator.transcode.request import BodyInvalid, refusal
from settlement.errors import Refused

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Scope = MutableMapping[str, Any]

T = TypeVar("T")
LARGEST_CONTROL_BODY_BYTES = 256 * 1024


class BodyTooLarge(Refused):
    """The request body is larger than this route takes."""


class BodyTimeout(Refused):
    """The request body did not arrive in time."""


class MethodNotAllowed(Refused):
    """This path has no such method."""


class ClientGone(Exception):
    """The caller hung up before the body was complete; there is nobody to answer."""


async def read(receive: Receive, *, limit_bytes: int, timeout_seconds: float) -> bytes:
    """The whole body. Raises `BodyTooLarge`, `BodyTimeout`, `ClientGone`."""
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(timeout_seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                part: bytes = message.get("body", b"")
                size += len(part)
                if size > limit_bytes:
                    raise BodyTooLarge(limit_bytes=limit_bytes)
                parts.append(part)
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        raise BodyTimeout from None


async def json_of(request: Request, kind: type[T]) -> T:
    """The body as `kind`. Raises `BodyInvalid` naming the field."""
    raw = await read(request.receive, limit_bytes=LARGEST_CONTROL_BODY_BYTES, timeout_seconds=30)
    try:
        raw.decode()
        return msgspec.json.decode(raw, type=kind)
    except UnicodeDecodeError:
        raise BodyInvalid(problem="the body is not UTF-8") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise refusal(error) from None


def schema_of(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """What `/docs` shows of a request body."""
    shown = msgspec.json.schema(kind)
    definitions: dict[str, Any] = shown.get("$defs", {})
    inner = definitions.get(kind.__name__, shown)
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": inner}}}}
