"""Reads what an agent relays, whichever of two forms its backend chose. Pure.

Nearly always it is a stream of events. A backend that ignores `stream` sends one JSON body instead;
agents relay no headers, so the first byte decides. Each part keeps the bytes to pass on beside what
they mean.
"""

from dataclasses import dataclass

import msgspec

from coordinator.transcode import chunk as chunks
from coordinator.transcode import sse
from coordinator.transcode.chunk import Choice, Chunk

LARGEST_BODY_BYTES = 32 * 1024 * 1024
_ENCODE = msgspec.json.Encoder().encode


@dataclass(frozen=True, kw_only=True)
class Part:
    """One event: its bytes, and the chunk in them (None for a comment)."""

    raw: bytes
    chunk: Chunk | None


class Reader:
    """Feed it what the agent sends; it gives complete parts."""

    def __init__(self) -> None:
        self._splitter = sse.EventSplitter()
        self._body: bytearray | None = None
        self._begun = False

    def feed(self, data: bytes) -> list[Part]:
        """Parts that became complete. Raises `ProviderAnswerInvalid`, `ProviderAnswerError`."""
        if not self._begun:
            data = data.lstrip(b"\xef\xbb\xbf\r\n\t ")
            if not data:
                return []
            self._begun = True
            if data[:1] == b"{":
                self._body = bytearray()
        if self._body is not None:
            self._body += data
            if len(self._body) > LARGEST_BODY_BYTES:
                raise chunks.ProviderAnswerInvalid
            return []
        return [part for event in self._splitter.feed(data) for part in _parts(event)]

    def end(self) -> list[Part]:
        """What is left when the agent says it is done."""
        if self._body is not None:
            return [_whole(bytes(self._body))]
        rest = self._splitter.rest()
        if not rest.strip():
            return []
        return _parts(rest.rstrip(b"\r\n") + b"\n\n")


def _parts(event: bytes) -> list[Part]:
    """The part an event makes; the backend's own end mark makes none, ours is sent instead."""
    data = sse.data_of(event)
    if data is None:
        return [Part(raw=event, chunk=None)]
    if data.strip() == b"[DONE]":
        return []
    return [Part(raw=event, chunk=chunks.read(data))]


def _whole(body: bytes) -> Part:
    """An unstreamed answer as one chunk with everything in it."""
    answer = chunks.read(body)
    choices = [_choice(choice) for choice in answer.choices or ()]
    whole = Chunk(
        id=answer.id,
        created=answer.created,
        model=answer.model,
        system_fingerprint=answer.system_fingerprint,
        choices=choices,
    )
    told = {
        "id": answer.id or "",
        "object": "chat.completion.chunk",
        "created": answer.created or 0,
        "model": answer.model or "",
        "choices": [
            {"index": each.index, "delta": each.delta, "finish_reason": each.finish_reason}
            for each in choices
        ],
    }
    return Part(raw=sse.event(_ENCODE(told)), chunk=whole)


def _choice(choice: Choice) -> Choice:
    message = choice.message
    if message is None:
        raise chunks.ProviderAnswerInvalid
    for position, call in enumerate(message.tool_calls or ()):
        call.index = position
    return Choice(
        index=choice.index,
        delta=message,
        finish_reason=choice.finish_reason,
        logprobs=choice.logprobs,
    )
