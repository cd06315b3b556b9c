"""The shape of what `getTransaction` answers, as far as we read it. Pure.

Only the fields the decoder needs are named; the rest of the answer is ignored and kept in the
stored raw record. Types are strict and nothing that matters has a convenient default: an answer
that lacks a field, or carries it in another form, is unreadable, because half an answer can hide a
coin. `err` is opaque: new error variants appear with every node release and only "null or not"
matters.
"""

from functools import lru_cache
from typing import Annotated, Final, Literal

import msgspec
from solders.pubkey import Pubkey

from settlement.errors import Refused

Index = Annotated[int, msgspec.Meta(ge=0, le=65_535)]
Number = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
TokenUnits = Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{1,20}\Z")]
_TOLD_CHARACTERS: Final = 300  # an error repeats what it found, however long that is
# A call carries at most 10 KiB, which is less in base58.
InstructionData = Annotated[str, msgspec.Meta(max_length=16_384)]


class Unreadable(Refused):
    """This transaction cannot be read completely, so nothing may be concluded from it."""


class _Raw(msgspec.Struct, rename="camel", frozen=True):
    """Camel case outside, ours inside."""


class RawInstruction(_Raw, frozen=True):
    """A compiled instruction: indexes into the account keys, data in base58."""

    program_id_index: Index
    accounts: list[Index]
    data: InstructionData
    stack_height: int | None = None


class RawInner(_Raw, frozen=True):
    """What the top-level instruction `index` called, at any depth, in order of execution."""

    index: Index
    instructions: list[RawInstruction]


class RawLookup(_Raw, frozen=True):
    """One lookup table and the entries taken from it."""

    writable_indexes: list[Index]
    readonly_indexes: list[Index]


class RawMessage(_Raw, frozen=True):
    """What was signed."""

    account_keys: list[str]
    instructions: list[RawInstruction]
    address_table_lookups: list[RawLookup] = []


class RawSigned(_Raw, frozen=True):
    """Signatures and message; the first signature is the transaction's name."""

    signatures: list[str]
    message: RawMessage


class RawLoaded(_Raw, frozen=True):
    """Keys that came from lookup tables, writable ones first."""

    writable: list[str] = []
    readonly: list[str] = []


class RawTokenAmount(_Raw, frozen=True):
    """Token units as text; the float beside it is never read."""

    amount: TokenUnits


class RawTokenBalance(_Raw, frozen=True):
    """The balance of one token account before or after."""

    account_index: Index
    mint: str
    ui_token_amount: RawTokenAmount


class RawMeta(_Raw, frozen=True):
    """How it went."""

    err: object
    inner_instructions: list[RawInner] | None
    pre_token_balances: list[RawTokenBalance] | None
    post_token_balances: list[RawTokenBalance] | None
    status: dict[str, object] | None = None
    # Lamports, in the order of keys. Read only where a fee payer of ours takes part (`lamports`):
    # what is said of other people's SOL is no reason to doubt the rest.
    fee: object = None
    pre_balances: object = None
    post_balances: object = None
    loaded_addresses: RawLoaded | None = None


class RawTransaction(_Raw, frozen=True):
    """One answer of `getTransaction`, encoding `json`."""

    slot: Number
    block_time: Number | None
    version: Literal["legacy"] | int
    transaction: RawSigned
    meta: RawMeta | None
    transaction_index: Number | None = None


class RawLamports(msgspec.Struct, frozen=True):
    """The fee, and every key's lamports before and after."""

    fee: Number
    before: list[Number]
    after: list[Number]


def lamports(meta: RawMeta) -> RawLamports:
    """What a transaction did to everybody's SOL. Raises `Unreadable` when it does not say."""
    told = {"fee": meta.fee, "before": meta.pre_balances, "after": meta.post_balances}
    try:
        return msgspec.convert(told, RawLamports)
    except msgspec.ValidationError as error:
        raise Unreadable(problem=f"lamports: {error}"[:_TOLD_CHARACTERS]) from None


@lru_cache(maxsize=4_096)  # nearly every transaction names the same ones
def pubkey(text: str) -> Pubkey:
    """The key of a text. Raises `ValueError` when it is none."""
    return Pubkey.from_string(text)


def read(answer: object) -> RawTransaction:
    """Give the answer its types. Raises `Unreadable` naming the field that is not as it should."""
    try:
        return msgspec.convert(answer, RawTransaction)
    except (msgspec.ValidationError, UnicodeEncodeError) as error:  # half a surrogate is no text
        raise Unreadable(problem=str(error)[:_TOLD_CHARACTERS]) from None


def read_text(text: bytes) -> RawTransaction:
    """`read`, from JSON as a node wrote it."""
    try:
        return _TEXTS.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(problem=str(error)[:_TOLD_CHARACTERS]) from None


_TEXTS: Final = msgspec.json.Decoder(RawTransaction)
