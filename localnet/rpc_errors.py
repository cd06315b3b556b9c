"""Errors of the JSON-RPC protocol, with a node's codes, messages and data."""

from typing import Final

from localnet.transaction_errors import describe

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602


class RpcError(Exception):
    """The answer is an error object with this code, message and data."""

    def __init__(self, code: int, message: str, data: object = None) -> None:
        """`data` is left out of the answer when it is None."""
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data

    def body(self) -> dict[str, object]:
        """The `error` member of the answer."""
        body: dict[str, object] = {"code": self.code, "message": self.message}
        if self.data is not None:
            body["data"] = self.data
        return body


def invalid_params(message: str) -> RpcError:
    """The parameters are wrong; the message says which and why."""
    return RpcError(INVALID_PARAMS, message)


def preflight_failure(result: dict[str, object]) -> RpcError:
    """Simulation failed before sending; `result` is the simulation as `simulateTransaction`."""
    message = f"Transaction simulation failed: {describe(result['err'])}"
    return RpcError(-32002, message, result)


def signature_verification_failure() -> RpcError:
    """A signature does not fit the message."""
    return RpcError(-32003, "Transaction signature verification failure")


def block_cleaned_up(slot: int, first: int) -> RpcError:
    """The block is older than what this node keeps."""
    return RpcError(
        -32001,
        f"Block {slot} cleaned up, does not exist on node. First available block: {first}",
    )


def block_not_available(slot: int) -> RpcError:
    """The block is not there yet at this commitment."""
    return RpcError(-32004, f"Block not available for slot {slot}")


def slot_skipped(slot: int) -> RpcError:
    """There will never be a block in this slot."""
    return RpcError(
        -32007, f"Slot {slot} was skipped, or missing due to ledger jump to recent snapshot"
    )


def unsupported_version(version: int) -> RpcError:
    """The transaction is newer than the client said it can read."""
    return RpcError(
        -32015,
        f"Transaction version ({version}) is not supported by the requesting client. Please try"
        " the request again with the following configuration parameter:"
        f' "maxSupportedTransactionVersion": {version}',
    )


def min_context_slot_not_reached(slot: int) -> RpcError:
    """The bank that would answer is older than the caller wants."""
    return RpcError(-32016, "Minimum context slot has not been reached", {"contextSlot": slot})


def cursor_not_found(signature: str) -> RpcError:
    """The `before` or `until` signature is unknown (Agave 4.0 and later)."""
    return RpcError(-32020, f"Transaction {signature} not found")
