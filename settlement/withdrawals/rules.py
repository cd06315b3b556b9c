"""How much may be withdrawn, how soon, and who approves it. Pure.

A day is the last 24 hours, wherever its owner lives: it has no midnight at which two days' amounts
could be taken at once, and no time zone or clock change makes it longer or shorter (ADR 0033).
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from settlement.errors import Refused
from settlement.money import MicroUsdc

DAY: Final = timedelta(days=1)
NO_DELAY: Final = timedelta(0)
_SMALLEST: Final = MicroUsdc(5_000_000)
_DAILY: Final = MicroUsdc(10_000_000_000)
_NEWCOMER_DAILY: Final = MicroUsdc(1_000_000_000)
_SECOND_APPROVAL: Final = MicroUsdc(5_000_000_000)
_USER_DAILY: Final = MicroUsdc(1_000_000_000)
_NEWCOMER_FOR: Final = timedelta(days=30)


class WithdrawalTooSmall(Refused):
    """The amount is below the smallest withdrawal."""


class DailyLimitReached(Refused):
    """Together with what was asked for in the last 24 hours this is above the daily limit."""


class UserWithdrawalsOff(Refused):
    """Withdrawals of unspent balance are not offered here."""


@dataclass(frozen=True, kw_only=True)
class WithdrawalLimits:
    """How little and how much; above the newcomer's amount a person approves first.

    `daily`, `newcomer_daily` and `second_approval` are compared with all of a day, not with the
    single amount: else large withdrawals would come in small pieces.
    """

    smallest_microusdc: MicroUsdc = _SMALLEST
    daily_microusdc: MicroUsdc = _DAILY
    newcomer_daily_microusdc: MicroUsdc = _NEWCOMER_DAILY
    newcomer_for: timedelta = _NEWCOMER_FOR
    second_approval_microusdc: MicroUsdc = _SECOND_APPROVAL  # above it, two people
    user_daily_microusdc: MicroUsdc = _USER_DAILY  # 0: users cannot withdraw
    first_use_delay: timedelta = NO_DELAY  # to an address that was never paid before
    changed_delay: timedelta = NO_DELAY  # to another address than the last one paid


@dataclass(frozen=True, kw_only=True)
class Past:
    """What its owner withdrew before, as far as the rules ask."""

    day_microusdc: MicroUsdc  # asked for in the last day and not given back
    paid_here: bool  # whether this destination was paid before
    last_paid_to: str | None


@dataclass(frozen=True, kw_only=True)
class Admission:
    """How a withdrawal may go on: after so many approvals, and not before a moment."""

    approvals: int
    not_before: datetime | None
    delay_reason: str | None


def day_began(now: datetime) -> datetime:
    """Since when what was asked for counts into the day that ends now."""
    # In UTC: elsewhere a day of Python's arithmetic may have 23 or 25 hours.
    return now.astimezone(UTC) - DAY


def admit_operator(
    amount_microusdc: MicroUsdc,
    destination: str,
    past: Past,
    *,
    wallet: str,
    enrolled_at: datetime,
    now: datetime,
    limits: WithdrawalLimits,
) -> Admission:
    """How an operator's withdrawal goes on. Raises `WithdrawalTooSmall`, `DailyLimitReached`.

    `wallet` is the one they enrolled with: known from the start, it is never new.
    """
    day = _within(amount_microusdc, past, limits.smallest_microusdc, limits.daily_microusdc)
    newcomer = now < enrolled_at + limits.newcomer_for
    approvals = 0
    if newcomer and day > limits.newcomer_daily_microusdc:
        approvals = 2 if day > limits.second_approval_microusdc else 1
    delay, reason = _delay(destination, past, wallet, limits)
    return Admission(
        approvals=approvals,
        not_before=now + delay if delay else None,
        delay_reason=reason if delay else None,
    )


def admit_user(amount_microusdc: MicroUsdc, past: Past, *, limits: WithdrawalLimits) -> Admission:
    """How a user's goes on; it may only go back where it came from, so nothing delays it.

    Raises `UserWithdrawalsOff`, `WithdrawalTooSmall`, `DailyLimitReached`.
    """
    if limits.user_daily_microusdc == 0:
        raise UserWithdrawalsOff
    _within(amount_microusdc, past, limits.smallest_microusdc, limits.user_daily_microusdc)
    return Admission(approvals=0, not_before=None, delay_reason=None)


def _within(amount: MicroUsdc, past: Past, smallest: MicroUsdc, daily: MicroUsdc) -> MicroUsdc:
    """The day with this amount in it."""
    if amount < smallest:
        raise WithdrawalTooSmall(field="amount_usdc", smallest_microusdc=smallest)
    day = past.day_microusdc + amount
    if day > daily:
        left = max(0, daily - past.day_microusdc)
        raise DailyLimitReached(field="amount_usdc", limit_microusdc=daily, left_microusdc=left)
    return MicroUsdc(day)


def _delay(
    destination: str, past: Past, wallet: str, limits: WithdrawalLimits
) -> tuple[timedelta, str]:
    """The longest delay that applies, and why."""
    first_use = destination != wallet and not past.paid_here
    changed = past.last_paid_to is not None and past.last_paid_to != destination
    found = [
        (
            limits.first_use_delay if first_use else NO_DELAY,
            "this destination was never paid before",
        ),
        (limits.changed_delay if changed else NO_DELAY, "the destination is not the last one paid"),
    ]
    return max(found, key=lambda each: each[0])
