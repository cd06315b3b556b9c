"""RPC methods about the chain itself: health, slots, blockhashes, fees."""

from typing import Final

from solders.message import Message, MessageV0, MessageV1, from_bytes_versioned
from solders.pubkey import Pubkey

from localnet.cluster import Bank, Cluster
from localnet.encode import Json
from localnet.rpc_accounts import answer
from localnet.rpc_errors import invalid_params
from localnet.rpc_params import Params, as_hash, as_list, as_pubkey, as_u64, as_wire
from localnet.timeline import MAX_PROCESSING_AGE, SLOTS_PER_EPOCH

VERSION: Final = "4.0.0"
LAMPORTS_PER_SIGNATURE: Final = 5_000
MAX_ACCOUNT_LOCKS: Final = 128
_COMPUTE_BUDGET: Final = Pubkey.from_string("ComputeBudget111111111111111111111111111111")
_BUILTINS: Final = {
    _COMPUTE_BUDGET,
    Pubkey.default(),
    Pubkey.from_string("Vote111111111111111111111111111111111111111"),
    Pubkey.from_string("BPFLoaderUpgradeab1e11111111111111111111111"),
    Pubkey.from_string("BPFLoader2111111111111111111111111111111111"),
    Pubkey.from_string("BPFLoader1111111111111111111111111111111111"),
    Pubkey.from_string("LoaderV411111111111111111111111111111111111"),
}
_BUILTIN_UNITS: Final = 3_000
_PROGRAM_UNITS: Final = 200_000
_MAX_UNITS: Final = 1_400_000
_SET_LIMIT, _SET_PRICE = 2, 3


def get_health(_cluster: Cluster, _params: Params) -> object:
    """A node that answers is healthy."""
    return "ok"


def get_version(_cluster: Cluster, _params: Params) -> object:
    """The version of the protocol that is spoken."""
    return {"solana-core": VERSION, "feature-set": 0}


def get_genesis_hash(cluster: Cluster, _params: Params) -> object:
    """What tells this chain from every other."""
    return str(Pubkey.from_bytes(cluster.timeline.genesis_hash))


def get_first_available_block(_cluster: Cluster, _params: Params) -> object:
    """Nothing is ever pruned."""
    return 0


def get_epoch_info(cluster: Cluster, params: Params) -> object:
    """Where in its epoch the chain is."""
    slot = params.config(0).bank(cluster).slot
    return {
        "absoluteSlot": slot,
        "blockHeight": cluster.timeline.height(slot),
        "epoch": slot // SLOTS_PER_EPOCH,
        "slotIndex": slot % SLOTS_PER_EPOCH,
        "slotsInEpoch": SLOTS_PER_EPOCH,
        "transactionCount": cluster.history.count_up_to(slot),
    }


def get_slot(cluster: Cluster, params: Params) -> object:
    """The newest slot of a commitment."""
    return params.config(0).bank(cluster).slot


def get_block_height(cluster: Cluster, params: Params) -> object:
    """How many blocks are below the newest of a commitment."""
    return cluster.timeline.height(params.config(0).bank(cluster).slot)


def get_transaction_count(cluster: Cluster, params: Params) -> object:
    """All transactions up to the newest slot of a commitment."""
    return cluster.history.count_up_to(params.config(0).bank(cluster).slot)


def last_valid_block_height(cluster: Cluster, bank: Bank) -> int:
    """Up to which height the newest blockhash of a bank may be used."""
    return cluster.timeline.height(bank.slot) + MAX_PROCESSING_AGE


def get_latest_blockhash(cluster: Cluster, params: Params) -> object:
    """The newest blockhash that a bank accepts."""
    bank = params.config(0).bank(cluster)
    blockhash = Pubkey.from_bytes(cluster.timeline.blockhash(bank.newest_block))
    return answer(
        bank,
        {
            "blockhash": str(blockhash),
            "lastValidBlockHeight": last_valid_block_height(cluster, bank),
        },
    )


def is_blockhash_valid(cluster: Cluster, params: Params) -> object:
    """Whether a bank would accept a blockhash."""
    blockhash = as_hash(params[0])
    bank = params.config(1).bank(cluster)
    return answer(bank, cluster.blockhashes.is_valid(bytes(blockhash), bank.newest_block))


def get_recent_prioritization_fees(cluster: Cluster, params: Params) -> object:
    """Nobody needs to pay for priority here: 0 for each of the last 150 blocks."""
    addresses = [] if params[0] is None else as_list(params[0])
    if len(addresses) > MAX_ACCOUNT_LOCKS:
        raise invalid_params(f"Too many inputs provided; max {MAX_ACCOUNT_LOCKS}")
    for address in addresses:
        as_pubkey(address)
    fees: list[Json] = []
    slot = cluster.tip.complete
    while slot > 0 and len(fees) < MAX_PROCESSING_AGE:
        fees.append({"slot": slot, "prioritizationFee": 0})
        slot = cluster.timeline.parent(slot)
    return fees[::-1]


def get_fee_for_message(cluster: Cluster, params: Params) -> object:
    """Lamports a message will cost; null when its blockhash is not valid."""
    wire = as_wire(params[0], "base64", "VersionedMessage")
    bank = params.config(1).bank(cluster)
    message = _message(wire)
    is_valid = cluster.blockhashes.is_valid(bytes(message.recent_blockhash), bank.newest_block)
    return answer(bank, fee(message) if is_valid else None)


def _message(wire: bytes) -> Message | MessageV0 | MessageV1:
    try:
        return from_bytes_versioned(wire)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # the binding panics on some malformed input
        raise invalid_params(f"failed to deserialize VersionedMessage: {error}") from None


def fee(message: Message | MessageV0 | MessageV1) -> int:
    """Signatures and priority, in lamports."""
    base = message.header.num_required_signatures * LAMPORTS_PER_SIGNATURE
    if isinstance(message, MessageV1):
        return base + (message.config.priority_fee or 0)
    keys = message.account_keys
    limit, price, default_units = None, 0, 0
    for instruction in message.instructions:
        index = instruction.program_id_index
        program = keys[index] if index < len(keys) else None
        default_units += _BUILTIN_UNITS if program in _BUILTINS else _PROGRAM_UNITS
        data = bytes(instruction.data)
        if program == _COMPUTE_BUDGET and data[:1] == bytes([_SET_LIMIT]):
            limit = int.from_bytes(data[1:5], "little")
        if program == _COMPUTE_BUDGET and data[:1] == bytes([_SET_PRICE]):
            price = int.from_bytes(data[1:9], "little")
    units = min(default_units if limit is None else limit, _MAX_UNITS)
    return base + -(-units * price // 1_000_000)


def get_block_time(cluster: Cluster, params: Params) -> object:
    """When a block began, in Unix seconds; null when there is no such block (yet)."""
    slot = as_u64(params[0])
    if slot > cluster.tip.complete or not cluster.timeline.has_block(slot):
        return None
    return cluster.timeline.time_seconds(slot)
