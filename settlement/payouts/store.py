"""Payout rows as intents, and the one way their state changes."""

import asyncpg
from solders.pubkey import Pubkey

from settlement.db.pool import Tx
from settlement.db.sql import load
from settlement.ledger.operations import AccountName
from settlement.money import MicroUsdc
from settlement.payouts.intent import Intent
from settlement.payouts.states import PayoutEvent, PayoutKind, PayoutState, after

_SQL = load("settlement.payouts", "life.sql")


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
