"""The indexer's door for bonds: what the chain did to a bond becomes a row and an entry.

A bond counts for an operator only when its code is theirs and its beneficiary is the wallet they
enrolled. Anybody may post a bond under any code; a stranger's bond is booked under its own address
and lets nobody work. A bond that changes hands starts or ceases to count there and then. Every fact
is named by its movement or instruction: the same fact again changes nothing, and what moved money
on chain returns the same operations, which the books then answer as replays.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

import asyncpg

from settlement import deposits
from settlement.bonds import seizure
from settlement.bonds.rules import BondEvent, BondState, SeizureState, SeizureStep, after
from settlement.chain.movement import ChainMoment, MovementKey
from settlement.db import sql
from settlement.db.pool import ReadConn, Tx
from settlement.errors import Conflict, NotFound
from settlement.ledger import accounts, postings, store
from settlement.ledger.operations import AccountName, Operation
from settlement.money import MicroUsdc

_QUERIES: Final = sql.load("settlement.bonds", "bonds.sql")
_NOTHING: Final = MicroUsdc(0)


class BondUnknown(NotFound):
    """The books know no bond at this address."""


class BondConflict(Conflict):
    """This movement was taken in before, as something else."""


class Standing(StrEnum):
    """How an operator stands, in the order of a bond's life."""

    NONE = "none"
    PENDING = "pending"  # bond money has come in, nothing is escrowed yet
    POSTED = "posted"
    RETIRING = "retiring"
    RELEASED = "released"
    SEIZED = "seized"


@dataclass(frozen=True, kw_only=True)
class BondPosted:
    """A bond was opened, by its depositor or (`record_funded`) from the till."""

    key: MovementKey
    moment: ChainMoment
    address: str
    code: bytes
    beneficiary: str
    amount_microusdc: MicroUsdc
    rent_payer: str
    cooldown_seconds: int


@dataclass(frozen=True, kw_only=True)
class BondRetired:
    """A bond's cooldown began; it may be released from `release_at` (chain time) on."""

    key: MovementKey
    moment: ChainMoment
    address: str
    release_at: datetime


@dataclass(frozen=True, kw_only=True)
class BondReleased:
    """A bond went back to its beneficiary."""

    key: MovementKey
    moment: ChainMoment
    address: str
    amount_microusdc: MicroUsdc
    destination: str


@dataclass(frozen=True, kw_only=True)
class BondRetireCancelled:
    """A bond's cooldown was stopped: it is posted again."""

    key: MovementKey
    moment: ChainMoment
    address: str


@dataclass(frozen=True, kw_only=True)
class BondHandedOver:
    """A bond has another beneficiary; its address and its terms stay."""

    key: MovementKey
    moment: ChainMoment
    address: str
    beneficiary: str


@dataclass(frozen=True, kw_only=True)
class BondSeized:
    """A bond went from the bond vault to the till."""

    key: MovementKey
    moment: ChainMoment
    address: str
    amount_microusdc: MicroUsdc


@dataclass(frozen=True, kw_only=True)
class BondStanding:
    """How an operator stands; `address` and `release_at` where there is a bond.

    `refundable` is what of the pending money nothing is set aside for; `seizure` where an open one
    stands; `ended_by` the signature that released or seized the bond.
    """

    state: Standing
    amount_microusdc: MicroUsdc
    pending_microusdc: MicroUsdc
    address: str | None
    release_at: datetime | None
    refundable_microusdc: MicroUsdc = _NOTHING
    seizure: SeizureState = SeizureState.NONE
    ended_by: str | None = None


@dataclass(frozen=True, kw_only=True)
class _Bond:
    address: str
    code: bytes
    state: BondState
    provider_id: UUID | None
    amount_microusdc: MicroUsdc

    @property
    def account(self) -> AccountName:
        """Where its money is owed."""
        if self.provider_id is None:
            return accounts.bond_unenrolled(self.address)
        return accounts.bond(self.provider_id)


async def posted(tx: Tx, fact: BondPosted) -> list[Operation]:
    """A bond was posted by its depositor: Dr chain:bond, Cr the operator's bond or a stranger's."""
    account = await _open(tx, fact, BondEvent.POSTED)
    amount = fact.amount_microusdc
    return [postings.bond_posted(fact.key, fact.moment, account, amount, _meta(fact))]


async def record_funded(tx: Tx, fact: BondPosted) -> AccountName:
    """A bond was paid from the till; returns the account its money is owed on from now on.

    The caller books the money (`postings.bond_funded`), as it knows the hold it was paid from.
    """
    return await _open(tx, fact, BondEvent.FUNDED)


async def retired(tx: Tx, fact: BondRetired) -> list[Operation]:
    """A bond's cooldown began: no money moves, its operator gets no new work.

    Raises `BondUnknown`, `UnexpectedBondEvent`.
    """
    await _advance(
        tx,
        fact.key,
        fact.moment,
        fact.address,
        BondEvent.RETIRED,
        release_at=fact.release_at,
    )
    return []


async def released(tx: Tx, fact: BondReleased) -> list[Operation]:
    """A bond went back: Dr bond, Cr chain:bond. Raises `BondUnknown`, `UnexpectedBondEvent`."""
    bond = await _advance(
        tx, fact.key, fact.moment, fact.address, BondEvent.RELEASED, release_at=None
    )
    meta = {"bond": fact.address, "destination": fact.destination}
    amount = fact.amount_microusdc
    return [postings.bond_released(fact.key, fact.moment, bond.account, amount, meta)]


async def retire_cancelled(tx: Tx, fact: BondRetireCancelled) -> list[Operation]:
    """A bond's cooldown was stopped: its operator may work again; no money moves.

    Raises `BondUnknown`, `UnexpectedBondEvent`.
    """
    await _advance(
        tx, fact.key, fact.moment, fact.address, BondEvent.RETIREMENT_CANCELLED, release_at=None
    )
    return []


async def handed_over(tx: Tx, fact: BondHandedOver) -> list[Operation]:
    """A bond changed hands: Dr whom it counted for, Cr whom it counts for now, if they differ.

    The money stays in the bond vault. Read after a later hand-over it is only noted: what came
    last on chain stands. Raises `BondUnknown`, `UnexpectedBondEvent`.
    """
    before = await _bond(tx, fact.address)
    if await _seen(tx, fact.key, fact.address, BondEvent.HANDED_OVER):
        return []
    bond = replace(
        before,
        state=after(before.state, BondEvent.HANDED_OVER),
        provider_id=await _counts_for(tx, before.code, fact.beneficiary),
    )
    late = await tx.fetchval(_QUERIES["handed_over_later"], fact.address, fact.moment.slot)
    await _note(tx, fact.key, fact.moment, bond, BondEvent.HANDED_OVER)
    if late:
        return []
    await tx.execute(_QUERIES["hand_over"], fact.address, fact.beneficiary, bond.provider_id)
    if bond.account == before.account:
        return []
    await store.open_account(tx, bond.account)
    if before.provider_id is not None:
        await tx.execute(_QUERIES["notify"], str(before.provider_id))
    meta = {"bond": fact.address, "beneficiary": fact.beneficiary}
    amount = before.amount_microusdc
    return [
        postings.bond_handed_over(fact.key, fact.moment, before.account, bond.account, amount, meta)
    ]


async def seized(tx: Tx, fact: BondSeized) -> list[Operation]:
    """A bond was seized: Dr chain:till Cr chain:bond, and Dr bond Cr refund-pool.

    Whoever's bond it was; it is over for good. Raises `BondUnknown`, `UnexpectedBondEvent`.
    """
    bond = await _advance(
        tx, fact.key, fact.moment, fact.address, BondEvent.SEIZED, release_at=None
    )
    step = seizure.StepSeen(
        key=fact.key, moment=fact.moment, address=fact.address, step=SeizureStep.EXECUTED
    )
    await seizure.stepped(tx, step)
    amount = fact.amount_microusdc
    meta = {"bond": fact.address}
    return [postings.bond_seized(fact.key, fact.moment, bond.account, amount, meta)]


async def standing(conn: ReadConn, provider_id: UUID) -> BondStanding:
    """How the operator stands now; `none` for one we do not know."""
    found = await conn.fetchrow(_QUERIES["pending"], accounts.bond_pending(provider_id))
    pending, free = (0, 0) if found is None else (int(found["pending"]), int(found["free"]))
    row = await conn.fetchrow(_QUERIES["standing"], provider_id)
    if row is None:
        state = Standing.PENDING if pending > 0 else Standing.NONE
        return BondStanding(
            state=state,
            amount_microusdc=MicroUsdc(0),
            pending_microusdc=MicroUsdc(pending),
            refundable_microusdc=MicroUsdc(free),
            address=None,
            release_at=None,
        )
    return BondStanding(
        state=Standing(row["state"]),
        amount_microusdc=row["amount"],
        pending_microusdc=MicroUsdc(pending),
        refundable_microusdc=MicroUsdc(free),
        address=row["address"],
        release_at=row["release_at"],
        seizure=SeizureState(row["seizure_state"]),
        ended_by=row["ended_by"],
    )


async def retirements_cancelled(
    conn: ReadConn, providers: Collection[UUID]
) -> dict[UUID, datetime]:
    """When the books took in that these operators stopped a retirement on chain, by our clock."""
    rows = await conn.fetch(_QUERIES["retirements_cancelled"], list(providers))
    return {row["provider_id"]: row["at"] for row in rows}


async def active_providers(conn: ReadConn) -> set[UUID]:
    """Operators who may be given work: a bond that counts is posted."""
    rows = await conn.fetch(_QUERIES["active_providers"])
    return {row["provider_id"] for row in rows}


async def _open(tx: Tx, fact: BondPosted, event: BondEvent) -> AccountName:
    bond = _Bond(
        address=fact.address,
        code=fact.code,
        state=after(BondState.NONE, event),
        provider_id=await _counts_for(tx, fact.code, fact.beneficiary),
        amount_microusdc=fact.amount_microusdc,
    )
    if await _seen(tx, fact.key, fact.address, event):
        return bond.account
    await store.open_account(tx, bond.account)
    added = await tx.fetchval(
        _QUERIES["add_bond"],
        fact.address,
        fact.code,
        bond.provider_id,
        fact.beneficiary,
        fact.rent_payer,
        fact.amount_microusdc,
        fact.cooldown_seconds,
        bond.state.value,
        fact.moment.block_time,
    )
    if added is None:
        raise BondConflict(reference=fact.key.reference, address=fact.address)
    await _note(tx, fact.key, fact.moment, bond, event)
    await seizure.work_out(tx, fact.address)  # steps may have been read before their bond
    return bond.account


async def _counts_for(tx: Tx, code: bytes, beneficiary: str) -> UUID | None:
    """The operator a bond counts for: it has their code and pays out to their wallet."""
    owner = await deposits.owner_of_code(tx, code)
    if isinstance(owner, deposits.BondCode) and owner.wallet == beneficiary:
        return owner.provider_id
    return None


async def _advance(
    tx: Tx,
    key: MovementKey,
    moment: ChainMoment,
    address: str,
    event: BondEvent,
    *,
    release_at: datetime | None,
) -> _Bond:
    before = await _bond(tx, address)
    if await _seen(tx, key, address, event):
        return before
    bond = replace(before, state=after(before.state, event))
    await tx.execute(_QUERIES["move_bond"], address, bond.state.value, release_at)
    await _note(tx, key, moment, bond, event)
    return bond


async def _bond(tx: Tx, address: str) -> _Bond:
    row = await tx.fetchrow(_QUERIES["bond_for_update"], address)
    if row is None:
        raise BondUnknown(address=address)
    return _Bond(
        address=address,
        code=row["code"],
        state=BondState(row["state"]),
        provider_id=row["provider_id"],
        amount_microusdc=row["amount"],
    )


async def _seen(tx: Tx, key: MovementKey, address: str, event: BondEvent) -> bool:
    """Whether this very fact was taken in before. Raises `BondConflict` if it was another one."""
    row: asyncpg.Record | None = await tx.fetchrow(_QUERIES["known_event"], key.reference)
    if row is None:
        return False
    if (row["address"], row["event"]) != (address, event.value):
        raise BondConflict(reference=key.reference, address=address)
    return True


async def _note(
    tx: Tx, key: MovementKey, moment: ChainMoment, bond: _Bond, event: BondEvent
) -> None:
    await tx.execute(
        _QUERIES["add_event"],
        key.reference,
        bond.address,
        event.value,
        bond.state.value,
        moment.slot,
        moment.block_time,
    )
    if bond.provider_id is not None:
        await tx.execute(_QUERIES["notify"], str(bond.provider_id))


def _meta(fact: BondPosted) -> dict[str, str | int]:
    return {"bond": fact.address, "code": fact.code.hex(), "beneficiary": fact.beneficiary}
