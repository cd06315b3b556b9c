"""What a person decides of a payout: let it go on, or give it up.

Giving a numbered payout up burns its number on chain. If the payment lands first it stays paid; if
the burn does, the money is back. The chain chooses one of the two.
"""

from datetime import datetime
from uuid import UUID

from settlement.db.pool import Tx
from settlement.db.sql import load
from settlement.errors import NotFound
from settlement.payouts import store
from settlement.payouts.states import PayoutEvent, PayoutState, WrongPayoutState, after

_SQL = load("settlement.payouts", "payouts.sql")


class UnknownPayout(NotFound):
    """There is no payout of this id."""


async def approve(tx: Tx, payout_id: UUID, *, by: str, now: datetime) -> None:
    """Let a payout that awaits approval go on. Raises `UnknownPayout` or `WrongPayoutState`."""
    assert by, "a person approves"
    intent = await store.locked(tx, payout_id)
    if intent is None:
        raise UnknownPayout(payout_id=str(payout_id))
    after(intent.state, PayoutEvent.APPROVE)
    done = await tx.fetchval(_SQL["approve"], payout_id, by, now)
    assert done is not None, "the payout is locked"


async def burn(tx: Tx, payout_id: UUID, *, reason: str) -> None:
    """Give a numbered payout up.

    Raises `UnknownPayout`, or `WrongPayoutState` when it is over or has no number yet (cancel it).
    """
    intent = await store.locked(tx, payout_id)
    if intent is None:
        raise UnknownPayout(payout_id=str(payout_id))
    if intent.state not in (PayoutState.NUMBERED, PayoutState.SIGNED, PayoutState.SENT):
        raise WrongPayoutState(state=intent.state.value, event="burn")
    await store.want_skip(tx, intent, reason)
