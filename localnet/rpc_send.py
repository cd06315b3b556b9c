"""RPC methods that execute transactions, for keeps or on trial."""

from collections.abc import Sequence
from typing import Final

from solders.account import Account
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import Message, MessageV0, MessageV1, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from localnet.cluster import Bank, Cluster
from localnet.encode import Json, account_json, inner_json, parse_inner
from localnet.engine import InvalidTransaction, Outcome, decode_transaction
from localnet.meta import return_data_json
from localnet.rpc_accounts import answer, mint_at
from localnet.rpc_chain import last_valid_block_height
from localnet.rpc_errors import (
    RpcError,
    invalid_params,
    preflight_failure,
    signature_verification_failure,
)
from localnet.rpc_params import (
    ACCOUNT_ENCODINGS,
    Config,
    Params,
    as_hash,
    as_list,
    as_map,
    as_pubkey,
    as_u64,
    as_wire,
)

_ENCODINGS: Final = ("base58", "base64", "binary", "json", "jsonParsed")
_NAME: Final = "VersionedTransaction"


def _decode(value: object, config: Config) -> tuple[VersionedTransaction, bytes]:
    encoding = config.encoding(_ENCODINGS, "base58")
    if encoding not in ("base58", "base64", "binary"):
        raise invalid_params(
            f"unsupported encoding: {encoding}. Supported encodings: base58, base64"
        )
    wire = as_wire(value, "base64" if encoding == "base64" else "base58", _NAME)
    try:
        transaction = decode_transaction(wire)
    except ValueError as error:
        raise invalid_params(f"failed to deserialize {_NAME}: {error}") from None
    except InvalidTransaction as error:
        raise invalid_params(f"invalid transaction: {error}") from None
    return transaction, bytes(transaction)


async def send_transaction(cluster: Cluster, params: Params) -> object:
    """Execute; answered when it is durable. Without preflight a doomed one is just dropped."""
    config = params.config(1)
    config.u64("maxRetries")
    transaction, wire = _decode(params[0], config)
    skip_preflight = config.boolean("skipPreflight")
    commitment = "processed" if skip_preflight else config.commitment("preflightCommitment")
    bank = config.bank(cluster, commitment)
    keys = _keys(cluster, transaction, bank)
    if not skip_preflight:
        if not all(transaction.verify_with_results()):
            raise signature_verification_failure()
        outcome, _ = _simulate(cluster, transaction, bank, verify_signatures=True)
        if outcome.err is not None:
            raise preflight_failure(_result(outcome, cluster.engine.loaded_bytes(keys)))
    _execute(cluster, transaction, wire)
    await cluster.sync()
    return str(transaction.signatures[0])


def _execute(cluster: Cluster, transaction: VersionedTransaction, wire: bytes) -> None:
    try:
        cluster.execute(transaction, wire)
    except InvalidTransaction as error:
        raise invalid_params(f"invalid transaction: {error}") from None


def _simulate(
    cluster: Cluster, transaction: VersionedTransaction, bank: Bank, *, verify_signatures: bool
) -> tuple[Outcome, dict[Pubkey, Account]]:
    refusal = cluster.precheck(transaction, bank)
    if refusal is not None:
        return _refused(refusal), {}
    try:
        return cluster.simulate(transaction, bank.slot, verify_signatures=verify_signatures)
    except InvalidTransaction as error:
        raise invalid_params(f"invalid transaction: {error}") from None


def _refused(err: str) -> Outcome:
    return Outcome(
        err=err,
        logs=[],
        inner=[],
        units=0,
        return_program="",
        return_data=b"",
        fee=0,
        has_executed=False,
    )


def _keys(cluster: Cluster, transaction: VersionedTransaction, bank: Bank) -> list[Pubkey]:
    """All account keys; refuses a lookup that the tables do not answer."""
    try:
        return cluster.account_keys(transaction, bank.slot)
    except InvalidTransaction as error:
        raise invalid_params(f"invalid transaction: {error}") from None


def _result(outcome: Outcome, loaded_bytes: int) -> Json:
    return {
        "err": outcome.err,
        "logs": outcome.logs,
        "accounts": None,
        "unitsConsumed": outcome.units,
        "loadedAccountsDataSize": loaded_bytes if outcome.logs or outcome.units else 0,
        "returnData": return_data_json(outcome),
        "innerInstructions": None,
        "replacementBlockhash": None,
        "fee": outcome.fee or None,
    }


def simulate_transaction(cluster: Cluster, params: Params) -> object:
    """Execute on trial."""
    config = params.config(1)
    transaction, _ = _decode(params[0], config)
    verify, replace = config.boolean("sigVerify"), config.boolean("replaceRecentBlockhash")
    if verify and replace:
        raise invalid_params("sigVerify may not be used with replaceRecentBlockhash")
    with_inner = config.boolean("innerInstructions")
    bank = config.bank(cluster)
    replacement: Json | None = None
    if replace:
        blockhash = Hash.from_bytes(cluster.timeline.blockhash(bank.newest_block))
        transaction = _with_blockhash(transaction, blockhash)
        replacement = {
            "blockhash": str(blockhash),
            "lastValidBlockHeight": last_valid_block_height(cluster, bank),
        }
    if verify and not all(transaction.verify_with_results()):
        raise signature_verification_failure()
    keys = _keys(cluster, transaction, bank)
    wanted = _wanted_accounts(config, len(keys))
    outcome, after = _simulate(cluster, transaction, bank, verify_signatures=False)
    result = _result(outcome, cluster.engine.loaded_bytes(keys)) | {
        "replacementBlockhash": replacement
    }
    if wanted is not None:
        result["accounts"] = _post_accounts(cluster, wanted, outcome, after, bank)
    if with_inner:
        result["innerInstructions"] = parse_inner(inner_json(outcome.inner), keys)
    return answer(bank, result)


def _wanted_accounts(config: Config, key_count: int) -> tuple[list[Pubkey], str] | None:
    value = config.get("accounts")
    if value is None:
        return None
    given = Config(as_map(value))
    encoding = given.encoding(ACCOUNT_ENCODINGS, "base64")
    if encoding in ("binary", "base58"):
        raise invalid_params("base58 encoding not supported")
    addresses = [as_pubkey(address) for address in as_list(given.get("addresses"))]
    if len(addresses) > key_count:
        raise invalid_params(f"Too many accounts provided; max {key_count}")
    return addresses, encoding


def _post_accounts(
    cluster: Cluster,
    wanted: tuple[list[Pubkey], str],
    outcome: Outcome,
    after: dict[Pubkey, Account],
    bank: Bank,
) -> Sequence[Json | None]:
    addresses, encoding = wanted
    if outcome.err is not None:
        return [None] * len(addresses)

    def encoded(address: Pubkey) -> Json | None:
        account = after.get(address) or cluster.account(address, bank.slot)
        if account is None or account.lamports == 0:
            return None
        return account_json(account, encoding, None, lambda one: mint_at(cluster, one, bank.slot))

    return [encoded(address) for address in addresses]


def _with_blockhash(transaction: VersionedTransaction, blockhash: Hash) -> VersionedTransaction:
    old = transaction.message
    header, keys, instructions = old.header, old.account_keys, old.instructions
    if isinstance(old, MessageV1):
        message = MessageV1(header, old.config, blockhash, keys, instructions)
    elif isinstance(old, MessageV0):
        message = MessageV0(header, keys, blockhash, instructions, old.address_table_lookups)
    else:
        message = Message.new_with_compiled_instructions(
            header.num_required_signatures,
            header.num_readonly_signed_accounts,
            header.num_readonly_unsigned_accounts,
            keys,
            blockhash,
            instructions,
        )
    return VersionedTransaction.populate(message, transaction.signatures)


class Faucet:
    """Hands out SOL by real transactions of its own."""

    def __init__(self, keypair: Keypair) -> None:
        """`keypair` holds what may be handed out."""
        self._keypair = keypair

    async def request_airdrop(self, cluster: Cluster, params: Params) -> object:
        """Transfer lamports to an address; the signature is returned when it is durable."""
        to, lamports, config = as_pubkey(params[0]), as_u64(params[1]), params.config(2)
        given = config.get("recentBlockhash")
        newest = config.bank(cluster).newest_block
        hashes = cluster.blockhashes.newest_first(newest)
        if given is not None:
            hashes = [bytes(as_hash(given))]
        for blockhash in hashes:
            transaction = self._transfer(to, lamports, blockhash)
            # An equal transfer with the same blockhash would be the same transaction.
            if not cluster.has_seen(transaction.signatures[0]):
                break
        else:
            raise RpcError(-32603, "Internal error")
        outcome, _ = _simulate(
            cluster, transaction, cluster.bank("processed"), verify_signatures=True
        )
        if outcome.err is not None:
            raise preflight_failure(_result(outcome, 0))
        _execute(cluster, transaction, bytes(transaction))
        await cluster.sync()
        return str(transaction.signatures[0])

    def _transfer(self, to: Pubkey, lamports: int, blockhash: bytes) -> VersionedTransaction:
        source = self._keypair.pubkey()
        instruction = transfer(TransferParams(from_pubkey=source, to_pubkey=to, lamports=lamports))
        message = Message.new_with_blockhash([instruction], source, Hash.from_bytes(blockhash))
        signature: Signature = self._keypair.sign_message(to_bytes_versioned(message))
        return VersionedTransaction.populate(message, [signature])


async def advance_clock(cluster: Cluster, params: Params) -> object:
    """`localnet_advanceClock`: move chain time forward by whole seconds, for good."""
    seconds = as_u64(params[0])
    if not 0 < seconds <= 100 * 365 * 86_400:
        raise invalid_params("Invalid params: seconds must be from 1 to 3153600000.")
    await cluster.advance_clock(seconds)
    slot = cluster.tip.finalized
    return {"slot": slot, "unixTimestamp": cluster.timeline.time_seconds(slot)}
