"""Whether anybody signed what a provider tells. Pure.

The signatures of a transaction are over its message, so the message is built again, byte by byte,
from the JSON that is going to be decoded, and every signature is checked against it: instructions,
accounts and amounts in them cannot be made up. How it went (balances, inner instructions, whether
it failed) is the provider's word all the same; for that, large credits ask a second provider.
"""

from collections.abc import Callable
from typing import Final, Literal

import msgspec
from solders.hash import Hash
from solders.instruction import CompiledInstruction
from solders.message import (
    Message,
    MessageAddressTableLookup,
    MessageHeader,
    MessageV0,
    MessageV1,
    TransactionConfig,
    VersionedMessage,
    to_bytes_versioned,
)
from solders.pubkey import Pubkey
from solders.signature import Signature

from indexer.raw import Index, Unreadable, pubkey
from settlement.chain import base58


class Fabricated(Unreadable):
    """The provider's answer is not what the transaction's signers signed."""


class _Signed(msgspec.Struct, rename="camel", frozen=True):
    """Camel case outside, ours inside; every field of the message, for every byte is signed."""


class _Header(_Signed, frozen=True):
    num_required_signatures: Index
    num_readonly_signed_accounts: Index
    num_readonly_unsigned_accounts: Index


class _Instruction(_Signed, frozen=True):
    program_id_index: Index
    accounts: list[Index]
    data: str


class _Lookup(_Signed, frozen=True):
    account_key: str
    writable_indexes: list[Index]
    readonly_indexes: list[Index]


class _Config(_Signed, frozen=True, forbid_unknown_fields=True):
    priority_fee: int | None = None
    compute_unit_limit: int | None = None
    loaded_accounts_data_size_limit: int | None = None
    heap_size: int | None = None


class _Message(_Signed, frozen=True):
    header: _Header
    account_keys: list[str]
    recent_blockhash: str
    instructions: list[_Instruction]
    address_table_lookups: list[_Lookup] = []
    transaction_config: _Config | None = None


class _Body(_Signed, frozen=True):
    signatures: list[str]
    message: _Message


class _Answer(_Signed, frozen=True):
    version: Literal["legacy"] | int
    transaction: _Body


def check_signed(answer: object, *, signature: str) -> None:
    """Check an answer of `getTransaction` (encoding json) that was asked for by this signature.

    Raises `Fabricated` when it is about another transaction or a signature is not over it, and
    `Unreadable` when its message cannot be built again.
    """
    _check(lambda: msgspec.convert(answer, _Answer), signature)


def check_signed_text(text: bytes, *, signature: str) -> None:
    """`check_signed`, of JSON as a node wrote it."""
    _check(lambda: _TEXTS.decode(text), signature)


_TEXTS: Final = msgspec.json.Decoder(_Answer)


def _check(read_answer: Callable[[], _Answer], signature: str) -> None:
    try:
        read = read_answer()
        message = _message(read)
        wire = to_bytes_versioned(message)
        signers = message.account_keys[: message.header.num_required_signatures]
        signatures = [Signature.from_string(text) for text in read.transaction.signatures]
    except (ValueError, OverflowError, TypeError, RecursionError) as error:
        problem = f"its message cannot be built again: {error}"
        raise Unreadable(signature=signature, problem=problem) from None
    if not signatures or str(signatures[0]) != signature or len(signatures) != len(signers):
        raise Fabricated(signature=signature, problem="it is about another transaction")
    for signed, signer in zip(signatures, signers, strict=True):
        if not signed.verify(signer, wire):
            raise Fabricated(signature=signature, signer=str(signer))


def _message(read: _Answer) -> VersionedMessage:
    message = read.transaction.message
    header = message.header
    keys = [pubkey(text) for text in message.account_keys]
    blockhash = Hash.from_string(message.recent_blockhash)
    counts = (
        header.num_required_signatures,
        header.num_readonly_signed_accounts,
        header.num_readonly_unsigned_accounts,
    )
    instructions = [
        CompiledInstruction(one.program_id_index, base58.decode(one.data), bytes(one.accounts))
        for one in message.instructions
    ]
    match read.version:
        case "legacy":
            return Message.new_with_compiled_instructions(*counts, keys, blockhash, instructions)
        case 0:
            lookups = [
                MessageAddressTableLookup(
                    Pubkey.from_string(one.account_key),
                    bytes(one.writable_indexes),
                    bytes(one.readonly_indexes),
                )
                for one in message.address_table_lookups
            ]
            return MessageV0(MessageHeader(*counts), keys, blockhash, instructions, lookups)
        case 1:
            wanted = message.transaction_config or _Config()
            config = TransactionConfig(
                priority_fee=wanted.priority_fee,
                compute_unit_limit=wanted.compute_unit_limit,
                loaded_accounts_data_size_limit=wanted.loaded_accounts_data_size_limit,
                heap_size=wanted.heap_size,
            )
            return MessageV1(MessageHeader(*counts), config, blockhash, keys, instructions)
        case _:
            raise ValueError(f"version {read.version} is not known")
