"""Asking a node through solana-py: an answer, or a `Failure` that says what went wrong.

`Unreachable` means that nothing is known; `Refused` that the chain looked and said no, with the
error's name from the IDL where it is one of the program's.
"""

import json
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import httpx
from anchorpy import Program
from anchorpy.error import ProgramError
from encode import errors_by_number
from failure import Failure, malformed
from request import OFFLINE, Fields
from solana.exceptions import SolanaRpcException
from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Confirmed
from solana.rpc.core import RPCException
from solders.errors import SerdeJSONError
from solders.rpc.errors import SendTransactionPreflightFailureMessage
from solders.transaction_status import TransactionErrorFieldless, TransactionErrorType

Answer = TypeVar("Answer")
_CALL_SECONDS = 15.0
_NO_NODE = "http://127.0.0.1:0"  # never asked: encoding needs none


@asynccontextmanager
async def connected(request: Fields) -> AsyncGenerator[AsyncClient]:
    """The node that the request names; nothing is asked yet."""
    url = _NO_NODE if request.text("do") in OFFLINE else request.text("rpc")
    if not url.startswith(("http://", "https://")):
        raise malformed("request.rpc is no http URL")
    try:
        connection = AsyncClient(url, Confirmed, timeout=_CALL_SECONDS)
        async with connection:
            yield connection
    except httpx.InvalidURL as error:
        raise malformed(f"request.rpc: {error}") from None


async def asked(program: Program, call: Awaitable[Answer]) -> Answer:
    """The answer of one call. Raises `Failure`: `Unreachable` or `Refused`."""
    try:
        return await call
    except SolanaRpcException as error:
        raise Failure("Unreachable", f"the node does not answer: {error.__cause__!r}") from None
    except SerdeJSONError as error:
        raise Failure("Unreachable", f"not the answer of a node: {error}") from None
    except RPCException as error:
        message = error.args[0] if error.args else error
        if isinstance(message, SendTransactionPreflightFailureMessage):
            told = message.data
            if told.err is not None:
                raise refused(program, told.err, told.logs or []) from None
        raise Failure("Refused", _text_of(message), facts={"name": None, "err": None}) from None


def _text_of(message: object) -> str:
    return str(getattr(message, "message", message))


def refused(
    program: Program,
    error: TransactionErrorType,
    logs: Sequence[str],
    *,
    signature: str | None = None,
) -> Failure:
    """Why the chain would not, or did not, carry it out; `error` is solders' own."""
    names = errors_by_number(program)
    parsed = ProgramError.parse_tx_error(error, names, program.program_id, list(logs))
    number = None if parsed is None or parsed.code not in names else parsed.code
    facts: dict[str, object] = {
        "name": None if number is None else names[number],
        "number": number,
        "err": error_in_json(error),
        "logs": list(logs),
        "signature": signature,
    }
    message = f"the chain refused it: {error_in_json(error)}" if parsed is None else str(parsed)
    return Failure("Refused", message, facts=facts)


def error_in_json(error: TransactionErrorType) -> object:
    """solders' transaction error as a node writes it."""
    if isinstance(error, TransactionErrorFieldless):
        return str(error).rpartition(".")[2]
    name = type(error).__name__.removeprefix("TransactionError")
    return {name: json.loads(error.to_json())}
