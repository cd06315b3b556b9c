"""What the owner of a withdrawal is told of it: one table, and the reasons beside it. Pure.

The road knows more states than anybody outside needs. What was sent stays `broadcast` while a dead
blockhash is replaced; only what the indexer saw finalized is `final`; whatever ends without a
payment says that the money is back.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, assert_never

from settlement.payouts.states import PayoutState


class WithdrawalStatus(StrEnum):
    """Where a withdrawal stands, for its owner. The last three are for ever."""

    REQUESTED = "requested"  # held, and a person approves it first
    APPROVED = "approved"  # it will go out; until it has a number it can be cancelled
    BROADCAST = "broadcast"
    CONFIRMED = "confirmed"
    FINAL = "final"
    CANCELLED = "cancelled"
    FAILED = "failed"


class Progress(StrEnum):
    """How far the payment itself has come on its way to the chain."""

    UNSENT = "unsent"
    SENT = "sent"
    CONFIRMED = "confirmed"


_S, _P, _W = PayoutState, Progress, WithdrawalStatus
_ON_THE_ROAD: Final[Mapping[Progress, WithdrawalStatus]] = {
    _P.UNSENT: _W.APPROVED,
    _P.SENT: _W.BROADCAST,
    _P.CONFIRMED: _W.CONFIRMED,
}


def _always(status: WithdrawalStatus) -> Mapping[Progress, WithdrawalStatus]:
    return dict.fromkeys(Progress, status)


VISIBLE: Final[Mapping[PayoutState, Mapping[Progress, WithdrawalStatus]]] = {
    _S.AWAITING_APPROVAL: _always(_W.REQUESTED),
    # Also when it lost its number to somebody else's payment: nothing of it is on its way.
    _S.REQUESTED: _always(_W.APPROVED),
    _S.NUMBERED: _ON_THE_ROAD,
    _S.SIGNED: _ON_THE_ROAD,
    _S.SENT: _ON_THE_ROAD,
    _S.PAID: _always(_W.FINAL),
    _S.SKIPPED: _always(_W.FAILED),
    _S.CANCELLED: _always(_W.CANCELLED),
}
# Where a signature is of this very payment, or of what ended it.
WITH_SIGNATURE: Final = frozenset({_W.BROADCAST, _W.CONFIRMED, _W.FINAL, _W.FAILED})
OVER: Final = frozenset({_W.FINAL, _W.CANCELLED, _W.FAILED})


@dataclass(frozen=True, kw_only=True)
class WithdrawalReason:
    """Why a withdrawal stands where it stands: a word for programs, a text for people."""

    code: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Notes:
    """What the row says beside its state."""

    not_before: datetime | None = None
    delay_reason: str | None = None
    second_approval: bool = False
    approvals: int = 0
    cancel_reason: str | None = None
    refused_by: str | None = None
    skip_reason: str | None = None


def shown(state: PayoutState, progress: Progress) -> WithdrawalStatus:
    """The one table."""
    return VISIBLE[state][progress]


def reasons(state: PayoutState, notes: Notes) -> tuple[WithdrawalReason, ...]:
    """Why it waits or how it ended, in the order in which it matters; empty on a smooth way."""
    match state:
        case PayoutState.AWAITING_APPROVAL:
            return (_approval(notes), *_delay(notes))
        case PayoutState.REQUESTED:
            return _delay(notes)
        case PayoutState.CANCELLED:
            code = "cancelled" if notes.refused_by is None else "refused"
            # After a restore it may say that it was paid before: nothing is added to the reason.
            return (_reason(code, str(notes.cancel_reason)),)
        case PayoutState.SKIPPED:
            why = notes.skip_reason or "it could not be paid"
            return (_reason("unpayable", f"{why}: the money is back"),)
        case PayoutState.NUMBERED | PayoutState.SIGNED | PayoutState.SENT:
            if notes.skip_reason is None:
                return ()
            return (_reason("giving_up", f"{notes.skip_reason}: it is given up on chain"),)
        case PayoutState.PAID:
            return ()
        case _:
            assert_never(state)


def _approval(notes: Notes) -> WithdrawalReason:
    if not notes.second_approval:
        return _reason("approval", "a person approves an amount like this first")
    done = "one of them has" if notes.approvals else "none of them has yet"
    return _reason("approval", f"two people approve an amount like this first: {done}")


def _delay(notes: Notes) -> tuple[WithdrawalReason, ...]:
    if notes.not_before is None:
        return ()
    moment = notes.not_before.isoformat(timespec="seconds")
    return (_reason("delayed", f"not before {moment}: {notes.delay_reason}"),)


def _reason(code: str, text: str) -> WithdrawalReason:
    return WithdrawalReason(code=code, text=text)
