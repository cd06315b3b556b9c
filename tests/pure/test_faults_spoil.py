"""Every fault of a single call: what comes instead of the answer, and whether anybody was asked."""

from typing import Any, get_args

import msgspec
import pytest

from localnet.adversary.error_codes import ERRORS
from localnet.adversary.faults import CallFault, CallKind
from localnet.adversary.spoil import CHANGED, spoiled
from localnet.adversary.wire import Reply, Request, read_request, result_of

LISTING: list[dict[str, Any]] = [
    {"signature": "x", "slot": 5, "err": None, "confirmationStatus": "finalized"},
    {"signature": "y", "slot": 4, "err": {"InstructionError": [0, {"Custom": 1}]}},
]
ASKED_BY = (
    b'{"jsonrpc":"2.0","id":7,"method":"getSignaturesForAddress","params":["who",{"limit":2}]}'
)


class Node:
    """Answers with the listing and counts how often it was asked."""

    def __init__(self, result: object = LISTING) -> None:
        self.asked = 0
        self.body = msgspec.json.encode({"jsonrpc": "2.0", "result": result, "id": 7})

    async def answer(self) -> bytes:
        self.asked += 1
        return self.body


async def reply_of(fault: CallFault, node: Node, earlier: bytes | None = None) -> Reply:
    return await spoiled(fault, read_request(ASKED_BY), node.answer, earlier)


def body_of(reply: Reply) -> dict[str, Any]:
    return msgspec.json.decode(reply.body)


def result(reply: Reply) -> Any:  # noqa: ANN401
    answer = body_of(reply)
    assert answer["id"] == 7
    return answer["result"]


@pytest.mark.parametrize("kind", get_args(CallKind))
async def test_every_kind_comes_out_otherwise_than_a_calm_answer(kind: CallKind) -> None:
    node = Node()
    reply = await reply_of(CallFault(kind=kind), node)
    calm = Reply(body=node.body)
    # A stale answer with nothing earlier to repeat is the answer itself.
    assert (reply == calm) == (kind == "stale")


@pytest.mark.parametrize("seconds", [None, 0, 3])
async def test_http_429_with_and_without_retry_after(seconds: int | None) -> None:
    node = Node()
    reply = await reply_of(CallFault(kind="http-429", retry_after_seconds=seconds), node)
    assert (reply.status, node.asked) == (429, 0)
    assert reply.headers.get("Retry-After") == (None if seconds is None else str(seconds))


@pytest.mark.parametrize(("kind", "code"), [("rpc-429", 429), ("rpc-32429", -32429)])
async def test_429_inside_an_answer(kind: CallKind, code: int) -> None:
    node = Node()
    reply = await reply_of(CallFault(kind=kind), node)
    assert (reply.status, node.asked) == (200, 0)
    assert body_of(reply)["error"]["code"] == code
    assert body_of(reply)["id"] == 7


@pytest.mark.parametrize("status", [500, 502, 503, 504, 418])
async def test_http_errors_are_pages_of_a_gateway(status: int) -> None:
    node = Node()
    reply = await reply_of(CallFault(kind="http-error", status=status), node)
    assert (reply.status, reply.content_type, node.asked) == (status, "text/html", 0)
    assert str(status).encode() in reply.body


@pytest.mark.parametrize("code", [*ERRORS, -32099])
@pytest.mark.parametrize("with_data", [True, False])
async def test_each_error_code_with_and_without_data(code: int, with_data: bool) -> None:
    reply = await reply_of(CallFault(kind="error", code=code, with_data=with_data), Node())
    error = body_of(reply)["error"]
    assert error["code"] == code
    documented = ERRORS.get(code, ("", None))[1]
    assert error.get("data") == (documented if with_data else None)
    assert "data" not in error or documented is not None


def test_every_documented_solana_code_is_there() -> None:
    assert {code for code in ERRORS if -32100 < code <= -32000} == set(range(-32020, -32000))


async def test_bodies_that_are_no_answers() -> None:
    node = Node()
    assert (await reply_of(CallFault(kind="empty"), node)).body == b""
    html = await reply_of(CallFault(kind="html"), node)
    assert (html.status, html.content_type) == (200, "text/html")
    cut = await reply_of(CallFault(kind="truncated"), node)
    assert cut.ending == "whole"
    assert node.body.startswith(cut.body)
    assert 0 < len(cut.body) < len(node.body)
    foreign = body_of(await reply_of(CallFault(kind="foreign"), node))
    assert "jsonrpc" not in foreign
    twice = await reply_of(CallFault(kind="duplicate"), node)
    assert twice.body == node.body * 2
    with pytest.raises(msgspec.DecodeError):
        body_of(twice)


@pytest.mark.parametrize("executed", [True, False])
async def test_answers_that_never_come(executed: bool) -> None:
    """Whether the call was carried out all the same is the script's choice."""
    lost: tuple[tuple[CallKind, str], ...] = (("timeout", "silence"), ("reset-before", "reset"))
    for kind, ending in lost:
        node = Node()
        reply = await reply_of(CallFault(kind=kind, executed=executed), node)
        assert (reply.ending, reply.body, node.asked) == (ending, b"", int(executed))
    node = Node()
    middle = await reply_of(CallFault(kind="reset-middle"), node)
    assert (middle.ending, middle.body, node.asked) == ("cut", node.body, 1)


@pytest.mark.parametrize(("asked", "told"), [(7, 8), ("seven", "another"), (None, "another")])
async def test_the_id_of_another_request(asked: object, told: object) -> None:
    body = msgspec.json.encode({"jsonrpc": "2.0", "result": 1, "id": asked})
    request = Request(method="getSlot", request_id=asked, params=None, body=b"")
    reply = CHANGED["wrong-id"](request, body)
    assert body_of(reply) == {"jsonrpc": "2.0", "result": 1, "id": told}


async def test_null_instead_of_a_result() -> None:
    assert result(await reply_of(CallFault(kind="null"), Node())) is None


async def test_words_of_tomorrow_never_make_a_success_a_failure() -> None:
    first, second = result(await reply_of(CallFault(kind="unknown-enum"), Node()))
    assert first == {**LISTING[0], "confirmationStatus": "notarized"}
    assert second["err"] not in (None, LISTING[1]["err"])
    assert second["signature"] == "y"
    meta = {"meta": {"err": None, "status": {"Ok": None}}, "slot": 5}
    assert result(await reply_of(CallFault(kind="unknown-enum"), Node(meta))) == meta
    failed = {"meta": {"err": "AccountInUse", "status": {"Err": "AccountInUse"}}}
    told = result(await reply_of(CallFault(kind="unknown-enum"), Node(failed)))
    assert told["meta"]["err"] == told["meta"]["status"]["Err"] != "AccountInUse"


async def test_a_listing_that_names_everything_twice() -> None:
    repeated = result(await reply_of(CallFault(kind="repeated"), Node()))
    assert repeated == [LISTING[0], LISTING[0], LISTING[1], LISTING[1]]
    assert result(await reply_of(CallFault(kind="repeated"), Node({"slot": 1}))) == {"slot": 1}


async def test_a_stale_answer_has_the_id_of_today() -> None:
    node = Node()
    assert result(await reply_of(CallFault(kind="stale"), node, b'["old"]')) == ["old"]
    assert node.asked == 0


def test_a_careless_cache_ignores_the_context_slot() -> None:
    def key(limit: int, slot: int) -> bytes:
        config = {"limit": limit, "minContextSlot": slot}
        return Request(method="m", request_id=slot, params=["who", config], body=b"").key()

    assert key(1, 5) == key(1, 6) != key(2, 6)


@pytest.mark.parametrize(
    ("body", "method", "request_id"),
    [
        (ASKED_BY, "getSignaturesForAddress", 7),
        (b"[" + ASKED_BY + b',{"id":8}]', "getSignaturesForAddress", 7),
        (b"[]", "", None),
        (b"{", "", None),
        (b'{"method":5,"id":"x"}', "", "x"),
        (b"[" * 5_000, "", None),
        (b"\xff", "", None),
    ],
)
def test_requests_are_read_as_far_as_they_can_be(
    body: bytes, method: str, request_id: object
) -> None:
    request = read_request(body)
    assert (request.method, request.request_id, request.body) == (method, request_id, body)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"jsonrpc":"2.0","result":{"a":1},"id":1}', b'{"a":1}'),
        (b'{"jsonrpc":"2.0","result":null,"id":1}', b"null"),
        (b'{"jsonrpc":"2.0","error":{"code":1,"message":""},"id":1}', None),
        (b"[]", None),
        (b"", None),
    ],
)
def test_the_result_inside_an_answer(body: bytes, found: bytes | None) -> None:
    assert result_of(body) == found


async def test_batches_are_spoiled_as_a_whole() -> None:
    node = Node()
    node.body = b"[" + node.body + b"," + node.body + b"]"
    wrong = msgspec.json.decode((await reply_of(CallFault(kind="wrong-id"), node)).body)
    assert [one["id"] for one in wrong] == [8, 8]
