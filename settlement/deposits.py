"""The indexer's door for money that arrives, and enrollment, which hands out the codes.

A deposit is attributed by eight bytes in its instruction. A user's code is random and never eight
letters or digits; an operator's bond code always is, so the two can share the space and never meet.
Codes are reserved for ever. An unclear deposit is not an error: it is booked to `suspense`, where
people see it and can assign it later, and it stops nothing.

What is booked here is returned as operations: the indexer collects those of one chain transaction
and applies them at once, in the transaction that also moves its own state.
"""

import re
import secrets
import string
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple, assert_never
from uuid import UUID

from solders.pubkey import Pubkey

from settlement.chain.layouts import CODE_LENGTH
from settlement.chain.movement import ChainMoment, MovementKey, Vault
from settlement.db import sql
from settlement.db.pool import ReadConn, Tx
from settlement.errors import Conflict, NotFound, Refused
from settlement.ledger import accounts, deposit_road, postings, store
from settlement.ledger.deposit_road import PlainDeposit
from settlement.ledger.operations import Operation, TransactionKind, Writer
from settlement.money import MicroUsdc, Slot

_QUERIES: Final = sql.load("settlement", "deposits.sql")
_BOND_CODE: Final = re.compile(rb"[A-Za-z0-9]{8}")
# People type these: one case only.
_BOND_LETTERS: Final = string.ascii_uppercase + string.digits
_CODE_TRIES: Final = 20


class InvalidWallet(Refused):
    """The wallet is not the base58 address of a key somebody can sign with."""


class WalletConflict(Conflict):
    """This provider is enrolled with another wallet."""


class NotEnrolled(NotFound):
    """There is no operator enrolled under this id."""


@dataclass(frozen=True, kw_only=True)
class Operator:
    """An enrolled operator; the bond counts only when `wallet` is its beneficiary."""

    provider_id: UUID
    wallet: str
    code: str  # eight letters or digits, of the enrollment and of the bond
    enrolled_at: datetime


@dataclass(frozen=True, kw_only=True)
class UserCode:
    """The code names a user."""

    user_id: UUID


@dataclass(frozen=True, kw_only=True)
class BondCode:
    """The code names an operator's bond."""

    provider_id: UUID
    wallet: str


@dataclass(frozen=True, kw_only=True)
class VaultDeposit:
    """Money arrived in a vault. `code` is None when nothing named anybody."""

    key: MovementKey
    moment: ChainMoment
    vault: Vault
    amount_microusdc: MicroUsdc
    code: bytes | None
    source: str | None  # the paying token account; None when it was minted straight into the vault


class Arrived(NamedTuple):
    """A `VaultDeposit` of a run, in plain values; `reference` is its key's."""

    reference: str
    slot: Slot
    block_time: datetime
    vault: Vault
    amount_microusdc: MicroUsdc
    code: bytes | None
    source: str | None


async def enroll_user(tx: Tx, user_id: UUID) -> bytes:
    """Open the user's account and reserve their deposit code; again gives the same code."""
    await store.open_account(tx, accounts.user(user_id))
    for _ in range(_CODE_TRIES):
        known: bytes | None = await tx.fetchval(_QUERIES["code_of_user"], user_id)
        if known is not None:
            return known
        await tx.execute(_QUERIES["reserve_user_code"], new_user_code(), user_id)
    raise AssertionError("a random code of 8 bytes is free")


async def enroll_operator(tx: Tx, provider_id: UUID, wallet: str) -> str:
    """Open the operator's accounts and reserve their bond code; again gives the same code.

    Raises `InvalidWallet`, and `WalletConflict` when the provider has another wallet.
    """
    check_wallet(wallet)
    for account in (accounts.host, accounts.bond, accounts.bond_pending):
        await store.open_account(tx, account(provider_id))
    await tx.execute(_QUERIES["add_operator"], provider_id, wallet)
    for _ in range(_CODE_TRIES):
        try:
            known = await enrolled_operator(tx, provider_id)
        except NotEnrolled:
            code = new_bond_code()
            await tx.execute(_QUERIES["reserve_bond_code"], code.encode(), provider_id)
            continue
        if known.wallet != wallet:
            raise WalletConflict(provider_id=provider_id)
        return known.code
    raise AssertionError("a random code of 8 characters is free")


async def enrolled_operator(conn: ReadConn, provider_id: UUID) -> Operator:
    """The operator of this id. Raises `NotEnrolled`."""
    row = await conn.fetchrow(_QUERIES["operator"], provider_id)
    if row is None:
        raise NotEnrolled(provider_id=provider_id)
    return Operator(
        provider_id=provider_id,
        wallet=row["wallet"],
        code=row["code"].decode("ascii"),
        enrolled_at=row["enrolled_at"],
    )


async def owner_of_code(conn: ReadConn, code: bytes) -> UserCode | BondCode | None:
    """Whom these eight bytes name; None when nobody."""
    return (await owners_of_codes(conn, {code})).get(code)


async def owners_of_codes(
    conn: ReadConn, codes: Collection[bytes]
) -> Mapping[bytes, UserCode | BondCode]:
    """Whom each of these codes names; those that name nobody are left out."""
    if not codes:
        return {}
    rows = await conn.fetch(_QUERIES["code_owners"], list(codes))
    return {
        row["code"]: UserCode(user_id=row["user_id"])
        if row["user_id"] is not None
        else BondCode(provider_id=row["provider_id"], wallet=row["wallet"])
        for row in rows
    }


async def credited(conn: ReadConn, user_id: UUID) -> bool:
    """Whether the user has ever been credited anything."""
    return bool(await conn.fetchval(_QUERIES["ever_credited"], accounts.user(user_id)))


async def book_deposit(tx: Tx, deposit: VaultDeposit) -> list[Operation]:
    """What a deposit means for the books: to the user, to a bond that is pending, or in suspense.

    Only the till takes coded deposits: what is sent straight into the bond vault is in suspense.
    """
    return (await book_deposits(tx, [deposit]))[0]


async def book_deposits(tx: Tx, arrived: Sequence[VaultDeposit]) -> list[list[Operation]]:
    """What each of these deposits means, as `book_deposit` says it, whatever the others are."""
    codes = {one.code for one in arrived if one.code is not None and one.vault is Vault.TILL}
    owners = await owners_of_codes(tx, codes)
    return [_deposit_operations(one, owners) for one in arrived]


def _deposit_operations(
    deposit: VaultDeposit, owners: Mapping[bytes, UserCode | BondCode]
) -> list[Operation]:
    if deposit.amount_microusdc == 0:
        return []
    key, moment, amount = deposit.key, deposit.moment, deposit.amount_microusdc
    meta = _meta(deposit)
    owner = None
    if deposit.vault is Vault.TILL and deposit.code is not None:
        owner = owners.get(deposit.code)
    match owner:
        case UserCode():
            account = accounts.user(owner.user_id)
            return [postings.deposit_credited(key, moment, deposit.vault, account, amount, meta)]
        case BondCode():
            pending = accounts.bond_pending(owner.provider_id)
            return [postings.bond_received(key, moment, pending, amount, meta)]
        case None:
            return [postings.deposit_suspended(key, moment, deposit.vault, amount, meta)]
        case _:
            assert_never(owner)


async def book_run(tx: Tx, writer: Writer, run: Sequence[Arrived]) -> None:
    """Book what these deposits mean, as `book_deposit` says it of each, in one call of the books.

    Raises `NotEveryday` (then ask for the operations, in a new transaction) or `WriterFenced`.
    """
    named = {one.code for one in run if one.code is not None and one.vault is Vault.TILL}
    owners = await owners_of_codes(tx, named)
    await deposit_road.book(
        tx, writer, [_plain(one, owners) for one in run if one.amount_microusdc > 0]
    )


def _plain(one: Arrived, owners: Mapping[bytes, UserCode | BondCode]) -> PlainDeposit:
    owner = None
    if one.vault is Vault.TILL and one.code is not None:
        owner = owners.get(one.code)
    match owner:
        case UserCode():
            kind, account = TransactionKind.DEPOSIT_CREDITED, accounts.user(owner.user_id)
        case BondCode():
            kind, account = TransactionKind.BOND_RECEIVED, accounts.bond_pending(owner.provider_id)
        case None:
            kind, account = TransactionKind.DEPOSIT_SUSPENDED, accounts.SUSPENSE
        case _:
            assert_never(owner)
    return PlainDeposit(
        kind=kind,
        debit=accounts.chain_vault(one.vault),
        credit=account,
        amount_microusdc=one.amount_microusdc,
        slot=one.slot,
        event_at=one.block_time,
        reference=one.reference,
        source=one.source,
        code=None if one.code is None else one.code.hex(),
    )


async def book_quarantine(
    _tx: Tx, key: MovementKey, moment: ChainMoment, vault: Vault, delta_microusdc: int
) -> list[Operation]:
    """What a change of a vault that nobody can read means for the books."""
    if delta_microusdc == 0:
        return []
    return [postings.quarantined(key, moment, vault, delta_microusdc)]


async def book_outflow(
    _tx: Tx, key: MovementKey, moment: ChainMoment, vault: Vault, amount_microusdc: MicroUsdc
) -> list[Operation]:
    """What money that left a vault unexplained means for the books; the caller halts payouts."""
    if amount_microusdc == 0:
        return []
    return [postings.outflow_unexplained(key, moment, vault, amount_microusdc)]


async def book_between(
    _tx: Tx,
    key: MovementKey,
    moment: ChainMoment,
    source: Vault,
    destination: Vault,
    amount_microusdc: MicroUsdc,
) -> list[Operation]:
    """What money that only changed vaults means for the books: what is owed stays owed."""
    if amount_microusdc == 0:
        return []
    return [postings.vaults_moved(key, moment, source, destination, amount_microusdc)]


def new_user_code() -> bytes:
    """Eight random bytes that are not a bond's code."""
    while _BOND_CODE.fullmatch(code := secrets.token_bytes(CODE_LENGTH)):
        continue
    return code


def new_bond_code() -> str:
    """Eight random letters and digits."""
    return "".join(secrets.choice(_BOND_LETTERS) for _ in range(CODE_LENGTH))


def user_code_text(code: bytes) -> str:
    """A user's code as people and clients write it: 16 hex characters."""
    return code.hex()


def bond_code_text(code: str) -> str:
    """A bond's code as the wire gives it."""
    return f"POD-BOND-{code}"


def enrollment_code_text(code: str) -> str:
    """An enrollment's code as the wire gives it; clients derive the bond's by its suffix."""
    return f"POD-ENROLL-{code}"


def check_wallet(wallet: str) -> Pubkey:
    """The key of a wallet. Raises `InvalidWallet` unless it is 32 bytes of base58 on the curve."""
    try:
        key = Pubkey.from_string(wallet)
    except ValueError as error:
        raise InvalidWallet(wallet=wallet) from error
    if not key.is_on_curve() or str(key) != wallet:
        raise InvalidWallet(wallet=wallet)
    return key


def _meta(deposit: VaultDeposit) -> dict[str, str | int]:
    meta: dict[str, str | int] = {}
    if deposit.source is not None:
        meta["source"] = deposit.source
    if deposit.code is not None:
        meta["code"] = deposit.code.hex()
    return meta
