"""Cuts a byte stream into server-sent events. Pure.

Agents send whatever their HTTP client read: several events at once, or half of one. Events come out
with their bytes untouched, terminating blank line included, so that they can be passed on as is.
"""

import re

from settlement.errors import Unavailable

LARGEST_EVENT_BYTES = 8 * 1024 * 1024
_BLANK_LINE = re.compile(rb"\r\n\r\n|\n\r?\n|\r\r")
_LINE = re.compile(rb"\r\n|\n|\r")
DONE = b"data: [DONE]\n\n"


class EventTooLarge(Unavailable):
    """The provider sent an event that does not end."""


class EventSplitter:
    """Feed it bytes; it gives the events that are complete."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The events that became complete, in order. Raises `EventTooLarge`."""
        buffer = self._rest + data
        events: list[bytes] = []
        start = 0
        for blank in _BLANK_LINE.finditer(buffer):
            events.append(buffer[start : blank.end()])
            start = blank.end()
        self._rest = buffer[start:]
        if len(self._rest) > LARGEST_EVENT_BYTES:
            raise EventTooLarge
        return events

    def rest(self) -> bytes:
        """What came after the last complete event."""
        return self._rest


def data_of(event: bytes) -> bytes | None:
    """The event's data, its lines joined; None for a comment or an event without data."""
    body = event.rstrip(b"\r\n")
    if body.startswith(b"data:") and b"\n" not in body and b"\r" not in body:
        return body[5:].removeprefix(b" ")
    lines = [line[5:].removeprefix(b" ") for line in _LINE.split(body) if line[:5] == b"data:"]
    return b"\n".join(lines) if lines else None


def event(data: bytes) -> bytes:
    """One event with this data."""
    return b"data: " + data + b"\n\n"
