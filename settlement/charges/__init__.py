"""What the coordinator charges: reserve, capture, release; and what a crash left behind."""

from settlement.charges.backing import LeaseTerms
from settlement.charges.door import Charges, Reservation
from settlement.charges.left_over import Delivered, Recovered, last_alive, settle_and_give_back
from settlement.charges.refusals import (
    AccountClosed,
    BooksFull,
    ChargeExceedsHold,
    InsufficientBalance,
    RequestClosed,
    RequestConflict,
    RequestOutsideWindow,
    RequestUnknown,
    Settled,
)

__all__ = [
    "AccountClosed",
    "BooksFull",
    "ChargeExceedsHold",
    "Charges",
    "Delivered",
    "InsufficientBalance",
    "LeaseTerms",
    "Recovered",
    "RequestClosed",
    "RequestConflict",
    "RequestOutsideWindow",
    "RequestUnknown",
    "Reservation",
    "Settled",
    "last_alive",
    "settle_and_give_back",
]
