"""Money that arrived without a name: what waits in suspense and quarantine, and whose it is found
to be.

An assignment is a later entry of its own under the movement's reference; what was seen on chain is
never rewritten. A movement is assigned as a whole and once: to do it again in the same way is
answered with what there is, in another way is a conflict.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from settlement.clock import Clock
from settlement.db import sql
from settlement.db.pool import Pool, ReadConn, Tx, reading, transaction
from settlement.errors import Conflict, NotFound, Refused
from settlement.finance import as_finance
from settlement.ledger import postings, store
from settlement.ledger.accounts import (
    QUARANTINE,
    SUSPENSE,
    AccountKind,
    InvalidAccount,
    describe,
)
from settlement.ledger.operations import AccountName, Code, Post, Writer
from settlement.money import MicroUsdc, Slot

_QUERIES: Final = sql.load("settlement", "assignments.sql")
WAITING: Final = (SUSPENSE, QUARANTINE)
_PAGE: Final = 500
# Who can be owed money that came by the chain.
_OWNERS: Final = frozenset({AccountKind.USER, AccountKind.HOST, AccountKind.BOND_PENDING})


class MovementUnknown(NotFound):
    """The books have no movement of this reference: `pod deposits list` shows those that wait."""


class MovementNotWaiting(Refused):
    """This movement is neither in suspense nor in quarantine: its owner was known when it came."""


class OwnerUnknown(NotFound):
    """There is no open account of this name."""


class OwnerNotPossible(Refused):
    """Money that arrived is assigned to a user, a host or a bond that is pending."""


class AmountsDiffer(Refused):
    """A movement is assigned as a whole: the amounts must add up to it."""


class SeveralOwners(Refused):
    """Money in suspense is one person's; only what is in quarantine is shared out."""


class AssignmentUnexplained(Refused):
    """An assignment says who decided it, and why."""


class AlreadyAssigned(Conflict):
    """This movement was assigned before, and in another way."""


class AssignmentRefused(Conflict):
    """The books do not hold what is to be assigned."""


@dataclass(frozen=True, kw_only=True)
class Unassigned:
    """One movement nobody has been named for."""

    account: AccountName  # suspense or quarantine
    reference: str
    amount_microusdc: MicroUsdc
    slot: Slot
    event_at: datetime
    age_seconds: int
    source: str | None  # the token account that paid
    code: str | None  # what was said, in hex, and names nobody


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """What a person decided. One owner without an amount gets the whole."""

    reference: str
    owners: Mapping[AccountName, MicroUsdc | None]
    actor: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Assigned:
    """What the books have of it."""

    transaction_id: UUID
    reference: str
    shares: Mapping[AccountName, MicroUsdc]
    actor: str
    reason: str
    recorded_at: datetime
    before: bool  # whether it was so already


async def unassigned(pool: Pool) -> AsyncIterator[Unassigned]:
    """Everything that waits, account by account, oldest first."""
    for account in WAITING:
        after = 0
        while True:
            async with reading(pool) as conn:
                rows = await conn.fetch(_QUERIES["unassigned"], account, after, _PAGE)
            for row in rows:
                yield Unassigned(
                    account=account,
                    reference=row["reference"],
                    amount_microusdc=MicroUsdc(row["amount"]),
                    slot=Slot(row["slot"]),
                    event_at=row["event_at"],
                    age_seconds=row["age_seconds"],
                    source=row["source"],
                    code=row["code"],
                )
            if len(rows) < _PAGE:
                break
            after = rows[-1]["entry"]


async def assign(pool: Pool, clock: Clock, wanted: Assignment) -> Assigned:
    """Say whose a movement is. Done before in the same way, it is told as it was.

    Raises `MovementUnknown`, `MovementNotWaiting`, `OwnerUnknown`, `OwnerNotPossible`,
    `SeveralOwners`, `AmountsDiffer`, `AssignmentUnexplained`, `AlreadyAssigned`, or
    `AssignmentRefused`; each names the field. `FinanceBusy` when others post all the time.
    """
    for field, told in (("actor", wanted.actor), ("reason", wanted.reason)):
        if not told.strip():
            raise AssignmentUnexplained(field=field)
    return await as_finance(pool, lambda writer: _attempt(pool, clock, writer, wanted))


async def _attempt(pool: Pool, clock: Clock, writer: Writer, wanted: Assignment) -> Assigned:
    async with transaction(pool) as tx:
        if (found := await _found(tx, wanted)) is not None:
            return found
        post = await _post(tx, clock, wanted)
        (outcome,) = await store.apply(tx, writer, [post])
        if outcome.code is Code.APPLIED:
            found = await _found(tx, wanted, before=False)
            assert found is not None, "it was just applied"
            return found
    # Somebody else was first, or the money is not there.
    async with reading(pool) as conn:
        if (found := await _found(conn, wanted)) is not None:
            return found
    raise AssignmentRefused(field="reference", got=wanted.reference, problem=outcome.code)


async def _found(conn: ReadConn, wanted: Assignment, *, before: bool = True) -> Assigned | None:
    """The assignment there is of this movement. Raises `AlreadyAssigned` when it is another one."""
    rows = await conn.fetch(_QUERIES["assigned_to"], wanted.reference)
    if not rows:
        return None
    shares = {AccountName(row["account"]): MicroUsdc(row["amount"]) for row in rows}
    same = shares.keys() == wanted.owners.keys() and all(
        amount in (None, shares[account]) for account, amount in wanted.owners.items()
    )
    if not same:
        raise AlreadyAssigned(field="to", to=", ".join(shares), actor=rows[0]["actor"])
    return Assigned(
        transaction_id=rows[0]["txn_id"],
        reference=wanted.reference,
        shares=shares,
        actor=rows[0]["actor"],
        reason=rows[0]["reason"],
        recorded_at=rows[0]["recorded_at"],
        before=before,
    )


async def _post(tx: Tx, clock: Clock, wanted: Assignment) -> Post:
    account, whole = await _waiting(tx, wanted.reference)
    shares = _shares(wanted.owners, whole)
    await _check_owners(tx, list(shares))
    voucher = postings.Voucher(actor=wanted.actor, event_at=clock.now(), reason=wanted.reason)
    if account == QUARANTINE:
        return postings.quarantine_assigned(voucher, wanted.reference, shares)
    if len(shares) > 1:
        raise SeveralOwners(field="to")
    ((owner, amount),) = shares.items()
    return postings.suspense_assigned(voucher, wanted.reference, owner, amount)


async def _waiting(tx: Tx, reference: str) -> tuple[AccountName, MicroUsdc]:
    """Where a movement's money waits, and how much it is."""
    rows = await tx.fetch(_QUERIES["booked_movement"], reference)
    if not reference.startswith("chain:") or not rows:
        raise MovementUnknown(field="reference", got=reference)
    if len(rows) != 1 or rows[0]["account"] not in WAITING:
        credited = ", ".join(row["account"] for row in rows)
        raise MovementNotWaiting(field="reference", got=reference, credited=credited)
    return AccountName(rows[0]["account"]), MicroUsdc(rows[0]["amount"])


def _shares(
    owners: Mapping[AccountName, MicroUsdc | None], whole: MicroUsdc
) -> dict[AccountName, MicroUsdc]:
    if not owners:
        raise OwnerUnknown(field="to")
    if len(owners) == 1:
        ((owner, amount),) = owners.items()
        owners = {owner: whole if amount is None else amount}
    shares = {owner: amount for owner, amount in owners.items() if amount is not None}
    if len(shares) < len(owners) or sum(shares.values()) != whole:
        total = sum(shares.values())
        raise AmountsDiffer(field="to", whole_microusdc=whole, given_microusdc=total)
    return shares


async def _check_owners(tx: Tx, owners: Sequence[AccountName]) -> None:
    for owner in owners:
        try:
            kind = describe(owner).kind
        except InvalidAccount:
            raise OwnerUnknown(field="to", got=owner) from None
        if kind not in _OWNERS:
            raise OwnerNotPossible(field="to", got=owner)
    known = {row["name"] for row in await tx.fetch(_QUERIES["accounts_open"], owners)}
    for owner in owners:
        if owner not in known:
            raise OwnerUnknown(field="to", got=owner)
