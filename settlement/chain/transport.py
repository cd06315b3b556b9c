"""JSON-RPC over HTTP to one of several nodes: nothing is believed that is not checked.

One call asks one node. What goes wrong on the way (no connection, a timeout, HTTP 429 or 5xx, HTML,
half a body, the answer to another question, error codes that mean "this node cannot say now") is
`RpcUnavailable`: the node is left alone for a moment and a *read* is asked again of the next one,
with jittered pauses, up to the call's own limits and to a retry budget that all calls share, so
that an outage is not answered with a storm (`node` has the other brakes). An error that a healthy
node gives is `RpcRefused` and is never repeated; nor is anything that sends.
"""

import asyncio
import itertools
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn, TypeVar

import aiohttp
import msgspec

from settlement.chain import answers
from settlement.chain.answers import AnswerMalformed
from settlement.chain.node import NodeLimits, RpcNode
from settlement.errors import Refused, Unavailable

T = TypeVar("T")

LARGEST_ANSWER_BYTES: Final = 64 * 1024 * 1024
MIN_CONTEXT_SLOT_NOT_REACHED: Final = -32016
_NOT_REPEATED: Final = frozenset({"sendTransaction", "requestAirdrop"})
_TOO_MANY: Final = frozenset({429, -32429})  # in the body of an HTTP 200
# Error codes by which a node says: not me, not now. Everything else it answers is an answer.
_NOT_NOW: Final = frozenset(
    {
        *_TOO_MANY,
        -32603,  # internal error
        -32004,  # block not available
        -32005,  # node is behind
        -32014,  # block status not yet available
        MIN_CONTEXT_SLOT_NOT_REACHED,
    }
)
# Of these, what a node in perfect health says: it counts against nobody.
_NOT_YET: Final = frozenset({-32004, -32014, MIN_CONTEXT_SLOT_NOT_REACHED})


class RpcUnavailable(Unavailable):
    """No node gave a usable answer."""


class RpcRefused(Refused):
    """The node refused the request."""

    def __init__(self, *, method: str, error_code: int, text: str, data: object = None) -> None:
        super().__init__(method=method, error_code=error_code, text=text)
        self.error_code = error_code
        self.text = text
        self.data = data


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """How long and how often a read is asked again."""

    attempts: int = 6
    first_pause_seconds: float = 0.1
    longest_pause_seconds: float = 5.0
    total_seconds: float = 30.0
    # Shared by all calls: each call earns a tenth of a retry, each retry costs one.
    budget: float = 30.0
    earned_per_call: float = 0.1


class _Fault(Exception):
    """One failed attempt: a reason for people, and how long the node asked to be left alone."""

    def __init__(
        self, problem: str, *, rest_seconds: float = 0.0, error_code: int | None = None
    ) -> None:
        super().__init__(problem)
        self.rest_seconds = rest_seconds
        self.error_code = error_code


class _Closed(_Fault):
    """It was not even asked: it wants to be left alone, or its breaker is open."""


class JsonRpc:
    """Asks the first healthy node of `urls`, in their order."""

    def __init__(
        self,
        urls: Sequence[str],
        session: aiohttp.ClientSession,
        *,
        retry: RetryPolicy | None = None,
        limits: NodeLimits | None = None,
    ) -> None:
        assert urls, "at least one RPC URL"
        self._nodes = [RpcNode(url=url, limits=limits or NodeLimits()) for url in urls]
        self._session = session
        self._retry = retry or RetryPolicy()
        self._budget = self._retry.budget
        self._ids = itertools.count(1)

    @property
    def sources(self) -> int:
        """How many nodes there are: with one, every result is single-source."""
        return len(self._nodes)

    @property
    def nodes(self) -> tuple[RpcNode, ...]:
        """The nodes and what they have been like, the leading one first."""
        return tuple(self._nodes)

    async def call(
        self, method: str, params: Sequence[object] = (), *, timeout_seconds: float = 10.0
    ) -> object:
        """The raw `result` of one method; reads are repeated, see above.

        Raises `RpcUnavailable` or `RpcRefused`.
        """
        return await self.ask(method, params, lambda result: result, timeout_seconds)

    def prefer_another(self) -> None:
        """Ask the leading node less willingly from now on: it did not have what it should have."""
        self._nodes.append(self._nodes.pop(0))

    async def ask(
        self,
        method: str,
        params: Sequence[object],
        read: Callable[[object], T],
        timeout_seconds: float = 10.0,
    ) -> T:
        """Like `call`, with the result read by `read`: what it finds malformed counts as a fault.

        Raises `RpcUnavailable` or `RpcRefused`.
        """

        def found(method: str, request_id: int, status: int, raw: bytes) -> T:
            return read(_result(method, request_id, status, raw))

        return await self._ask(method, params, found, timeout_seconds)

    async def ask_text(self, method: str, params: Sequence[object]) -> bytes:
        """Like `call`, with the JSON of the result as the node wrote it.

        Raises `RpcUnavailable` or `RpcRefused`.
        """
        return await self._ask(method, params, _result_text, 10.0)

    async def _ask(
        self,
        method: str,
        params: Sequence[object],
        read: Callable[[str, int, int, bytes], T],
        timeout_seconds: float,
    ) -> T:
        """Ask until one node has answered with what `read` makes of one HTTP answer.

        Raises `RpcUnavailable` or `RpcRefused`.
        """
        loop = asyncio.get_running_loop()
        deadline_seconds = loop.time() + self._retry.total_seconds
        self._budget = min(self._retry.budget, self._budget + self._retry.earned_per_call)
        for attempt in itertools.count(1):
            node = self._pick(loop.time())
            started_seconds = loop.time()
            try:
                await _turn(node)
                started_seconds = loop.time()
                found = await self._once(node, method, params, read, timeout_seconds)
            except (_Fault, AnswerMalformed) as fault:
                pause_seconds = self._leave_alone(node, attempt, fault)
                late = loop.time() + pause_seconds > deadline_seconds
                if late or not self._may_repeat(method, attempt):
                    raise _unavailable(method, node, fault, attempt) from fault
                await asyncio.sleep(pause_seconds)
            except RpcRefused:
                node.answered(loop.time() - started_seconds)
                raise
            else:
                node.answered(loop.time() - started_seconds)
                return found
        raise AssertionError("the loop returns or raises")

    def _pick(self, now_seconds: float) -> RpcNode:
        rested = (node for node in self._nodes if node.free_at_seconds() <= now_seconds)
        return next(rested, min(self._nodes, key=RpcNode.free_at_seconds))

    def _may_repeat(self, method: str, attempt: int) -> bool:
        if method in _NOT_REPEATED or attempt >= self._retry.attempts or self._budget < 1:
            return False
        self._budget -= 1
        return True

    def _leave_alone(self, node: RpcNode, attempt: int, fault: Exception) -> float:
        """Mark the node as resting; say how long to wait before the next one may be asked."""
        now_seconds = asyncio.get_running_loop().time()
        ceiling = min(
            self._retry.longest_pause_seconds,
            self._retry.first_pause_seconds * 2 ** (attempt - 1),
        )
        rest_seconds = random.uniform(ceiling / 2, ceiling)
        if isinstance(fault, _Fault) and fault.error_code in _NOT_YET:
            node.put_off(rest_seconds=rest_seconds)
        elif not isinstance(fault, _Closed):
            asked_seconds = fault.rest_seconds if isinstance(fault, _Fault) else 0.0
            node.failed(str(fault), rest_seconds=rest_seconds, asked_seconds=asked_seconds)
        return max(0.0, self._pick(now_seconds).free_at_seconds() - now_seconds)

    async def _once(
        self,
        node: RpcNode,
        method: str,
        params: Sequence[object],
        read: Callable[[str, int, int, bytes], T],
        timeout_seconds: float,
    ) -> T:
        request_id = next(self._ids)
        body = {"jsonrpc": "2.0", "id": request_id, "method": method, "params": list(params)}
        timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        try:
            async with self._session.post(
                node.url, json=body, timeout=timeout, allow_redirects=False
            ) as response:
                status = response.status
                header = response.headers.get("Retry-After")
                if status == 429 or (status == 503 and header is not None):
                    rest_seconds = _retry_after_seconds(header)
                    raise _Fault(f"HTTP {status}", rest_seconds=rest_seconds)
                raw = await _read_limited(response)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            # Not the error's own text: it may carry the URL, and with it a key.
            raise _Fault(type(error).__name__) from error
        try:
            return read(method, request_id, status, raw)
        except _Fault as fault:
            if fault.error_code in _TOO_MANY:
                fault.rest_seconds = _retry_after_seconds(header)
            raise


async def _turn(node: RpcNode) -> None:
    if node.closed_until_seconds() > asyncio.get_running_loop().time():
        problem = node.experience.last_problem
        raise _Closed(f"left alone for a while after: {problem}")
    await node.turn()


def _unavailable(method: str, node: RpcNode, fault: Exception, attempt: int) -> RpcUnavailable:
    details: dict[str, object] = {"node": node.shown, "problem": str(fault), "attempts": attempt}
    if isinstance(fault, _Fault) and fault.error_code is not None:
        details["error_code"] = fault.error_code
    return RpcUnavailable(None, method=method, **details)


def _retry_after_seconds(header: str | None) -> float:
    """Seconds as the header gives them; a date or nonsense counts as one second."""
    if header is not None and header.strip().isascii() and header.strip().isdigit():
        return float(min(int(header.strip()[:6]), 60))
    return 1.0


async def _read_limited(response: aiohttp.ClientResponse) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_chunked(1 << 16):
        chunks.append(chunk)
        size += len(chunk)
        if size > LARGEST_ANSWER_BYTES:
            raise _Fault("the answer is too large")
    return b"".join(chunks)


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


def _result(method: str, request_id: int, status: int, raw: bytes) -> object:
    """The result inside one HTTP answer. Some nodes answer JSON-RPC errors with HTTP 4xx or 5xx."""
    try:
        decoded: object = json.loads(raw, parse_constant=_no_constant)
        answer = answers.fields(decoded, "answer")
    except (ValueError, RecursionError, AnswerMalformed):
        raise _Fault(f"HTTP {status}, not a JSON-RPC answer") from None
    error = answer.get("error")
    named = answer.get("id")
    # An error about a request that was not even read has no id.
    about_this = isinstance(named, int) and named is not True and named == request_id
    if not about_this and (error is None or named is not None):
        raise _Fault("the answer belongs to another request")
    if error is not None:
        _raise_error(method, error)
    if status != 200:
        raise _Fault(f"HTTP {status}")
    if "result" not in answer:
        raise _Fault("neither a result nor an error")
    return answer["result"]


class _Envelope(msgspec.Struct):
    """An answer whose result is left as it is; nothing that is written in it is an empty one."""

    id: int
    result: msgspec.Raw = msgspec.Raw()
    error: object = None


_ENVELOPES: Final = msgspec.json.Decoder(_Envelope)


def _result_text(method: str, request_id: int, status: int, raw: bytes) -> bytes:
    """`_result` as JSON: of a plain answer as the node wrote it, else written again."""
    try:
        found = _ENVELOPES.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = None
    if found is None or found.id != request_id or found.error is not None or status != 200:
        found = None
    text = b"" if found is None else bytes(found.result)
    return text or json.dumps(_result(method, request_id, status, raw)).encode()


def _raise_error(method: str, value: object) -> NoReturn:
    error = answers.fields(value, "error")
    code = error.get("code")
    if not isinstance(code, int) or code in _NOT_NOW:
        known = code if isinstance(code, int) else None
        problem = f"error {code}: {str(error.get('message'))[:200]}"
        raise _Fault(problem, error_code=known)
    message = str(error.get("message", ""))[:500]
    raise RpcRefused(method=method, error_code=code, text=message, data=error.get("data"))
