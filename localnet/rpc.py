"""JSON-RPC over HTTP as a node speaks it: framing, batches, and the table of methods."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any, Final, cast

import msgspec
import structlog

from localnet import rpc_accounts, rpc_chain, rpc_history, rpc_send
from localnet.cluster import Cluster
from localnet.encode import Json
from localnet.rpc_errors import (
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    RpcError,
)
from localnet.rpc_params import Params

Handler = Callable[[Cluster, Params], object | Awaitable[object]]
_log = structlog.get_logger()


@dataclass(frozen=True)
class Method:
    """What answers a method, and how many parameters it takes."""

    handler: Handler
    at_least: int
    at_most: int


READING: Final[Mapping[str, Method]] = {
    "getHealth": Method(rpc_chain.get_health, 0, 0),
    "getVersion": Method(rpc_chain.get_version, 0, 0),
    "getGenesisHash": Method(rpc_chain.get_genesis_hash, 0, 0),
    "getFirstAvailableBlock": Method(rpc_chain.get_first_available_block, 0, 0),
    "minimumLedgerSlot": Method(rpc_chain.get_first_available_block, 0, 0),
    "getEpochInfo": Method(rpc_chain.get_epoch_info, 0, 1),
    "getSlot": Method(rpc_chain.get_slot, 0, 1),
    "getBlockHeight": Method(rpc_chain.get_block_height, 0, 1),
    "getTransactionCount": Method(rpc_chain.get_transaction_count, 0, 1),
    "getLatestBlockhash": Method(rpc_chain.get_latest_blockhash, 0, 1),
    "isBlockhashValid": Method(rpc_chain.is_blockhash_valid, 1, 2),
    "getRecentPrioritizationFees": Method(rpc_chain.get_recent_prioritization_fees, 0, 1),
    "getFeeForMessage": Method(rpc_chain.get_fee_for_message, 1, 2),
    "getBlockTime": Method(rpc_chain.get_block_time, 1, 1),
    "getAccountInfo": Method(rpc_accounts.get_account_info, 1, 2),
    "getMultipleAccounts": Method(rpc_accounts.get_multiple_accounts, 1, 2),
    "getBalance": Method(rpc_accounts.get_balance, 1, 2),
    "getTokenAccountBalance": Method(rpc_accounts.get_token_account_balance, 1, 2),
    "getTokenSupply": Method(rpc_accounts.get_token_supply, 1, 2),
    "getTokenAccountsByOwner": Method(rpc_accounts.get_token_accounts_by_owner, 2, 3),
    "getProgramAccounts": Method(rpc_accounts.get_program_accounts, 1, 2),
    "getMinimumBalanceForRentExemption": Method(
        rpc_accounts.get_minimum_balance_for_rent_exemption, 1, 2
    ),
    "getTransaction": Method(rpc_history.get_transaction, 1, 2),
    "getBlock": Method(rpc_history.get_block, 1, 2),
    "getBlocks": Method(rpc_history.get_blocks, 1, 3),
    "getBlocksWithLimit": Method(rpc_history.get_blocks_with_limit, 2, 3),
    "getSignaturesForAddress": Method(rpc_history.get_signatures_for_address, 1, 2),
    "getSignatureStatuses": Method(rpc_history.get_signature_statuses, 1, 2),
    "simulateTransaction": Method(rpc_send.simulate_transaction, 1, 2),
    "sendTransaction": Method(rpc_send.send_transaction, 1, 2),
    "localnet_advanceClock": Method(rpc_send.advance_clock, 1, 1),
}


def methods_with(faucet: rpc_send.Faucet) -> dict[str, Method]:
    """All methods of the HTTP endpoint."""
    return {**READING, "requestAirdrop": Method(faucet.request_airdrop, 2, 3)}


class Dispatcher:
    """Answers JSON-RPC messages by a table of methods."""

    def __init__(
        self,
        cluster: Cluster,
        methods: Mapping[str, Method],
        *,
        observe: Callable[[str, str], None],
        fail: Callable[[BaseException], None],
    ) -> None:
        """`observe` is told each method and outcome; `fail` gets what the chain cannot survive."""
        self._cluster = cluster
        self._methods = methods
        self._observe = observe
        self._fail = fail

    async def answer(self, body: bytes) -> bytes:
        """The response to a request or a batch; empty when nothing was asked."""
        try:
            message = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return _encode(_error(None, RpcError(PARSE_ERROR, "Parse error")))
        if not isinstance(message, list):
            response = await self._answer_one(message)
            return b"" if response is None else _encode(response)
        batch = cast("list[object]", message)
        if not batch:
            return _encode(_error(None, RpcError(INVALID_REQUEST, "Invalid request")))
        responses = [await self._answer_one(one) for one in batch]
        told = [response for response in responses if response is not None]
        return _encode(told) if told else b""

    async def _answer_one(self, message: object) -> Json | None:
        """A response, or None for a notification."""
        if not isinstance(message, dict):
            return _error(None, RpcError(INVALID_REQUEST, "Invalid request"))
        request = cast("dict[str, Any]", message)
        request_id, name = request.get("id"), request.get("method")
        problem = _malformed(request)
        if problem is not None:
            return _error(None, problem)
        assert isinstance(name, str)
        response = await self._call(name, request.get("params"))
        self._observe(
            name if name in self._methods else "unknown",
            "error" if isinstance(response, RpcError) else "ok",
        )
        if "id" not in request:
            return None
        if isinstance(response, RpcError):
            return _error(request_id, response)
        return {"jsonrpc": "2.0", "result": response, "id": request_id}

    async def _call(self, name: str, params: object) -> object:
        """The result; an `RpcError` is returned, not raised."""
        method = self._methods.get(name)
        if method is None:
            return RpcError(METHOD_NOT_FOUND, "Method not found")
        try:
            given = Params(params, method.at_least, method.at_most)
            result = method.handler(self._cluster, given)
            return await cast("Awaitable[object]", result) if isawaitable(result) else result
        except RpcError as error:
            return error
        except Exception as error:
            _log.exception("call failed", method=name)
            if isinstance(error, OSError):
                # A transaction may have been executed and not written: nothing after it is true.
                self._fail(error)
            return RpcError(-32603, "Internal error")


def _malformed(request: Mapping[str, object]) -> RpcError | None:
    if request.get("jsonrpc") != "2.0":
        return RpcError(INVALID_REQUEST, "Unsupported JSON-RPC protocol version")
    request_id = request.get("id")
    is_id = request_id is None or (
        isinstance(request_id, str | int) and not isinstance(request_id, bool)
    )
    if not is_id or not isinstance(request.get("method"), str):
        return RpcError(INVALID_REQUEST, "Invalid request")
    return None


def _error(request_id: object, error: RpcError) -> Json:
    return {"jsonrpc": "2.0", "error": error.body(), "id": request_id}


def _encode(message: object) -> bytes:
    return msgspec.json.encode(message)
