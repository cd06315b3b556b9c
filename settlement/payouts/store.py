"""Payout rows as intents, and the one way their state changes."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import asyncpg
from solders.pubkey import Pubkey

from settlement.db.pool import ReadConn, Tx
from settlement.db.sql import load
from settlement.errors import Unavailable
from settlement.ledger.operations import AccountName
from settlement.money import MicroUsdc
from settlement.payouts.intent import DestinationKind, Intent
from settlement.payouts.states import (
    ON_THE_ROAD,
    PayoutEvent,
    PayoutKind,
    PayoutState,
    after,
)

_SQL = load("settlement.payouts", "life.sql")
_MESSAGES = load("settlement.payouts", "messages.sql")


class Ended(StrEnum):
    """How a message ended; none of it says anything about money."""

    DECIDED = "decided"  # the end of every number in it was seen
    EXPIRED = "expired"  # its blockhash died
    FAILED = "failed"  # it is final on chain, with an error: its fee is spent, nothing happened
    REFUSED = "refused"  # one that several share: the node or the signer said no to it
    BROKEN = "broken"  # it cannot happen any more: a number in it, or its payer, is gone


def intent_of(row: asyncpg.Record) -> Intent:
    """A payout row as what it promises."""
    return Intent(
        payout_id=row["payout_id"],
        kind=PayoutKind(row["kind"]),
        provider_id=row["provider_id"],
        account=AccountName(row["account"]),
        amount_microusdc=MicroUsdc(row["amount"]),
        destination=Pubkey.from_string(row["destination"]),
        code=bytes(row["code"]),
        reference=bytes(row["reference"]),
        state=PayoutState(row["state"]),
        sequence=row["sequence"],
        skip_reason=row["skip_reason"],
        user_id=row["user_id"],
        destination_kind=DestinationKind(row["destination_kind"]),
    )


async def move(tx: Tx, intent: Intent, event: PayoutEvent) -> PayoutState:
    """Change the state of a payout the caller has locked. Raises `WrongPayoutState`."""
    state = after(intent.state, event)
    if state is not intent.state:
        moved = await tx.fetchval(_SQL["set_state"], intent.payout_id, intent.state, state)
        assert moved == state, "the caller has locked the payout and knows its state"
    return state


async def locked(tx: Tx, payout_id: object) -> Intent | None:
    """The payout, locked until the transaction ends."""
    row = await tx.fetchrow(_SQL["lock_payout"], payout_id)
    return None if row is None else intent_of(row)


async def move_all(tx: Tx, intents: Iterable[Intent], event: PayoutEvent) -> None:
    """Change the state of payouts the caller has locked. Raises `WrongPayoutState`."""
    moving: dict[tuple[PayoutState, PayoutState], list[UUID]] = defaultdict(list)
    for intent in intents:
        state = after(intent.state, event)
        if state is not intent.state:
            moving[intent.state, state].append(intent.payout_id)
    for (before, state), ids in moving.items():
        moved = await tx.fetch(_SQL["set_states"], ids, before, state)
        assert len(moved) == len(ids), "the caller has locked the payouts and knows their states"


async def want_skip(tx: Tx, intent: Intent, reason: str) -> None:
    """The number of a payout the caller has locked is to be burned; the first reason stays."""
    await tx.execute(_SQL["want_skip"], intent.payout_id, reason)


async def end_message(tx: Tx, message_id: int, how: Ended, *, now: datetime) -> tuple[Intent, ...]:
    """Send a message never again; its numbers may be signed anew. Empty when it was over.

    Nobody asks here whether the chain may still carry it out: should it, the numbers are used up,
    and whatever was signed under them since cannot happen.
    """
    rows = await tx.fetch(_MESSAGES["lock_members"], [message_id])
    closed = await tx.fetch(_MESSAGES["close_attempts_of"], message_id, now)
    done = await tx.fetchval(_MESSAGES["close_message"], message_id, now, how)
    if done is None:
        assert not closed, "an open attempt has an open message"
        return ()
    ids = {row["payout_id"] for row in closed}
    intents = tuple(intent for row in rows if (intent := intent_of(row)).payout_id in ids)
    await move_all(tx, (i for i in intents if i.state in ON_THE_ROAD), PayoutEvent.EXPIRE)
    return intents


class PastUnknown(Unavailable):
    """The books came back from a backup, and what was paid meanwhile is not read yet."""


async def require_known_past(tx: Tx, payout_id: UUID) -> None:
    """Nothing is taken back that may have been paid already. Raises `PastUnknown`."""
    if await tx.fetchval(_SQL["gate_closed"]):
        raise PastUnknown(payout_id=str(payout_id))


async def one_at_a_time(tx: Tx, owner_id: UUID) -> None:
    """Wait for whatever else this owner is asking for, until this transaction ends."""
    await tx.execute(_SQL["one_at_a_time"], owner_id)


async def accounts_opened(conn: ReadConn, wallets: Sequence[str]) -> Counter[str]:
    """How often we have paid the rent of each wallet's token account."""
    rows = await conn.fetch(_MESSAGES["accounts_opened"], wallets)
    return Counter({row["destination"]: row["opened"] for row in rows})
