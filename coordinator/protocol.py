"""The frames between an agent and us, as data. Pure.

One JSON object per text frame, told apart by `type`. What we need from a frame is checked strictly;
fields we do not know are ignored and types we do not know come back as `Unknown`, because agents
newer than this code will send both. What merely informs (a heartbeat's figures, a claim's exact
shape) is read leniently, so that a newer spelling never costs a connection.
"""

import re
from dataclasses import dataclass
from uuid import UUID

import msgspec
from nacl.exceptions import CryptoError
from nacl.signing import VerifyKey

from settlement.errors import Refused

NONCE_BYTES = 32
_LARGEST_CLAIM = 2**32 - 1
_BACKEND_STATUS = re.compile(r"\bHTTP (4\d\d)\b")
# What a backend answers when the request itself is wrong; 401, 403, 404, 408 and 429 are its own.
_USER_MISTAKES = frozenset({"400", "413", "422"})


class FrameInvalid(Refused):
    """The agent sent a frame that cannot be read."""

    def __init__(self, problem: str, job_id: UUID | None = None) -> None:
        super().__init__(problem=problem)
        self.job_id = job_id


class AuthResponse(msgspec.Struct, frozen=True, kw_only=True, tag="auth_response"):
    """Agent to server: the signature over the nonce's raw bytes."""

    pubkey: bytes
    signature: bytes
    agent_version: str = ""
    enrollment_code: str | None = None


class AdvertisedModel(msgspec.Struct, frozen=True, kw_only=True):
    """One model of a `capabilities` frame; prices in microunits per million tokens."""

    model_id: str
    input_per_1m: int
    output_per_1m: int
    max_concurrent: int = 0
    backend: str = ""
    context_window: int | None = None


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What the agent takes on at once, over all its models."""

    max_concurrent_total: int
    max_tokens_per_minute: int | None = None


class Capabilities(msgspec.Struct, frozen=True, kw_only=True, tag="capabilities"):
    """Agent to server: everything it serves; replaces what it said before."""

    models: list[msgspec.Raw]
    limits: Limits


class Heartbeat(msgspec.Struct, frozen=True, tag="heartbeat"):
    """Agent to server: a sign of life; its figures are not used (they are zeros today)."""


class JobChunk(msgspec.Struct, frozen=True, kw_only=True, tag="job_chunk"):
    """Agent to server: raw bytes of the backend's body, cut anywhere."""

    job_id: UUID
    data: bytes


class JobDone(msgspec.Struct, frozen=True, kw_only=True, tag="job_done"):
    """Agent to server, terminal: the backend's stream ended."""

    job_id: UUID
    tokens: msgspec.Raw = msgspec.Raw(b"{}")


class JobError(msgspec.Struct, frozen=True, kw_only=True, tag="job_error"):
    """Agent to server, terminal: the job failed; `message` may hold a whole backend body."""

    job_id: UUID
    error_code: str = "internal"
    message: str = ""

    @property
    def is_users_mistake(self) -> bool:
        """Whether the backend said that the request itself is wrong."""
        found = _BACKEND_STATUS.search(self.message[:200])
        return found is not None and found[1] in _USER_MISTAKES


@dataclass(frozen=True, kw_only=True)
class Unknown:
    """A frame of a type this version does not know; to be ignored."""

    type: str


AgentFrame = AuthResponse | Capabilities | Heartbeat | JobChunk | JobDone | JobError


class AuthChallenge(msgspec.Struct, frozen=True, kw_only=True, tag="auth_challenge"):
    """Server to agent, first of all: the bytes to sign."""

    nonce: bytes


class AuthOk(msgspec.Struct, frozen=True, kw_only=True, tag="auth_ok"):
    """Server to agent: who it is."""

    provider_id: str


class AuthFailed(msgspec.Struct, frozen=True, kw_only=True, tag="auth_failed"):
    """Server to agent: why it is not let in."""

    reason: str


class JobStart(msgspec.Struct, frozen=True, kw_only=True, tag="job"):
    """Server to agent: run this request."""

    job_id: UUID
    model_id: str
    request: msgspec.Raw
    deadline_ms: int
    format: str = "openai"


class JobCancel(msgspec.Struct, frozen=True, kw_only=True, tag="job_cancel"):
    """Server to agent: stop; no terminal frame follows. Never sent after a terminal frame."""

    job_id: UUID


ServerFrame = AuthChallenge | AuthOk | AuthFailed | JobStart | JobCancel


class _Type(msgspec.Struct):
    type: str


class _JobId(msgspec.Struct):
    job_id: UUID


_FRAMES = msgspec.json.Decoder(AgentFrame)
_TYPE = msgspec.json.Decoder(_Type)
_JOB_ID = msgspec.json.Decoder(_JobId)
_MODEL = msgspec.json.Decoder(AdvertisedModel)
_TOKENS = msgspec.json.Decoder(dict[str, object])
_ENCODER = msgspec.json.Encoder()
_KNOWN = frozenset(str(kind.__struct_config__.tag) for kind in AgentFrame.__args__)


def decode(text: str) -> AgentFrame | Unknown:
    """Read one frame of an agent. Raises `FrameInvalid`, with the job it belongs to if told."""
    try:
        return _FRAMES.decode(text)
    except msgspec.ValidationError as error:
        kind = _kind_of(text)
        if kind is not None and kind not in _KNOWN:
            return Unknown(type=kind[:64])
        raise FrameInvalid(str(error), _job_of(text)) from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise FrameInvalid(str(error)) from None


def encode(frame: ServerFrame) -> str:
    """Write one frame for an agent."""
    return _ENCODER.encode(frame).decode()


def _kind_of(text: str) -> str | None:
    try:
        return _TYPE.decode(text).type
    except msgspec.DecodeError:
        return None


def _job_of(text: str) -> UUID | None:
    try:
        return _JOB_ID.decode(text).job_id
    except msgspec.DecodeError:
        return None


def advertised(raw: msgspec.Raw) -> AdvertisedModel | None:
    """One entry of `capabilities.models`, or None when it cannot be read."""
    try:
        return _MODEL.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return None


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What the provider says it used; kept beside our own count, never billed."""

    input_tokens: int
    output_tokens: int


def claimed(tokens: msgspec.Raw) -> Claim:
    """Read `job_done.tokens` in either of its spellings; what is missing or odd counts as 0."""
    try:
        told = _TOKENS.decode(tokens)
    except (msgspec.DecodeError, RecursionError):
        told = {}
    return Claim(
        input_tokens=_count(told, "input_tokens", "input"),
        output_tokens=_count(told, "output_tokens", "output"),
    )


def _count(told: dict[str, object], *names: str) -> int:
    for name in names:
        value = told.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _LARGEST_CLAIM:
            return value
    return 0


def is_signed(response: AuthResponse, nonce: bytes) -> bool:
    """Whether the key in the response signed the raw bytes of the nonce."""
    try:
        VerifyKey(response.pubkey).verify(nonce, response.signature)
    except (CryptoError, ValueError, TypeError):
        return False
    return True
