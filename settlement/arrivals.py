"""Deposits that are confirmed and not final yet: what people see as arriving. Never money.

The indexer writes these rows beside its work; the books know nothing of them. Whoever shows them
shows what may still vanish in a fork, so an arrival counts towards no balance. An arrival that the
books have taken in is not shown any more, whether or not the indexer has marked it by then.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg

from settlement.chain.movement import MovementKey, Vault
from settlement.chain.signatures import signature_bytes, signature_text
from settlement.db.pool import ReadConn, Tx
from settlement.db.sql import load
from settlement.deposits import BondCode, UserCode
from settlement.money import MicroUsdc, Slot

_SQL: Final = load("settlement", "arrivals.sql")
MOST_SHOWN: Final = 50


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """A deposit on its way."""

    signature: str
    slot: Slot
    vault: Vault
    amount_microusdc: MicroUsdc
    first_seen_at: datetime


@dataclass(frozen=True, kw_only=True)
class SeenDeposit:
    """A confirmed deposit, and whose code it carries."""

    key: MovementKey
    vault: Vault
    amount_microusdc: MicroUsdc
    owner: UserCode | BondCode | None


@dataclass(frozen=True, kw_only=True)
class OpenArrival:
    """What is still arriving."""

    reference: str
    signature: str
    slot: Slot
    vault: Vault


async def for_user(conn: ReadConn, user_id: UUID) -> tuple[Arrival, ...]:
    """What arrives for a user, oldest first; the 50 oldest when there are more."""
    rows = await conn.fetch(_SQL["of_user"], user_id, MOST_SHOWN)
    return tuple(_arrival(row) for row in rows)


async def for_provider(conn: ReadConn, provider_id: UUID) -> tuple[Arrival, ...]:
    """What arrives for an operator's bond, in either vault."""
    rows = await conn.fetch(_SQL["of_provider"], provider_id, MOST_SHOWN)
    return tuple(_arrival(row) for row in rows)


async def see(tx: Tx, slot: Slot, seen: Sequence[SeenDeposit]) -> None:
    """Show the deposits of one confirmed transaction; again, or in another slot, is the same."""
    key = seen[0].key
    assert all(one.key.signature == key.signature for one in seen), "of one transaction"
    await tx.execute(
        _SQL["see"],
        key.cluster,
        signature_bytes(key.signature),
        slot,
        [one.key.reference for one in seen],
        [one.vault for one in seen],
        [one.amount_microusdc for one in seen],
        [one.owner.user_id if isinstance(one.owner, UserCode) else None for one in seen],
        [one.owner.provider_id if isinstance(one.owner, BondCode) else None for one in seen],
    )


async def move(tx: Tx, cluster: str, signature: str, slot: Slot) -> None:
    """A transaction was seen in another slot: after a fork it came back."""
    await tx.execute(_SQL["move"], cluster, signature_bytes(signature), slot)


async def finish(tx: Tx, cluster: str) -> int:
    """Mark what the books have taken in; says how many arrivals that were."""
    return _count(await tx.execute(_SQL["finish"], cluster))


async def still_open(conn: ReadConn, cluster: str) -> tuple[OpenArrival, ...]:
    """What is neither final nor gone, in the order of the chain."""
    return tuple(
        OpenArrival(
            reference=row["reference"],
            signature=signature_text(row["signature"]),
            slot=Slot(row["slot"]),
            vault=Vault(row["vault"]),
        )
        for row in await conn.fetch(_SQL["open"], cluster)
    )


async def give_up(tx: Tx, cluster: str, references: Sequence[str]) -> int:
    """Mark arrivals as gone: their slots are final without them."""
    return _count(await tx.execute(_SQL["give_up"], cluster, list(references)))


async def prune(tx: Tx, *, older_than_hours: int) -> int:
    """Forget arrivals that ended that long ago."""
    return _count(await tx.execute(_SQL["prune"], older_than_hours))


def _arrival(row: asyncpg.Record) -> Arrival:
    return Arrival(
        signature=signature_text(row["signature"]),
        slot=Slot(row["slot"]),
        vault=Vault(row["vault"]),
        amount_microusdc=MicroUsdc(row["amount"]),
        first_seen_at=row["first_seen_at"],
    )


def _count(command_tag: str) -> int:
    return int(command_tag.rsplit(" ", 1)[-1])
