"""What a node's JSON-RPC answers mean, read strictly from raw JSON. Pure.

Raw JSON and not a typed library, because typed parsing panics or loses whole pages on one unknown
value (chain.md §2). So every reader here takes just the fields we use, checks their types, and
treats what it need not understand (a transaction's `err`, for one) as opaque. An answer without
the shape we rely on is the node's fault: it raises `AnswerMalformed`, and another node is asked.
"""

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar, cast

from solders.hash import Hash
from solders.pubkey import Pubkey

from settlement.errors import Unavailable
from settlement.money import BlockHeight, Lamports, Slot

T = TypeVar("T")


class AnswerMalformed(Unavailable):
    """A node's answer does not have the documented shape."""


class Commitment(StrEnum):
    """How settled a thing is for the node that is asked. Only finalized ever moves money."""

    PROCESSED = "processed"
    CONFIRMED = "confirmed"
    FINALIZED = "finalized"


@dataclass(frozen=True, kw_only=True)
class SignatureInfo:
    """One line of an address's history. `failed` transactions moved nothing but the fee."""

    signature: str
    slot: Slot
    failed: bool
    block_time: int | None


@dataclass(frozen=True, kw_only=True)
class Account:
    """An account's bytes and who may change them."""

    owner: Pubkey
    lamports: Lamports
    data: bytes
    executable: bool


@dataclass(frozen=True, kw_only=True)
class AccountAt:
    """What the node held at `slot`, its own context slot; `account` is None where there is none."""

    slot: Slot
    account: Account | None


@dataclass(frozen=True, kw_only=True)
class OwnedAccount:
    """One account of a program, with its address."""

    address: Pubkey
    account: Account


@dataclass(frozen=True, kw_only=True)
class LatestBlockhash:
    """A blockhash to sign with, dead for good once the block height passes the last valid one."""

    slot: Slot
    blockhash: Hash
    last_valid_height: BlockHeight


@dataclass(frozen=True, kw_only=True)
class SignatureStatus:
    """What a node knows of a signature it has seen."""

    slot: Slot
    failed: bool
    commitment: Commitment | None  # None: a word we do not know yet


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """How a transaction would have gone; `error` is opaque and None when it would succeed."""

    slot: Slot
    error: object
    logs: tuple[str, ...]
    units: int  # compute units; 0 where the node does not say


def fields(value: object, what: str) -> dict[str, object]:
    """A JSON object."""
    if not isinstance(value, dict):
        raise AnswerMalformed(expected="an object", at=what)
    return cast("dict[str, object]", value)


def items(value: object, what: str) -> list[object]:
    """A JSON array."""
    if not isinstance(value, list):
        raise AnswerMalformed(expected="an array", at=what)
    return cast("list[object]", value)


def count(value: object, what: str) -> int:
    """A whole number that is not negative."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise AnswerMalformed(expected="a count", at=what)
    return value


def text(value: object, what: str) -> str:
    """A string."""
    if not isinstance(value, str):
        raise AnswerMalformed(expected="a string", at=what)
    return value


def with_context(value: object, read: Callable[[object, Slot], T]) -> T:
    """Read `{context: {slot}, value}`: the value together with the slot it was true at."""
    answer = fields(value, "result")
    context = fields(answer.get("context"), "context")
    if "value" not in answer:
        raise AnswerMalformed(expected="a value", at="result")
    return read(answer["value"], Slot(count(context.get("slot"), "context.slot")))


def slot(value: object) -> Slot:
    """`getSlot`."""
    return Slot(count(value, "slot"))


def height(value: object) -> BlockHeight:
    """`getBlockHeight`."""
    return BlockHeight(count(value, "height"))


def version(value: object) -> str:
    """`getVersion`: as the node names itself."""
    return text(fields(value, "version").get("solana-core"), "solana-core")


def lamports(value: object, _slot: Slot) -> Lamports:
    """`getBalance`."""
    return Lamports(count(value, "balance"))


def latest_blockhash(value: object, at: Slot) -> LatestBlockhash:
    """`getLatestBlockhash`."""
    answer = fields(value, "value")
    try:
        blockhash = Hash.from_string(text(answer.get("blockhash"), "blockhash"))
    except ValueError:
        raise AnswerMalformed(expected="a hash", at="blockhash") from None
    last = count(answer.get("lastValidBlockHeight"), "lastValidBlockHeight")
    return LatestBlockhash(slot=at, blockhash=blockhash, last_valid_height=BlockHeight(last))


def signature_page(value: object) -> tuple[SignatureInfo, ...]:
    """`getSignaturesForAddress`: newest first, as the node ordered them."""
    return tuple(_signature_info(item) for item in items(value, "signatures"))


def _signature_info(value: object) -> SignatureInfo:
    entry = fields(value, "signature entry")
    block_time = entry.get("blockTime")
    if "err" not in entry:
        raise AnswerMalformed(expected="err", at="signature entry")
    return SignatureInfo(
        signature=text(entry.get("signature"), "signature"),
        slot=Slot(count(entry.get("slot"), "slot")),
        failed=entry["err"] is not None,
        block_time=None if block_time is None else count(block_time, "blockTime"),
    )


def transaction(value: object) -> dict[str, object] | None:
    """`getTransaction`: left raw, the indexer's decoder reads it; None where the node has none."""
    return None if value is None else fields(value, "transaction")


def account_at(value: object, at: Slot) -> AccountAt:
    """`getAccountInfo` in base64."""
    return AccountAt(slot=at, account=None if value is None else _account(value))


def accounts_at(value: object, at: Slot) -> tuple[AccountAt, ...]:
    """`getMultipleAccounts` in base64, in the order asked."""
    return tuple(account_at(item, at) for item in items(value, "accounts"))


def _account(value: object) -> Account:
    entry = fields(value, "account")
    data = items(entry.get("data"), "account.data")
    if len(data) != 2 or data[1] != "base64":
        raise AnswerMalformed(expected="base64 data", at="account.data")
    try:
        raw = base64.b64decode(text(data[0], "account.data"), validate=True)
        owner = Pubkey.from_string(text(entry.get("owner"), "account.owner"))
    except (binascii.Error, ValueError):
        raise AnswerMalformed(expected="base64 and base58", at="account") from None
    return Account(
        owner=owner,
        lamports=Lamports(count(entry.get("lamports"), "account.lamports")),
        data=raw,
        executable=entry.get("executable") is True,
    )


def statuses(value: object, _at: Slot) -> tuple[SignatureStatus | None, ...]:
    """`getSignatureStatuses`, in the order asked; None: this node does not know it."""
    return tuple(_status(item) for item in items(value, "statuses"))


def _status(value: object) -> SignatureStatus | None:
    if value is None:
        return None
    entry = fields(value, "status")
    word = entry.get("confirmationStatus")
    known = isinstance(word, str) and word in set(Commitment)
    return SignatureStatus(
        slot=Slot(count(entry.get("slot"), "status.slot")),
        failed=entry.get("err") is not None,
        commitment=Commitment(str(word)) if known else None,
    )


def simulation(value: object, at: Slot) -> Simulation:
    """`simulateTransaction`."""
    answer = fields(value, "simulation")
    logs = answer.get("logs")
    lines = () if logs is None else tuple(text(line, "log") for line in items(logs, "logs"))
    units = answer.get("unitsConsumed")
    return Simulation(
        slot=at,
        error=answer.get("err"),
        logs=lines,
        units=0 if units is None else count(units, "unitsConsumed"),
    )


def fee(value: object, _at: Slot) -> Lamports | None:
    """`getFeeForMessage`; None when the node does not know the message's blockhash."""
    return None if value is None else Lamports(count(value, "fee"))


def priority_fees(value: object) -> tuple[int, ...]:
    """`getRecentPrioritizationFees`: microlamports per compute unit."""
    entries = (fields(item, "priority fee") for item in items(value, "priority fees"))
    return tuple(count(e.get("prioritizationFee"), "prioritizationFee") for e in entries)


def rent(value: object) -> Lamports:
    """`getMinimumBalanceForRentExemption`."""
    return Lamports(count(value, "rent"))


def owned_accounts(value: object) -> tuple[OwnedAccount, ...]:
    """`getProgramAccounts` in base64, in no order."""
    return tuple(_owned_account(item) for item in items(value, "accounts"))


def _owned_account(value: object) -> OwnedAccount:
    entry = fields(value, "owned account")
    try:
        address = Pubkey.from_string(text(entry.get("pubkey"), "pubkey"))
    except ValueError:
        raise AnswerMalformed(expected="an address", at="pubkey") from None
    return OwnedAccount(address=address, account=_account(entry.get("account")))
