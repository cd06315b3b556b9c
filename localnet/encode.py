"""Accounts and transactions as a node's JSON."""

import base64
import struct
from collections.abc import Callable
from typing import Any, Final

import base58
from solders.account import Account
from solders.message import MessageV0, MessageV1
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from localnet.engine import Inner
from localnet.rpc_errors import INVALID_REQUEST, RpcError
from localnet.tokens import Mint, parsed_account, read_token_account

RENT_EXEMPT_EPOCH: Final = 2**64 - 1
MAX_BASE58_BYTES: Final = 128
_ZSTD_BLOCK: Final = 1 << 17

Json = dict[str, Any]
MintOf = Callable[[Pubkey], Mint | None]


def account_json(
    account: Account, encoding: str, slice_: tuple[int, int] | None, mint_of: MintOf
) -> Json:
    """`UiAccount`. `slice_` is offset and length; `jsonParsed` falls back to base64."""
    data: object = None
    if encoding == "jsonParsed":
        token = read_token_account(account)
        data = parsed_account(account, mint_of(token.mint) if token else None)
    if data is None:
        raw = bytes(account.data)
        raw = raw if slice_ is None else raw[slice_[0] : slice_[0] + slice_[1]]
        data = data_json(raw, encoding)
    return {
        "lamports": account.lamports,
        "data": data,
        "owner": str(account.owner),
        "executable": account.executable,
        "rentEpoch": RENT_EXEMPT_EPOCH,
        "space": len(account.data),
    }


def data_json(raw: bytes, encoding: str) -> object:
    """Account data in an encoding; raises a node's error when base58 would be too long."""
    if encoding in ("binary", "base58") and len(raw) > MAX_BASE58_BYTES:
        raise RpcError(
            INVALID_REQUEST,
            f"Encoded binary (base 58) data should be less than {MAX_BASE58_BYTES} bytes,"
            " please use Base64 encoding.",
        )
    match encoding:
        case "binary":
            return base58.b58encode(raw).decode()
        case "base58":
            return [base58.b58encode(raw).decode(), "base58"]
        case "base64+zstd":
            return [base64.b64encode(zstd_stored(raw)).decode(), "base64+zstd"]
        case _:
            return [base64.b64encode(raw).decode(), "base64"]


def zstd_stored(raw: bytes) -> bytes:
    """A valid zstd frame whose blocks are stored, not compressed."""
    blocks = [raw[i : i + _ZSTD_BLOCK] for i in range(0, len(raw), _ZSTD_BLOCK)] or [b""]
    head = struct.pack("<IBI", 0xFD2FB528, 0xA0, len(raw))
    body = b"".join(
        (len(block) << 3 | int(i == len(blocks) - 1)).to_bytes(3, "little") + block
        for i, block in enumerate(blocks)
    )
    return head + body


def version_of(transaction: VersionedTransaction) -> int | None:
    """0 or 1; None: legacy."""
    if isinstance(transaction.message, MessageV1):
        return 1
    return 0 if isinstance(transaction.message, MessageV0) else None


def transaction_json(
    transaction: VersionedTransaction, wire: bytes, encoding: str, loaded: list[list[Pubkey]]
) -> object:
    """The `transaction` member in json, jsonParsed, base64, base58 or binary."""
    match encoding:
        case "base64":
            return [base64.b64encode(wire).decode(), "base64"]
        case "base58":
            return [base58.b58encode(wire).decode(), "base58"]
        case "binary":
            return base58.b58encode(wire).decode()
        case "jsonParsed":
            message = _parsed_message(transaction, loaded)
        case _:
            message = _message_json(transaction)
    return {"signatures": [str(signature) for signature in transaction.signatures]} | {
        "message": message
    }


def _message_json(transaction: VersionedTransaction) -> Json:
    message = transaction.message
    header = message.header
    result: Json = {
        "header": {
            "numRequiredSignatures": header.num_required_signatures,
            "numReadonlySignedAccounts": header.num_readonly_signed_accounts,
            "numReadonlyUnsignedAccounts": header.num_readonly_unsigned_accounts,
        },
        "accountKeys": [str(key) for key in message.account_keys],
        "recentBlockhash": str(message.recent_blockhash),
        "instructions": [
            instruction_json(one.program_id_index, bytes(one.accounts), bytes(one.data), 1)
            for one in message.instructions
        ],
    }
    if isinstance(message, MessageV0):
        result["addressTableLookups"] = _lookups_json(message)
    if isinstance(message, MessageV1):
        config = message.config
        result["transactionConfig"] = {
            "priorityFee": config.priority_fee,
            "computeUnitLimit": config.compute_unit_limit,
            "loadedAccountsDataSizeLimit": config.loaded_accounts_data_size_limit,
            "heapSize": config.heap_size,
        }
    return result


def _lookups_json(message: MessageV0) -> list[Json]:
    return [
        {
            "accountKey": str(lookup.account_key),
            "writableIndexes": list(bytes(lookup.writable_indexes)),
            "readonlyIndexes": list(bytes(lookup.readonly_indexes)),
        }
        for lookup in message.address_table_lookups
    ]


def _parsed_message(transaction: VersionedTransaction, loaded: list[list[Pubkey]]) -> Json:
    """Account roles are spelled out; instructions are partially decoded, as unknown ones are."""
    message = transaction.message
    keys = [*message.account_keys, *loaded[0], *loaded[1]]
    result: Json = {
        "accountKeys": key_roles(transaction, loaded),
        "recentBlockhash": str(message.recent_blockhash),
        "instructions": [
            _partially_decoded(keys, one.program_id_index, bytes(one.accounts), bytes(one.data), 1)
            for one in message.instructions
        ],
    }
    if isinstance(message, MessageV0):
        result["addressTableLookups"] = _lookups_json(message)
    return result


def key_roles(transaction: VersionedTransaction, loaded: list[list[Pubkey]]) -> list[Json]:
    """Every account key with whether it signs, may be written, and where it came from."""
    header, keys = transaction.message.header, transaction.message.account_keys
    signers = header.num_required_signatures
    roles: list[Json] = []
    for index, key in enumerate(keys):
        if index < signers:
            writable = index < signers - header.num_readonly_signed_accounts
        else:
            writable = index < len(keys) - header.num_readonly_unsigned_accounts
        roles.append(_role(key, index < signers, writable, "transaction"))
    roles += [_role(key, False, True, "lookupTable") for key in loaded[0]]
    return roles + [_role(key, False, False, "lookupTable") for key in loaded[1]]


def _role(key: Pubkey, signer: bool, writable: bool, source: str) -> Json:
    return {"pubkey": str(key), "signer": signer, "writable": writable, "source": source}


def instruction_json(program: int, accounts: bytes, data: bytes, height: int | None) -> Json:
    """A compiled instruction: indices into the account keys, data in base58."""
    return {
        "programIdIndex": program,
        "accounts": list(accounts),
        "data": base58.b58encode(data).decode(),
        "stackHeight": height,
    }


def inner_json(groups: list[list[Inner]]) -> list[Json]:
    """`innerInstructions`: only the outer instructions that called something are listed."""
    return [
        {
            "index": index,
            "instructions": [
                instruction_json(one.program_index, one.accounts, one.data, one.stack_height)
                for one in group
            ],
        }
        for index, group in enumerate(groups)
        if group
    ]


def parse_inner(groups: list[Json], keys: list[Pubkey]) -> list[Json]:
    """`innerInstructions` of `jsonParsed`: addresses instead of indices."""
    parsed: list[Json] = []
    for group in groups:
        compiled: list[Json] = group["instructions"]
        instructions = [_named(one, keys) for one in compiled]
        parsed.append({**group, "instructions": instructions})
    return parsed


def _named(instruction: Json, keys: list[Pubkey]) -> Json:
    program: int = instruction["programIdIndex"]
    accounts: list[int] = instruction["accounts"]
    return {
        "programId": str(keys[program]),
        "accounts": [str(keys[index]) for index in accounts],
        "data": instruction["data"],
        "stackHeight": instruction["stackHeight"],
    }


def _partially_decoded(
    keys: list[Pubkey], program: int, accounts: bytes, data: bytes, height: int
) -> Json:
    return _named(instruction_json(program, accounts, data, height), keys)
