"""The bytes themselves, as curl would see them: status lines, headers once each, framing."""

import asyncio
import json
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

import pytest

from localnet.backend_answers import Behaviour
from tests.wire.market import Json, Market, User

FUNDS = 1_000_000
ALWAYS_ONCE = ("x-request-id", "x-pod-route", "x-pod-provider-id", "x-balance-remaining")


@dataclass(frozen=True, kw_only=True)
class Raw:
    """One response, unparsed but split."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def one(self, name: str) -> str:
        """The header's value. Raises AssertionError unless it is there exactly once."""
        found = [value for key, value in self.headers if key == name]
        assert len(found) == 1, (name, self.headers)
        return found[0]

    def json(self) -> Json:
        """The body as JSON."""
        return cast(Json, json.loads(self.body))


async def exchange(market: Market, request: bytes) -> Raw:
    """Send bytes on a connection of their own; read until the server closes it."""
    where = urlsplit(market.url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    try:
        writer.write(request)
        answer = await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()
        await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = [line.partition(":") for line in lines]
    headers = [(name.strip().lower(), value.strip()) for name, _, value in pairs]
    if ("transfer-encoding", "chunked") in headers:
        body = unchunked(body)
    return Raw(status=int(first.split()[1]), headers=headers, body=body)


def unchunked(body: bytes) -> bytes:
    """Take chunked framing off. Raises AssertionError when it does not end as it must."""
    out = b""
    while True:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        if length == 0:
            assert body == b"\r\n", "the last chunk ends the response"
            return out
        out, body = out + body[:length], body[length + 2 :]


def post(path: str, body: object, *extra: str) -> bytes:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: coordinator.test",
        "Connection: close",
        "Content-Type: application/json",
        f"Content-Length: {len(raw)}",
        *extra,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + raw


def chat_path(user: User) -> str:
    return f"/proxy/{user.token}/v1/chat/completions"


def asking(**options: object) -> Json:
    return {"model": "tiny-chat", "messages": [{"role": "user", "content": "8 words"}], **options}


@pytest.fixture
async def user(market: Market) -> User:
    await market.provider({"tiny-chat": Behaviour()})
    return await market.user(funds_microusdc=FUNDS)


async def test_a_whole_answer(market: Market, user: User) -> None:
    answer = await exchange(market, post(chat_path(user), asking()))
    assert answer.status == 200
    assert answer.one("content-type") == "application/json"
    assert answer.one("content-length") == str(len(answer.body))
    for name in ALWAYS_ONCE:
        answer.one(name)
    assert answer.one("x-pod-route") == "marketplace"
    names = [name for name, _ in answer.headers]
    assert len(names) == len(set(names)), names
    left = await market.balance(user)
    assert answer.one("x-balance-remaining") == str(left)
    usage = cast(Json, answer.json()["usage"])
    assert usage["cost"] == pytest.approx((FUNDS - left) / 1_000_000)


async def test_a_stream(market: Market, user: User) -> None:
    request = post(chat_path(user), asking(stream=True), "Accept: text/event-stream")
    answer = await exchange(market, request)
    assert answer.status == 200
    assert answer.one("content-type").startswith("text/event-stream")
    assert answer.one("cache-control") == "no-cache"
    for name in ALWAYS_ONCE:
        answer.one(name)
    assert answer.one("x-balance-remaining") == str(FUNDS), "the price is not known yet"
    names = [name for name, _ in answer.headers]
    assert len(names) == len(set(names)), names
    events = answer.body.decode().split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    assert answer.body.count(b"[DONE]") == 1
    for event in events[:-2]:
        chunk = cast(Json, json.loads(event.removeprefix("data: ")))
        assert chunk["object"] == "chat.completion.chunk"
        assert chunk["choices"]


IGNORED = [
    "Authorization: Bearer UsePod",
    "Authorization: Payment abc",
    "x-api-key: anything",
    "X-Pod-No-Retention: true",
    "x-request-id: mine",
]


async def test_credentials_in_headers_are_ignored(market: Market, user: User) -> None:
    for header in IGNORED:
        answer = await exchange(market, post(chat_path(user), asking(), header))
        assert answer.status == 200, header
        answer.one("x-request-id")


BAD_BODIES = [
    b"",
    b"{",
    b"[]",
    b"null",
    b'"x"',
    b"\xff\xfe",
    b'{"model":"tiny-chat"}',
    b'{"messages":[]}',
    b'{"model":"tiny-chat","messages":[{"role":"user","content":"\xff"}]}',
    b"[" * 100_000,
]


async def test_bad_bodies_are_told_apart_from_bad_servers(market: Market, user: User) -> None:
    for body in BAD_BODIES:
        answer = await exchange(market, post(chat_path(user), body))
        assert answer.status == 400, body[:50]
        error = cast(Json, answer.json()["error"])
        assert error["type"] == "bad_request"
        assert str(error["message"]).startswith("bad request: ")
        answer.one("x-request-id")
        answer.one("content-type")
    assert await market.balance(user) == FUNDS


async def test_wrong_paths_and_methods(market: Market, user: User) -> None:
    for path in (
        f"/proxy/{user.token}/v1/v1/chat/completions",
        f"/proxy/{user.token}/v1/v1/messages",
        f"/proxy/{user.token}/chat/completions",
        "/proxy//v1/chat/completions",
        "/v1/chat/completions",
        "/nowhere",
    ):
        answer = await exchange(market, post(path, asking()))
        assert answer.status == 404, path
        assert cast(Json, answer.json()["error"])["type"] == "not_found"
    get = f"GET {chat_path(user)} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    answer = await exchange(market, get)
    assert answer.status == 405
    assert answer.one("allow") == "POST"


async def test_two_requests_on_one_connection(market: Market, user: User) -> None:
    first = post(chat_path(user), asking()).replace(b"Connection: close\r\n", b"")
    answers = await exchange(market, first + post(chat_path(user), asking(stream=True)))
    assert answers.status == 200
    assert answers.body.count(b"HTTP/1.1 200") == 1
    assert answers.body.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")


async def test_a_chunked_request_body_is_read(market: Market, user: User) -> None:
    raw = json.dumps(asking()).encode()
    head, _, _ = post(chat_path(user), b"").partition(b"Content-Length")
    half = len(raw) // 2
    parts = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (raw[:half], raw[half:]))
    request = head + b"Transfer-Encoding: chunked\r\n\r\n" + parts + b"0\r\n\r\n"
    assert (await exchange(market, request)).status == 200
