"""What comes instead of an answer: each fault of a single call, as a reply."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, cast

import msgspec

from localnet.adversary.error_codes import error_body
from localnet.adversary.faults import CallFault, CallKind
from localnet.adversary.wire import Json, Reply, Request

_HTML: Final = "text/html"
_PAGE: Final = (
    "<html>\r\n<head><title>{0}</title></head>\r\n<body>\r\n<center><h1>{0}</h1></center>\r\n"
    "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)
_REASONS: Final[Mapping[int, str]] = {
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Temporarily Unavailable",
    504: "Gateway Time-out",
}
_NEW_ERROR: Final = {"InstructionError": [0, {"ErrorOfTomorrow": 7}]}
_FOREIGN: Final = b'{"status":"success","data":[],"meta":{"page":1}}'
_NEW_STATUS: Final = "notarized"


async def spoiled(
    fault: CallFault,
    request: Request,
    answer: Callable[[], Awaitable[bytes]],
    earlier: bytes | None,
) -> Reply:
    """The reply that the fault makes of a call.

    `answer` carries the call out; faults that stand for a gateway's refusal do not. `earlier` is
    the result (JSON) of an earlier call like this one, for a stale answer.
    """
    refusal = _refusal(fault, request)
    if refusal is not None:
        return refusal
    if fault.kind in ("timeout", "reset-before"):
        if fault.executed:
            await answer()
        return Reply(ending="silence" if fault.kind == "timeout" else "reset")
    if fault.kind == "stale" and earlier is not None:
        return Reply(body=_result(request, msgspec.Raw(earlier)))
    return CHANGED[fault.kind](request, await answer())


def _refusal(fault: CallFault, request: Request) -> Reply | None:
    """Replies for which nobody is asked."""
    match fault.kind:
        case "http-429":
            seconds = fault.retry_after_seconds
            headers = {} if seconds is None else {"Retry-After": str(seconds)}
            return _page(429, headers)
        case "http-error":
            return _page(fault.status, {})
        case "html":
            return _page(200, {})
        case "rpc-429" | "rpc-32429":
            code = 429 if fault.kind == "rpc-429" else -32429
            return Reply(body=_error(request, error_body(code, with_data=True)))
        case "error":
            body = error_body(fault.code, with_data=fault.with_data)
            return Reply(body=_error(request, body))
        case _:
            return None


def _page(status: int, headers: Mapping[str, str]) -> Reply:
    title = f"{status} {_REASONS.get(status, 'Error')}" if status != 200 else "Just a moment..."
    body = _PAGE.format(title).encode()
    return Reply(status=status, body=body, content_type=_HTML, headers=headers)


def _result(request: Request, result: object) -> bytes:
    return msgspec.json.encode({"jsonrpc": "2.0", "result": result, "id": request.request_id})


def _error(request: Request, error: Json) -> bytes:
    return msgspec.json.encode({"jsonrpc": "2.0", "error": error, "id": request.request_id})


def _edited(body: bytes, edit: Callable[[Json], Json]) -> bytes:
    """Every response in a body, changed."""
    if not body:
        return body
    message: object = msgspec.json.decode(body)
    if isinstance(message, list):
        return msgspec.json.encode([edit(one) for one in cast("list[Json]", message)])
    return msgspec.json.encode(edit(cast("Json", message)))


def _wrong_id(response: Json) -> Json:
    asked = response.get("id")
    return {**response, "id": asked + 1 if isinstance(asked, int) else "another"}


def _future(response: Json) -> Json:
    """As a newer node would say it: it names new errors and a new commitment, and invents none."""
    return {
        **response,
        **({"result": _renamed(response["result"])} if "result" in response else {}),
    }


def _renamed(value: object) -> object:
    if isinstance(value, list):
        return [_renamed(item) for item in cast("list[object]", value)]
    if not isinstance(value, dict):
        return value
    renamed = {key: _renamed(item) for key, item in cast("Json", value).items()}
    for key in ("err", "Err"):
        if renamed.get(key) is not None:
            renamed[key] = _NEW_ERROR
    if renamed.get("confirmationStatus") is not None:
        renamed["confirmationStatus"] = _NEW_STATUS
    return renamed


def _repeated(response: Json) -> Json:
    """A listing that names everything twice; other results stay as they are."""
    result = response.get("result")
    if not isinstance(result, list):
        return response
    items = cast("list[object]", result)
    return {**response, "result": [item for item in items for _ in range(2)]}


CHANGED: Final[Mapping[CallKind, Callable[[Request, bytes], Reply]]] = {
    "empty": lambda _request, _body: Reply(),
    "truncated": lambda _request, body: Reply(body=body[: len(body) // 2]),
    "foreign": lambda _request, _body: Reply(body=_FOREIGN),
    "wrong-id": lambda _request, body: Reply(body=_edited(body, _wrong_id)),
    "null": lambda request, _body: Reply(body=_result(request, None)),
    "unknown-enum": lambda _request, body: Reply(body=_edited(body, _future)),
    "reset-middle": lambda _request, body: Reply(body=body, ending="cut"),
    "duplicate": lambda _request, body: Reply(body=body + body),
    "repeated": lambda _request, body: Reply(body=_edited(body, _repeated)),
    "stale": lambda _request, body: Reply(body=body),
}
"""Replies that are made of the true answer; every other kind is answered without it."""
