"""Taking money out: asked for here, held at once, paid by the road in `payouts`.

`rules` (how much, how soon, who approves) and `visible` (what its owner is told) are pure;
`destination` asks the chain before anything is held; `request` writes it down with its hold;
`view` shows it. An operator withdraws earnings; a user, an unspent balance to where it came from.
"""

from settlement.withdrawals.asked import InvalidIdempotencyKey, WithdrawalRequest
from settlement.withdrawals.request import (
    IdempotencyKeyReused,
    InsufficientEarnings,
    InsufficientUnspent,
    NotPaidInFrom,
    TooLateToCancel,
    cancel,
    request,
    submit,
)
from settlement.withdrawals.rules import (
    DailyLimitReached,
    UserWithdrawalsOff,
    WithdrawalLimits,
    WithdrawalTooSmall,
)
from settlement.withdrawals.view import UnknownWithdrawal, Withdrawal, listed, owned, status
from settlement.withdrawals.visible import WithdrawalReason, WithdrawalStatus

__all__ = [
    "DailyLimitReached",
    "IdempotencyKeyReused",
    "InsufficientEarnings",
    "InsufficientUnspent",
    "InvalidIdempotencyKey",
    "NotPaidInFrom",
    "TooLateToCancel",
    "UnknownWithdrawal",
    "UserWithdrawalsOff",
    "Withdrawal",
    "WithdrawalLimits",
    "WithdrawalReason",
    "WithdrawalRequest",
    "WithdrawalStatus",
    "WithdrawalTooSmall",
    "cancel",
    "listed",
    "owned",
    "request",
    "status",
    "submit",
]
