"""The error objects that a Solana node documents, each with the data it is said to have."""

from collections.abc import Mapping
from typing import Final

_EXAMPLE_SLOT: Final = 1
ERRORS: Final[Mapping[int, tuple[str, object]]] = {
    -32001: ("Block 1 cleaned up, does not exist on node. First available block: 2", None),
    -32002: (
        "Transaction simulation failed: Blockhash not found",
        {
            "err": "BlockhashNotFound",
            "logs": [],
            "accounts": None,
            "unitsConsumed": 0,
            "returnData": None,
            "innerInstructions": None,
        },
    ),
    -32003: ("Transaction signature verification failure", None),
    -32004: ("Block not available for slot 1", None),
    -32005: ("Node is behind by 42 slots", {"numSlotsBehind": 42}),
    -32006: ("Transaction precompile verification failure InvalidAccountIndex", None),
    -32007: ("Slot 1 was skipped, or missing due to ledger jump to recent snapshot", None),
    -32008: ("No snapshot", None),
    -32009: ("Slot 1 was skipped, or missing in long-term storage", None),
    -32010: (
        "11111111111111111111111111111111 excluded from account secondary indexes;"
        " this RPC method unavailable for key",
        {"indexKey": "11111111111111111111111111111111"},
    ),
    -32011: ("Transaction history is not available from this node", None),
    -32012: ("scan aborted: The accumulated scan results exceeded the limit", None),
    -32013: ("Transaction signature length mismatch", None),
    -32014: ("Block status not yet available for slot 1", None),
    -32015: (
        "Transaction version (1) is not supported by the requesting client. Please try the request"
        ' again with the following configuration parameter: "maxSupportedTransactionVersion": 1',
        None,
    ),
    -32016: ("Minimum context slot has not been reached", {"contextSlot": _EXAMPLE_SLOT}),
    -32017: (
        "Epoch rewards period still active at slot 1",
        {"currentBlockHeight": 1, "rewardsCompleteBlockHeight": 2, "slot": _EXAMPLE_SLOT},
    ),
    -32018: (
        "Rewards cannot be found because slot 1 is not the epoch boundary. This may be due to gap"
        " in the queried node's local ledger or long-term storage",
        {"slot": _EXAMPLE_SLOT},
    ),
    -32019: ("Failed to query long-term storage; please try again", None),
    -32020: ("Transaction 1111111111111111111111111111111111111111111111111111111111111111"
             " not found", None),
    -32429: ("Too many requests for a specific RPC call", None),
    -32603: ("Internal error", None),
    429: ("Too many requests", {"trace_id": "00000000000000000000000000000000"}),
}  # fmt: skip
"""By code: what it says and, where it is documented to have any, its data."""


def error_body(code: int, *, with_data: bool) -> dict[str, object]:
    """An error object. An unknown code is one that clients do not know either."""
    message, data = ERRORS.get(code, ("Something newer than this client", None))
    body: dict[str, object] = {"code": code, "message": message}
    if with_data and data is not None:
        body["data"] = data
    return body
