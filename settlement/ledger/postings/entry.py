"""What every posting is made of: moves, and what it rests on: a sight of the chain or a voucher.

What was seen on chain is named by its movement: the reference is unique in the books, and the id of
the transaction is derived from it, so the same movement read twice is the same operation and a
replay. Whatever else happens is named by what it is about (an invoice, a request, the movement that
it assigns), in the same way and so that it can happen once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from types import MappingProxyType
from typing import Final
from uuid import UUID, uuid5

from settlement.chain.movement import ChainMoment, MovementKey
from settlement.ledger.operations import AccountName, Post, TransactionKind, Transfer
from settlement.money import Lamports, MicroUsdc

_NAMESPACE: Final = UUID("6f7f0f4e-2f63-5b0e-9d6c-5b1f0c0a7d11")
_ACTOR: Final = "chain"
# What people may want to know of an event beside its money: addresses, codes.
Meta = Mapping[str, str | int]
NOTHING_MORE: Final[Meta] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class Voucher:
    """Who decided it, when and why: what a posting rests on that the chain did not cause."""

    actor: str  # a person, or the process that did it
    event_at: datetime
    reason: str | None = None
    effective_on: date | None = None  # the accounting day; None: the day of `event_at` in UTC
    meta: Meta = field(default_factory=dict[str, str | int])

    @property
    def day(self) -> date:
        """The accounting day."""
        return self.effective_on or self.event_at.astimezone(UTC).date()


def transaction_id_for(reference: str) -> UUID:
    """The id of the transaction that is booked under this reference."""
    return uuid5(_NAMESPACE, reference)


def move(debit: AccountName, credit: AccountName, amount: MicroUsdc | Lamports) -> Transfer:
    """An amount, in the smallest unit of the two accounts' asset, from one to the other."""
    assert amount > 0, "a movement has an amount"
    assert debit != credit, "a movement has two ends"
    # The field is called after the asset it nearly always holds; of SOL accounts it is lamports.
    return Transfer(debit=debit, credit=credit, amount_microusdc=MicroUsdc(amount))


def moves(*parts: tuple[AccountName, AccountName, int]) -> tuple[Transfer, ...]:
    """One transfer for each (debit, credit, amount), but for those of nothing."""
    return tuple(
        move(debit, credit, MicroUsdc(amount)) for debit, credit, amount in parts if amount
    )


def seen(
    key: MovementKey,
    moment: ChainMoment,
    kind: TransactionKind,
    transfers: tuple[Transfer, ...],
    meta: Meta,
) -> Post:
    """The post for something seen on chain; its day is the block's day in UTC."""
    return seen_as(key.reference, moment, kind, transfers, meta)


def seen_as(
    reference: str,
    moment: ChainMoment,
    kind: TransactionKind,
    transfers: tuple[Transfer, ...],
    meta: Meta,
) -> Post:
    """`seen`, by the reference of the movement's key."""
    block_time = moment.block_time.astimezone(UTC)
    return Post(
        transaction_id=transaction_id_for(reference),
        kind=kind,
        transfers=transfers,
        event_at=block_time,
        effective_on=block_time.date(),
        actor=_ACTOR,
        slot=moment.slot,
        external_ref=reference,
        meta=meta,
    )


def vouched(
    reference: str,
    voucher: Voucher,
    kind: TransactionKind,
    transfers: tuple[Transfer, ...],
    *,
    reverses: UUID | None = None,
    refunds: UUID | None = None,
    transaction_id: UUID | None = None,
) -> Post:
    """The post for something that was decided or done, once under this reference.

    It bears the id given, where what it is about has one that must not be settled another way too.
    """
    return Post(
        transaction_id=transaction_id or transaction_id_for(reference),
        kind=kind,
        transfers=transfers,
        event_at=voucher.event_at.astimezone(UTC),
        effective_on=voucher.day,
        actor=voucher.actor,
        external_ref=reference,
        reverses=reverses,
        refunds=refunds,
        reason=voucher.reason,
        meta=voucher.meta,
    )


def assigned(
    movement: str, voucher: Voucher, kind: TransactionKind, transfers: tuple[Transfer, ...]
) -> Post:
    """The post that says, once, whose the money of a movement is that arrived without a name."""
    assert movement.startswith("chain:"), "an assignment names its movement"
    return vouched(f"assigned:{movement}", voucher, kind, transfers)
