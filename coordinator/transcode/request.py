"""Reads a chat-completions request and writes the one an agent gets. Pure.

Only what we decide by is decoded: which model, which texts go in, how much may come out, streamed
or not. Everything else of the body is kept as the bytes the client wrote and passed on.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import msgspec

from settlement.errors import Refused

LARGEST_MAX_TOKENS = 10_000_000
MOST_CHOICES = 16
MOST_MESSAGES = 100_000
_PATH = re.compile(r"^(?P<problem>.*?) - at `(?P<key>key in )?\$\.?(?P<path>.*)`$", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<field>[^`]+)`")


class BodyInvalid(Refused):
    """The request body is not what this route takes."""

    def __init__(self, *, problem: str, field: str | None = None) -> None:
        told = f"{field}: {problem}" if field else problem
        super().__init__(told, **({"field": field} if field else {}))


class _Part(msgspec.Struct):
    type: str
    text: str | None = None
    refusal: str | None = None


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Part] | None = None
    name: str | None = None
    tool_calls: list[msgspec.Raw] | None = None


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


_Tokens = Annotated[int, msgspec.Meta(ge=1, le=LARGEST_MAX_TOKENS)]


class _Known(msgspec.Struct):
    model: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    messages: Annotated[list[_Message], msgspec.Meta(min_length=1, max_length=MOST_MESSAGES)]
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: _Tokens | None = None
    max_completion_tokens: _Tokens | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=MOST_CHOICES)] | None = None
    tools: list[msgspec.Raw] | None = None


_KNOWN = msgspec.json.Decoder(_Known)
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ENCODE = msgspec.json.Encoder().encode
_TRUE = msgspec.Raw(b"true")
_WITH_USAGE = msgspec.Raw(b'{"include_usage":true}')


@dataclass(frozen=True, kw_only=True)
class ChatRequest:
    """What we need to know of a request, and the rest of it as it came."""

    model: str
    stream: bool
    wants_usage: bool
    max_tokens: int | None  # per choice
    choices: int
    texts: tuple[str, ...]  # everything that counts as input
    fields: dict[str, msgspec.Raw]

    def for_provider(self, *, provider_model_id: str, max_tokens: int) -> msgspec.Raw:
        """The body the agent gets: its own model id, streamed, with usage, bounded."""
        fields = dict(self.fields)
        fields["model"] = msgspec.Raw(_ENCODE(provider_model_id))
        fields["stream"] = _TRUE
        fields["stream_options"] = _WITH_USAGE
        limit = msgspec.Raw(str(max_tokens).encode())
        if "max_completion_tokens" in fields:
            fields["max_completion_tokens"] = limit
        if "max_tokens" in fields or "max_completion_tokens" not in fields:
            fields["max_tokens"] = limit
        return msgspec.Raw(_ENCODE(fields))


def parse(body: bytes) -> ChatRequest:
    """Read a request body. Raises `BodyInvalid` naming the field."""
    try:
        body.decode()
        known = _KNOWN.decode(body)
        fields = _FIELDS.decode(body)
    except UnicodeDecodeError:
        raise BodyInvalid(problem="the body is not UTF-8") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise refusal(error) from None
    limits = [each for each in (known.max_tokens, known.max_completion_tokens) if each is not None]
    options = known.stream_options
    return ChatRequest(
        model=known.model,
        stream=bool(known.stream),
        wants_usage=bool(options and options.include_usage),
        max_tokens=min(limits) if limits else None,
        choices=known.n or 1,
        texts=tuple(_texts(known)),
        fields=fields,
    )


def refusal(error: msgspec.DecodeError | RecursionError) -> BodyInvalid:
    """Say what the decoder found, and where, in the words of the body's writer."""
    if isinstance(error, RecursionError):
        return BodyInvalid(problem="nested too deeply")
    if not isinstance(error, msgspec.ValidationError):
        return BodyInvalid(problem=str(error))
    told = str(error)
    found = _PATH.match(told)
    problem, path = (found["problem"], found["path"]) if found else (told, "")
    missing = _MISSING.match(problem)
    if missing is not None:
        path = f"{path}.{missing['field']}" if path else missing["field"]
    return BodyInvalid(problem=problem, field=path or None)


def _texts(known: _Known) -> Iterator[str]:
    for message in known.messages:
        yield from _message_texts(message)
    for tool in known.tools or ():
        yield bytes(tool).decode()


def _message_texts(message: _Message) -> Iterator[str]:
    if message.name:
        yield message.name
    if isinstance(message.content, str):
        yield message.content
    for part in message.content if isinstance(message.content, list) else ():
        yield from (text for text in (part.text, part.refusal) if text)
    for call in message.tool_calls or ():
        yield bytes(call).decode()
