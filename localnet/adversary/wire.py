"""Requests as far as they can be read, and replies as they are seen by who asked.

A reply says what the client gets, not how it is sent: the same reply goes over a socket or straight
into a client in the same process.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast

import msgspec

Json = dict[str, Any]
Ending = Literal["whole", "cut", "reset", "silence"]
"""whole: all is sent · cut: half is sent, then reset · reset: at once · silence: nothing comes."""
JSON_TYPE: Final = "application/json"


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What a client gets."""

    status: int = 200
    body: bytes = b""
    content_type: str = JSON_TYPE
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    ending: Ending = "whole"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked, as far as it can be read; a batch counts as its first message."""

    method: str
    request_id: object
    params: object
    body: bytes

    def key(self) -> bytes:
        """The same for requests that an honest cache would answer alike, and a careless one too."""
        return msgspec.json.encode([self.method, _without_bound(self.params)])


def read_request(body: bytes) -> Request:
    """Never refuses: what is not understood has no method."""
    try:
        message: object = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        message = None
    if isinstance(message, list) and message:
        message = cast("list[object]", message)[0]
    asked = cast("Json", message) if isinstance(message, dict) else {}
    method = asked.get("method")
    return Request(
        method=method if isinstance(method, str) else "",
        request_id=asked.get("id"),
        params=asked.get("params"),
        body=body,
    )


def _without_bound(value: object) -> object:
    if isinstance(value, list):
        return [_without_bound(item) for item in cast("list[object]", value)]
    if isinstance(value, dict):
        items = cast("Json", value).items()
        return {key: item for key, item in items if key != "minContextSlot"}
    return value


def result_of(body: bytes) -> bytes | None:
    """The result in a response, as JSON; None for an error, a batch or what is no response."""
    try:
        return bytes(msgspec.json.decode(body, type=_Answered).result) or None
    except msgspec.DecodeError:
        return None


class _Answered(msgspec.Struct):
    result: msgspec.Raw = msgspec.Raw(b"")
