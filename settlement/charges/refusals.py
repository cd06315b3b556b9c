"""Why the books refuse what a request asks of them, and which answer of theirs means which."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from settlement.errors import Conflict, NotFound, Refused
from settlement.ledger.operations import Code, Outcome
from settlement.money import MicroUsdc


class InsufficientBalance(Refused):
    """The balance, less what is set aside already, does not cover the request."""


class RequestUnknown(NotFound):
    """The request's user or operator has no account, or what it charges is not there."""


class RequestConflict(Conflict):
    """This request was settled before, with other content."""


class RequestClosed(Conflict):
    """The request is over: it was settled or given up."""


class ChargeExceedsHold(Refused):
    """The request cost more than was set aside for it."""


class AccountClosed(Refused):
    """The account takes no new requests."""


class BooksFull(Refused):
    """A turnover would pass 2^63 - 1 microunits."""


class RequestOutsideWindow(Refused):
    """The request's id is not of a day that the books keep at hand."""


@dataclass(frozen=True, kw_only=True)
class Settled:
    """How a request's gross was shared, and the user's balance after it."""

    gross_microusdc: MicroUsdc
    operator_microusdc: MicroUsdc
    treasury_microusdc: MicroUsdc
    balance_microusdc: int


def refused(outcome: Outcome, **about: UUID | str) -> Refused | Conflict | NotFound:
    """The error that belongs to an outcome that is none of success."""
    return _ERRORS[outcome.code](None, **about, outcome=outcome.code.value)


_ERRORS: Final[dict[Code, type[Refused] | type[Conflict] | type[NotFound]]] = {
    Code.INSUFFICIENT: InsufficientBalance,
    Code.CONFLICT: RequestConflict,
    Code.ACCOUNT_UNKNOWN: RequestUnknown,
    Code.ACCOUNT_CLOSED: AccountClosed,
    Code.HOLD_UNKNOWN: RequestUnknown,
    Code.HOLD_CLOSED: RequestClosed,
    Code.HOLD_EXCEEDED: ChargeExceedsHold,
    Code.OVERFLOW: BooksFull,
    Code.OUTSIDE_WINDOW: RequestOutsideWindow,
}
