"""What the backend answers: a function of the request alone.

The text is words drawn by a hash of the messages from a fixed vocabulary in which every word is one
o200k token, so a longer answer starts with the shorter one. How many: what the last message asks
for (`40 tokens`, `40 words`), else a length drawn by the same hash, never more than `max_tokens`.
A request with tools gets a call of one of them.
"""

import asyncio
import json
import re
import warnings
from dataclasses import dataclass
from functools import cache
from hashlib import shake_256

import msgspec

with warnings.catch_warnings():
    # The wheel opens its data in a way that Python has deprecated; nothing of ours does.
    warnings.simplefilter("ignore", DeprecationWarning)
    import bpe_openai

_TEXT = (
    "the of to and in is that it for on with as by this from at are or an be was not which one "
    "can has all we will there more time no out so up other into its about these two some them "
    "then now only new over even most also after first well way many must through back years "
    "where much your may down should because long each just those people how too little state "
    "good very make world still own see men work here get both between life being under never "
    "day same another know while last might us great old year off come since against go came "
    "right used take three states few house use during without again place"
)
_WORDS = tuple(_TEXT.split())
_LENGTH_HINT = re.compile(r"(\d{1,6}) (?:tokens|words)")
_DEFAULT_LEAST_TOKENS, _DEFAULT_SPREAD_TOKENS = 16, 48
_TOKENS_AROUND_A_MESSAGE, _TOKENS_AROUND_A_PROMPT = 3, 3  # the chat template of OpenAI's models


class RequestRefused(Exception):
    """The backend cannot serve this request; `status`, `kind` and the message go into the reply."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status, self.kind = status, kind


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """How one model is served. The default is a good, instant backend.

    `gate` holds an answer after `gate_after_tokens` until it is set. `cut_after_tokens` breaks the
    connection there. `claimed_output_tokens` is what usage says instead of the truth.
    """

    context_window: int = 131_072
    token_delay_seconds: float = 0.0
    gate: asyncio.Event | None = None
    gate_after_tokens: int = 1
    cut_after_tokens: int | None = None
    refuses_with_status: int | None = None
    reports_usage: bool = True
    claimed_output_tokens: int | None = None
    ends_with_done: bool = True
    ignores_stream: bool = False


class Function(msgspec.Struct):
    """A function a client offers as a tool."""

    name: str
    parameters: dict[str, object] = msgspec.field(default_factory=dict[str, object])


class Tool(msgspec.Struct):
    """A tool a client offers."""

    function: Function
    type: str = "function"


class Message(msgspec.Struct):
    """One message of a conversation; content is text or parts."""

    role: str
    content: str | list[dict[str, object]] | None = None

    def text(self) -> str:
        """The text in it; parts of other kinds count for nothing."""
        if isinstance(self.content, str):
            return self.content
        return "".join(str(part.get("text", "")) for part in self.content or ())


class StreamOptions(msgspec.Struct):
    """What a streaming client wants besides the text."""

    include_usage: bool = False


class ChatRequest(msgspec.Struct):
    """The part of a chat-completions body that changes the answer."""

    model: str
    messages: list[Message]
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    tools: list[Tool] | None = None
    tool_choice: str | dict[str, object] | None = None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a prompt gets: `pieces` of one token each, or one tool call."""

    pieces: tuple[str, ...]
    tool_call: dict[str, object] | None
    finish_reason: str
    prompt_tokens: int
    output_tokens: int


def count_tokens(text: str) -> int:
    """How many o200k tokens a text has."""
    return len(_vocabulary().encode_ordinary(text))


@cache
def _vocabulary() -> bpe_openai.Encoding:
    return bpe_openai.get_encoding("o200k_base")  # 50 ms each time it is asked


def answer_to(request: ChatRequest, behaviour: Behaviour) -> Answer:
    """The answer to a request, a function of its messages and limits alone.

    Raises `RequestRefused` where a real backend refuses: nothing to answer, a limit below 1, more
    tokens than the context holds.
    """
    if not request.messages:
        raise RequestRefused(400, "BadRequestError", "messages must not be empty")
    limit = request.max_completion_tokens or request.max_tokens
    if 0 in (request.max_tokens, request.max_completion_tokens) or (limit or 1) < 0:
        raise RequestRefused(400, "BadRequestError", "max_tokens must be at least 1")
    prompt_tokens = _TOKENS_AROUND_A_PROMPT + sum(
        _TOKENS_AROUND_A_MESSAGE + count_tokens(message.role) + count_tokens(message.text())
        for message in request.messages
    )
    room = behaviour.context_window - prompt_tokens
    if room < (limit or 1):
        raise RequestRefused(
            400,
            "BadRequestError",
            f"This model's maximum context length is {behaviour.context_window} tokens. However, "
            f"you requested {(limit or 1) + prompt_tokens} tokens.",
        )
    call = _tool_call(request)
    if call is not None:
        return Answer(
            pieces=(),
            tool_call=call,
            finish_reason="tool_calls",
            prompt_tokens=prompt_tokens,
            output_tokens=count_tokens(json.dumps(call["function"])),
        )
    drawn = shake_256(json.dumps([[m.role, m.text()] for m in request.messages]).encode())
    wanted = _wanted_length(request.messages[-1].text(), drawn.digest(1)[0])
    length = min(wanted, limit or room)
    pieces = tuple(_piece(index, byte) for index, byte in enumerate(drawn.digest(length)))
    return Answer(
        pieces=pieces,
        tool_call=None,
        finish_reason="stop" if length == wanted else "length",
        prompt_tokens=prompt_tokens,
        output_tokens=length,
    )


def _piece(index: int, byte: int) -> str:
    word = _WORDS[byte % len(_WORDS)]
    return f" {word}" if index else word


def _wanted_length(text: str, byte: int) -> int:
    hint = _LENGTH_HINT.search(text)
    if hint and int(hint[1]) > 0:
        return int(hint[1])
    return _DEFAULT_LEAST_TOKENS + byte % _DEFAULT_SPREAD_TOKENS


def _tool_call(request: ChatRequest) -> dict[str, object] | None:
    if not request.tools or request.tool_choice == "none" or request.messages[-1].role == "tool":
        return None
    offered = {tool.function.name: tool.function for tool in request.tools}
    chosen = request.tools[0].function
    if isinstance(request.tool_choice, dict):
        named = request.tool_choice.get("function")
        name = str(msgspec.convert(named, dict[str, object]).get("name")) if named else ""
        if name not in offered:
            raise RequestRefused(400, "BadRequestError", f"tool_choice names no tool: {name}")
        chosen = offered[name]
    properties = chosen.parameters.get("properties")
    names = (
        [str(key) for key in msgspec.convert(properties, dict[str, object])] if properties else []
    )
    arguments = json.dumps({name: request.messages[-1].text()[:40] for name in names[:1]})
    digest = shake_256(arguments.encode()).hexdigest(12)
    return {
        "id": f"call_{digest}",
        "type": "function",
        "function": {"name": chosen.name, "arguments": arguments},
    }
