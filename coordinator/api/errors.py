"""The one table from errors to HTTP, and the envelope they travel in.

    {"error": {"type", "message", "code", "param", "details"}}

`type` and the statuses are those that existing clients read (wire.md §5.7). Routes for hosts and
for wallets say the message twice, at the top level too, because that is where their clients look.
"""

from dataclasses import dataclass

import msgspec

from coordinator import callers, conclude, dispatch, limits, match, pairings
from coordinator.api import body
from coordinator.api.payments import refusals
from coordinator.transcode.request import BodyInvalid
from settlement.charges import InsufficientBalance
from settlement.db.pool import TRANSIENT, DatabaseUnavailable
from settlement.errors import Conflict, NotFound, PodError, Refused, Unavailable
from settlement.withdrawals import UserWithdrawalsOff

_BY_LEAF: dict[type[PodError], tuple[int, str]] = {
    callers.TokenMalformed: (401, "unauthorized"),
    callers.TokenNotActivated: (401, "unauthorized"),
    callers.HostTokenInvalid: (401, "unauthorized"),
    InsufficientBalance: (402, "insufficient_balance"),
    match.NoProviderAtPrice: (402, "no_provider_at_price"),
    match.NoProvider: (503, "no_provider"),
    match.PinUnavailable: (503, "no_provider"),
    limits.TooManyRequests: (429, "rate_limited"),
    body.BodyTooLarge: (413, "bad_request"),
    body.MethodNotAllowed: (405, "method_not_allowed"),
    body.BodyTimeout: (408, "bad_request"),
    BodyInvalid: (400, "bad_request"),
    match.RoutingHeaderInvalid: (400, "bad_request"),
    dispatch.BackendRefused: (400, "bad_request"),
    pairings.PairCodeUnknown: (404, "not_found"),
    conclude.AnswerUnsettled: (503, "unavailable"),
    refusals.NotTheBeneficiary: (403, "forbidden"),
    UserWithdrawalsOff: (403, "forbidden"),
    refusals.NoUsdcAccount: (402, "insufficient_funds"),
    refusals.UsdcAccountFrozen: (402, "insufficient_funds"),
    refusals.TooLittleUsdc: (402, "insufficient_funds"),
    refusals.TooLittleSol: (402, "insufficient_funds"),
}
_BY_KIND: dict[type[PodError], tuple[int, str]] = {
    Refused: (400, "bad_request"),
    Conflict: (409, "conflict"),
    NotFound: (404, "not_found"),
    Unavailable: (503, "unavailable"),
}
# What a client may be told beside the message; the rest is for our own logs.
_TOLD = frozenset(
    {
        "field",
        "got",
        "valid",
        "problem",
        "model",
        "pinned",
        "limit_bytes",
        "retry_after_seconds",
        "available_microusdc",
        "required_microusdc",
        "available_lamports",
        "required_lamports",
        "suggested_min_input_per_1m",
        "suggested_min_output_per_1m",
        "smallest_microusdc",
        "limit_microusdc",
        "left_microusdc",
        "state",
    }
)
_ENCODE = msgspec.json.Encoder(enc_hook=str).encode


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An error as a response."""

    status: int
    body: bytes
    headers: dict[str, str]


def answer(error: PodError, *, twice: bool = False) -> Answer:
    """Turn an error into a response."""
    status, kind = _row(error)
    message = _message(error, status)
    details = {key: value for key, value in error.details.items() if key in _TOLD}
    if isinstance(error, DatabaseUnavailable):
        details = {}
    told: dict[str, object] = {
        "type": kind,
        "message": message,
        "code": error.code if status in (400, 409) else kind,
        "param": details.get("field"),
    }
    if details:
        told["details"] = details
    envelope: dict[str, object] = {"error": told}
    if twice:
        envelope["message"] = message
    return Answer(status=status, body=_ENCODE(envelope), headers=_headers(status, details))


def of_http(status: int, *, twice: bool = False) -> Answer:
    """What the router itself refuses: an unknown path, a method a path does not have."""
    kinds = {404: "not_found", 405: "method_not_allowed"}
    kind = kinds.get(status, "bad_request" if status < 500 else "internal")
    message = {404: "there is nothing at this path", 405: "this path has no such method"}.get(
        status, "the request could not be served"
    )
    envelope: dict[str, object] = {
        "error": {"type": kind, "message": message, "code": kind, "param": None}
    }
    if twice:
        envelope["message"] = message
    return Answer(status=status, body=_ENCODE(envelope), headers={})


def translated(error: BaseException) -> PodError | None:
    """An error of ours, or what a lost database looks like; None for a bug."""
    if isinstance(error, PodError):
        return error
    return DatabaseUnavailable() if isinstance(error, TRANSIENT) else None


def _row(error: PodError) -> tuple[int, str]:
    for kind in type(error).__mro__:
        found = _BY_LEAF.get(kind) or _BY_KIND.get(kind)
        if found is not None:
            return found
    raise AssertionError("every error has one of the four kinds")


def _message(error: PodError, status: int) -> str:
    if status != 400:
        return error.message
    told = error.message
    extra = [
        f"{key}={error.details[key]}"
        for key in ("field", "problem", "got", "valid")
        if key in error.details and str(error.details[key]) not in told
    ]
    return f"bad request: {told}" + (f" ({', '.join(extra)})" if extra else "")


def _headers(status: int, details: dict[str, object]) -> dict[str, str]:
    wait = details.get("retry_after_seconds", 1)
    return {"retry-after": str(wait)} if status in (429, 503) else {}
