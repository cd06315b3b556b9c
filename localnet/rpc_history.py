"""RPC methods that read blocks and transactions."""

from typing import Any, Final

import msgspec
from solders.pubkey import Pubkey

from localnet.cluster import Cluster, Commitment
from localnet.encode import Json, key_roles, parse_inner, transaction_json, version_of
from localnet.engine import decode_transaction
from localnet.history import Entry
from localnet.rpc_accounts import answer
from localnet.rpc_errors import (
    block_not_available,
    cursor_not_found,
    invalid_params,
    slot_skipped,
    unsupported_version,
)
from localnet.rpc_params import (
    TRANSACTION_ENCODINGS,
    Config,
    Params,
    as_bool,
    as_list,
    as_pubkey,
    as_signature,
    as_u64,
    one_of,
)

MAX_SIGNATURES: Final = 1_000
MAX_STATUSES: Final = 256
MAX_BLOCK_RANGE: Final = 500_000
_STATUS_CACHE_SLOTS: Final = 300


class _Wanted:
    """How a caller wants transactions: the encoding, and the newest version he can read."""

    def __init__(self, value: object) -> None:
        # Long ago the second parameter was the encoding itself, and clients still send that.
        config = Config({"encoding": value} if isinstance(value, str) else value)
        self.config = config
        self.commitment: Commitment = config.settled()
        self.encoding = config.encoding(TRANSACTION_ENCODINGS, "json")
        self.max_version = config.u64("maxSupportedTransactionVersion")


def get_transaction(cluster: Cluster, params: Params) -> object:
    """A transaction with its meta; null while it is not settled enough, or unknown."""
    signature = as_signature(params[0])
    wanted = _Wanted(params[1])
    entry = cluster.history.get(signature)
    if entry is None or entry.slot > cluster.bank(wanted.commitment).slot:
        return None
    return {
        "slot": entry.slot,
        **_encoded(cluster, entry, wanted),
        "blockTime": cluster.timeline.time_seconds(entry.slot),
        "transactionIndex": entry.index,
    }


def _encoded(cluster: Cluster, entry: Entry, wanted: _Wanted) -> Json:
    """`transaction`, `meta` and, if a version ceiling was given, `version`."""
    record = cluster.landed(entry)
    transaction = decode_transaction(record.transaction)
    version = version_of(transaction)
    if version is not None and (wanted.max_version is None or version > wanted.max_version):
        raise unsupported_version(version)
    meta: Json = msgspec.json.decode(record.meta)
    keys = [Pubkey.from_bytes(key) for key in record.account_keys]
    static = len(transaction.message.account_keys)
    writable = static + len(meta["loadedAddresses"]["writable"])
    if wanted.encoding == "jsonParsed":
        meta["innerInstructions"] = parse_inner(meta["innerInstructions"], keys)
        del meta["loadedAddresses"]
    loaded = [keys[static:writable], keys[writable:]]
    encoded: Json = {
        "transaction": transaction_json(transaction, record.transaction, wanted.encoding, loaded),
        "meta": meta,
    }
    if wanted.max_version is not None:
        encoded["version"] = "legacy" if version is None else version
    return encoded


def get_block(cluster: Cluster, params: Params) -> object:
    """A block: an error while it is not settled enough, and for ever when its slot is skipped."""
    slot = as_u64(params[0])
    wanted = _Wanted(params[1])
    details = wanted.config.get("transactionDetails")
    level = "full" if details is None else one_of(details, _DETAILS)
    rewards = wanted.config.get("rewards")
    with_rewards = rewards is None or as_bool(rewards)
    timeline = cluster.timeline
    if slot > cluster.bank(wanted.commitment).slot:
        raise block_not_available(slot)
    if not timeline.has_block(slot):
        raise slot_skipped(slot)
    parent = timeline.parent(slot)
    block: Json = {
        "blockhash": str(Pubkey.from_bytes(timeline.blockhash(slot))),
        "previousBlockhash": str(Pubkey.from_bytes(timeline.blockhash(parent))),
        "parentSlot": parent,
        "blockTime": timeline.time_seconds(slot),
        "blockHeight": timeline.height(slot),
    }
    if with_rewards:
        block["rewards"] = []
    return block | _block_transactions(cluster, slot, level, wanted)


_DETAILS: Final = ("full", "accounts", "signatures", "none")


def _block_transactions(cluster: Cluster, slot: int, level: str, wanted: _Wanted) -> Json:
    entries = cluster.history.in_slot(slot)
    match level:
        case "none":
            return {}
        case "signatures":
            return {"signatures": [str(entry.signature) for entry in entries]}
        case "accounts":
            return {"transactions": [_accounts_only(cluster, one, wanted) for one in entries]}
        case _:
            return {"transactions": [_encoded(cluster, entry, wanted) for entry in entries]}


_ACCOUNT_META: Final = (
    "err",
    "status",
    "fee",
    "preBalances",
    "postBalances",
    "preTokenBalances",
    "postTokenBalances",
)


def _accounts_only(cluster: Cluster, entry: Entry, wanted: _Wanted) -> Json:
    encoded = _encoded(cluster, entry, wanted)
    record = cluster.landed(entry)
    transaction = decode_transaction(record.transaction)
    keys = [Pubkey.from_bytes(key) for key in record.account_keys]
    static = len(transaction.message.account_keys)
    meta: Json = msgspec.json.decode(record.meta)
    writable = static + len(meta["loadedAddresses"]["writable"])
    encoded["transaction"] = {
        "signatures": [str(signature) for signature in transaction.signatures],
        "accountKeys": key_roles(transaction, [keys[static:writable], keys[writable:]]),
    }
    encoded["meta"] = {key: meta[key] for key in _ACCOUNT_META}
    return encoded


def get_blocks(cluster: Cluster, params: Params) -> object:
    """The slots with blocks in a range, both ends included."""
    start = as_u64(params[0])
    end = None if params[1] is None or isinstance(params[1], dict) else as_u64(params[1])
    config = Config(params[1]) if isinstance(params[1], dict) else params.config(2)
    newest = config.bank(cluster, config.settled()).slot
    last = min(start + MAX_BLOCK_RANGE if end is None else end, newest)
    if last - start > MAX_BLOCK_RANGE:
        raise invalid_params(f"Slot range too large; max {MAX_BLOCK_RANGE}")
    return [slot for slot in range(start, last + 1) if cluster.timeline.has_block(slot)]


def get_blocks_with_limit(cluster: Cluster, params: Params) -> object:
    """The first slots with blocks from a slot on."""
    start, limit = as_u64(params[0]), as_u64(params[1])
    config = params.config(2)
    newest = config.bank(cluster, config.settled()).slot
    if limit > MAX_BLOCK_RANGE:
        raise invalid_params(f"Limit too large; max {MAX_BLOCK_RANGE}")
    slots = (slot for slot in range(start, newest + 1) if cluster.timeline.has_block(slot))
    return [slot for slot, _ in zip(slots, range(limit), strict=False)]


def get_signatures_for_address(cluster: Cluster, params: Params) -> object:
    """The transactions that name an address, newest first."""
    address, config = as_pubkey(params[0]), params.config(1)
    before, until = _cursor(cluster, config, "before"), _cursor(cluster, config, "until")
    limit = config.u64("limit")
    limit = MAX_SIGNATURES if limit is None else limit
    if not 0 < limit <= MAX_SIGNATURES:
        raise invalid_params(f"Invalid limit; max {MAX_SIGNATURES}")
    bank = config.bank(cluster, config.settled())
    entries = cluster.history.for_address(
        address, up_to_slot=bank.slot, before=_found(before), after=_found(until)
    )
    finalized = cluster.tip.finalized
    return [
        {
            "signature": str(entry.signature),
            "slot": entry.slot,
            "err": entry.err,
            "memo": entry.memo,
            "blockTime": cluster.timeline.time_seconds(entry.slot),
            "confirmationStatus": "finalized" if entry.slot <= finalized else "confirmed",
            "transactionIndex": entry.index,
        }
        for entry, _ in zip(entries, range(limit), strict=False)
    ]


def _cursor(cluster: Cluster, config: Config, key: str) -> Entry | None:
    value = config.get(key)
    if value is None:
        return None
    signature = as_signature(value)
    entry = cluster.history.get(signature)
    if entry is None:
        raise cursor_not_found(str(signature))
    return entry


def _found(entry: Entry | None) -> int | None:
    return None if entry is None else entry.ordinal


def get_signature_statuses(cluster: Cluster, params: Params) -> object:
    """How settled transactions are. Older ones are only found with `searchTransactionHistory`."""
    values = as_list(params[0])
    if len(values) > MAX_STATUSES:
        raise invalid_params(f"Too many inputs provided; max {MAX_STATUSES}")
    signatures = [as_signature(value) for value in values]
    search = params.config(1).boolean("searchTransactionHistory")
    bank = cluster.bank("processed")
    oldest = 0 if search else bank.slot - _STATUS_CACHE_SLOTS
    entries = [cluster.history.get(signature) for signature in signatures]
    return answer(
        bank,
        [
            None if entry is None or entry.slot < oldest else status(cluster, entry)
            for entry in entries
        ],
    )


def status(cluster: Cluster, entry: Entry) -> Json:
    """`TransactionStatus`: null confirmations mean finalized."""
    tip = cluster.tip
    level: Commitment = "processed"
    if entry.slot <= tip.finalized:
        level = "finalized"
    elif entry.slot <= tip.confirmed:
        level = "confirmed"
    result: dict[str, Any] = {"Ok": None} if entry.err is None else {"Err": entry.err}
    return {
        "slot": entry.slot,
        "confirmations": None if level == "finalized" else cluster.slot - entry.slot,
        "err": entry.err,
        "status": result,
        "confirmationStatus": level,
    }
