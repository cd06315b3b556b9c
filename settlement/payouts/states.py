"""The life of a payout, as a table. Pure.

    awaiting_approval -approve-> requested -number-> numbered -sign-> signed -send-> sent
           |                      |                    ^                |             |
           cancel                 cancel               +----- expire ---+-------------+
           v                      v
        cancelled              cancelled

    numbered | signed | sent:  -paid->     paid       the number was used for this very payment
                               -skipped->  skipped    the number was burned: the money goes back
                               -number_lost-> requested   the chain used the number for something
                                                      else, so this payout can never use it
    requested:                 -paid->     paid       the books, restored from a backup, had
                                                      forgotten its number

Only the indexer, seeing it finalized, makes `paid`, `skipped` and `number_lost`. `expire` means
that a blockhash died, nothing about money: the same number is signed again, and the chain accepts
a number once. What is not in the table raises; the database holds the same table.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from settlement.errors import Conflict


class PayoutState(StrEnum):
    """Where a payout stands. The last three are final."""

    AWAITING_APPROVAL = "awaiting_approval"
    REQUESTED = "requested"
    NUMBERED = "numbered"
    SIGNED = "signed"
    SENT = "sent"
    PAID = "paid"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


class PayoutEvent(StrEnum):
    """What can happen to a payout."""

    APPROVE = "approve"
    CANCEL = "cancel"
    NUMBER = "number"
    SIGN = "sign"
    SEND = "send"
    EXPIRE = "expire"
    PAID = "paid"
    SKIPPED = "skipped"
    NUMBER_LOST = "number_lost"


class PayoutKind(StrEnum):
    """What the till's money does: go to a wallet, or become an operator's escrowed bond."""

    PAY = "pay"
    FUND_BOND = "fund_bond"


class WrongPayoutState(Conflict):
    """This cannot happen to a payout where it stands."""


_S, _E = PayoutState, PayoutEvent
TRANSITIONS: Final[Mapping[tuple[PayoutState, PayoutEvent], PayoutState]] = {
    (_S.AWAITING_APPROVAL, _E.APPROVE): _S.REQUESTED,
    (_S.AWAITING_APPROVAL, _E.CANCEL): _S.CANCELLED,
    (_S.REQUESTED, _E.NUMBER): _S.NUMBERED,
    (_S.REQUESTED, _E.CANCEL): _S.CANCELLED,
    (_S.REQUESTED, _E.PAID): _S.PAID,
    (_S.NUMBERED, _E.SIGN): _S.SIGNED,
    (_S.NUMBERED, _E.EXPIRE): _S.NUMBERED,
    (_S.NUMBERED, _E.PAID): _S.PAID,
    (_S.NUMBERED, _E.SKIPPED): _S.SKIPPED,
    (_S.NUMBERED, _E.NUMBER_LOST): _S.REQUESTED,
    (_S.SIGNED, _E.SEND): _S.SENT,
    (_S.SIGNED, _E.EXPIRE): _S.NUMBERED,
    (_S.SIGNED, _E.PAID): _S.PAID,
    (_S.SIGNED, _E.SKIPPED): _S.SKIPPED,
    (_S.SIGNED, _E.NUMBER_LOST): _S.REQUESTED,
    (_S.SENT, _E.SEND): _S.SENT,
    (_S.SENT, _E.EXPIRE): _S.NUMBERED,
    (_S.SENT, _E.PAID): _S.PAID,
    (_S.SENT, _E.SKIPPED): _S.SKIPPED,
    (_S.SENT, _E.NUMBER_LOST): _S.REQUESTED,
}
ON_THE_ROAD: Final = (_S.NUMBERED, _S.SIGNED, _S.SENT)  # it has a number, and no end yet
WITH_NUMBER: Final = frozenset({*ON_THE_ROAD, _S.PAID, _S.SKIPPED})
FINAL: Final = frozenset({_S.PAID, _S.SKIPPED, _S.CANCELLED})


def after(state: PayoutState, event: PayoutEvent) -> PayoutState:
    """The state that follows; raises `WrongPayoutState` for a pair that is not in the table."""
    found = TRANSITIONS.get((state, event))
    if found is None:
        raise WrongPayoutState(state=state.value, event=event.value)
    return found
