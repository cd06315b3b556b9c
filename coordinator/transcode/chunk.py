"""One chunk of a streamed chat completion: read it, and say what text it delivers. Pure."""

from collections.abc import Iterator

import msgspec

from coordinator.tokens.output import Piece
from settlement.errors import Unavailable


class ProviderAnswerInvalid(Unavailable):
    """The provider's backend answered something that is no chat completion."""


class ProviderAnswerError(Unavailable):
    """The provider's backend reported an error in its answer."""


class Function(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A function call, or a fragment of one."""

    name: str | None = None
    arguments: str | None = None


class ToolCall(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A tool call, or a fragment of one; fragments of one call share the index."""

    index: int | None = None
    id: str | None = None
    type: str | None = None
    function: Function | None = None


class Delta(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a chunk adds to a message; also the whole message of an unstreamed answer."""

    role: str | None = None
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: object = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None

    @property
    def thinking(self) -> str | None:
        """Reasoning text under either of its two names; a chunk with both means one text."""
        if self.reasoning_content:
            return self.reasoning_content
        return self.reasoning if isinstance(self.reasoning, str) else None


class Logprobs(msgspec.Struct, kw_only=True):
    """Log probabilities of one chunk's tokens."""

    content: list[msgspec.Raw] | None = None


class Choice(msgspec.Struct, kw_only=True):
    """One of the answers asked for."""

    index: int = 0
    delta: Delta | None = None
    message: Delta | None = None  # in an unstreamed answer
    finish_reason: str | None = None
    logprobs: Logprobs | None = None


class Chunk(msgspec.Struct, kw_only=True):
    """One event's data, or a whole unstreamed answer."""

    id: str | None = None
    created: int | float | None = None
    model: str | None = None
    system_fingerprint: str | None = None
    choices: list[Choice] | None = None
    # Raw takes any value (a union with None would not); what is absent reads as null.
    usage: msgspec.Raw = msgspec.Raw(b"null")
    error: msgspec.Raw = msgspec.Raw(b"null")


_CHUNK = msgspec.json.Decoder(Chunk)
_NULL = b"null"


def read(data: bytes) -> Chunk:
    """Raises `ProviderAnswerInvalid` and `ProviderAnswerError`."""
    try:
        chunk = _CHUNK.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise ProviderAnswerInvalid from None
    if bytes(chunk.error) != _NULL:
        raise ProviderAnswerError
    return chunk


def pieces(chunk: Chunk) -> Iterator[Piece]:
    """Every text this chunk delivers, by the channel it belongs to."""
    for choice in chunk.choices or ():
        delta = choice.delta or choice.message
        if delta is not None:
            for channel, text in _delta_texts(delta):
                yield (choice.index, channel), text


def _delta_texts(delta: Delta) -> Iterator[tuple[str, str]]:
    if delta.content:
        yield "content", delta.content
    if delta.thinking:
        yield "reasoning", delta.thinking
    if delta.refusal:
        yield "refusal", delta.refusal
    for position, call in enumerate(delta.tool_calls or ()):
        number = position if call.index is None else call.index
        if call.function is not None:
            if call.function.name:
                yield f"tool {number} name", call.function.name
            if call.function.arguments:
                yield f"tool {number} arguments", call.function.arguments


def is_usage_only(chunk: Chunk) -> bool:
    """The extra chunk that `include_usage` asks for."""
    return not chunk.choices and bytes(chunk.usage) != _NULL
