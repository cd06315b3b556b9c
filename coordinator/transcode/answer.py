"""Writes what clients get besides the provider's own bytes. Pure.

For a client that did not ask for a stream, chunks are folded into one body. For one that did, we
write the usage chunk (with our counts, if asked for), the chunk that ends a cut stream, and the
error chunk that ends a broken one: a broken stream never ends as if it were whole.
"""

from dataclasses import dataclass, field

import msgspec

from coordinator.meter import Reading
from coordinator.transcode import sse
from coordinator.transcode.chunk import Choice, Chunk, Delta, ToolCall
from settlement.money import format_usdc

_ENCODE = msgspec.json.Encoder().encode
KEEP_ALIVE = b": keep-alive\n\n"


def usage(reading: Reading, *, gross_microusdc: int) -> dict[str, object]:
    """The usage object: our counts, and the cost in dollars as a JSON number."""
    return {
        "prompt_tokens": reading.input_tokens,
        "completion_tokens": reading.output_tokens,
        "total_tokens": reading.input_tokens + reading.output_tokens,
        "cost": msgspec.Raw(format_usdc(gross_microusdc).encode()),
    }


@dataclass(kw_only=True)
class _Message:
    """One choice as it grows."""

    role: str = "assistant"
    content: list[str] = field(default_factory=list[str])
    thinking: list[str] = field(default_factory=list[str])
    refusal: list[str] = field(default_factory=list[str])
    calls: dict[int, dict[str, str]] = field(default_factory=dict[int, dict[str, str]])
    logprobs: list[msgspec.Raw] = field(default_factory=list[msgspec.Raw])
    finish_reason: str | None = None

    def add(self, choice: Choice) -> None:
        self.finish_reason = choice.finish_reason or self.finish_reason
        if choice.logprobs is not None:
            # Copied: the decoder's Raw looks into the chunk's own bytes.
            self.logprobs += [each.copy() for each in choice.logprobs.content or ()]
        if choice.delta is not None:
            self._add_delta(choice.delta)

    def _add_delta(self, delta: Delta) -> None:
        self.role = delta.role or self.role
        self.content += [delta.content] if delta.content else []
        self.thinking += [delta.thinking] if delta.thinking else []
        self.refusal += [delta.refusal] if delta.refusal else []
        for position, call in enumerate(delta.tool_calls or ()):
            self._add_call(position if call.index is None else call.index, call)

    def _add_call(self, number: int, call: ToolCall) -> None:
        known = self.calls.setdefault(number, {"id": "", "type": "", "name": "", "arguments": ""})
        known["id"] = known["id"] or call.id or ""
        known["type"] = known["type"] or call.type or ""
        if call.function is not None:
            known["name"] += call.function.name or ""
            known["arguments"] += call.function.arguments or ""

    def told(self, index: int) -> dict[str, object]:
        message: dict[str, object] = {
            "role": self.role,
            "content": "".join(self.content) if self.content or not self.calls else None,
            "refusal": "".join(self.refusal) or None,
        }
        if self.thinking:
            message["reasoning_content"] = "".join(self.thinking)
        if self.calls:
            message["tool_calls"] = [_call(self.calls[number]) for number in sorted(self.calls)]
        return {
            "index": index,
            "message": message,
            "logprobs": {"content": self.logprobs} if self.logprobs else None,
            "finish_reason": self.finish_reason,
        }


def _call(known: dict[str, str]) -> dict[str, object]:
    return {
        "id": known["id"],
        "type": known["type"] or "function",
        "function": {"name": known["name"], "arguments": known["arguments"]},
    }


class Fold:
    """Collects the chunks of one answer; knows its identity and which choices have ended."""

    def __init__(self, *, fallback_id: str, fallback_model: str, created: int) -> None:
        self._id = fallback_id
        self._model = fallback_model
        self._created = created
        self._identified = False
        self._fingerprint: str | None = None
        self._messages: dict[int, _Message] = {}
        self._finished: set[int] = set()

    def identify(self, chunk: Chunk) -> None:
        """Take over the answer's id and model from its first chunk; note which choices ended."""
        if not self._identified:
            self._identified = True
            self._id = chunk.id or self._id
            self._model = chunk.model or self._model
            self._created = int(chunk.created or self._created)
            self._fingerprint = chunk.system_fingerprint
        for choice in chunk.choices or ():
            if choice.finish_reason is not None:
                self._finished.add(choice.index)

    def add(self, chunk: Chunk) -> None:
        """Keep what the chunk delivers, for `body`."""
        for choice in chunk.choices or ():
            self._messages.setdefault(choice.index, _Message()).add(choice)

    def has_finished(self, choices: int) -> bool:
        """Whether every choice asked for has told why it ended."""
        return len(self._finished) >= choices

    def cut(self) -> None:
        """End what has not ended: the length limit was reached."""
        self._messages.setdefault(0, _Message())
        for message in self._messages.values():
            message.finish_reason = message.finish_reason or "length"

    def body(self, reading: Reading, *, gross_microusdc: int) -> bytes:
        """The whole answer as one chat completion."""
        told: dict[str, object] = {
            "id": self._id,
            "object": "chat.completion",
            "created": self._created,
            "model": self._model,
            "choices": [self._messages[index].told(index) for index in sorted(self._messages)],
            "usage": usage(reading, gross_microusdc=gross_microusdc),
        }
        if self._fingerprint is not None:
            told["system_fingerprint"] = self._fingerprint
        return _ENCODE(told)

    def usage_event(self, reading: Reading, *, gross_microusdc: int) -> bytes:
        """The extra chunk for clients that asked for usage."""
        return self._event([], usage=usage(reading, gross_microusdc=gross_microusdc))

    def cut_event(self, choices: int) -> bytes:
        """The chunk that ends the choices that have not ended: their limit was reached."""
        ends = [_end(index, "length") for index in range(choices) if index not in self._finished]
        return self._event(ends)

    def error_event(self, error: object) -> bytes:
        """The chunk after which nothing comes: this answer is broken."""
        return self._event([_end(0, "error")], error=error)

    def _event(self, choices: list[dict[str, object]], **more: object) -> bytes:
        told: dict[str, object] = {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._model,
            "choices": choices,
        }
        return sse.event(_ENCODE(told | more))


def _end(index: int, reason: str) -> dict[str, object]:
    return {"index": index, "delta": dict[str, str](), "finish_reason": reason}
