"""What the signer signs at most, whoever asks: the bounds of one message, and the rates of all.

The rates bound what somebody can take who holds the worker, the database or both, and not the key:
they can make intents and holds up, but the signer counts what it has signed itself. Each payout
counts once, when it is first let through, however often its message is made again; it counts also
when the signature is then never used. The count is kept twice: in the database, which outlives this
process, and in this process, which outlives what somebody does to the database. Both must agree.
"""

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from settlement.chain.messages import Budget
from settlement.chain.program import Deployment
from settlement.db.pool import Tx
from settlement.db.sql import load
from settlement.errors import Refused
from settlement.money import LARGEST_AMOUNT_MICROUSDC, Lamports, MicroUsdc

_SQL = load("settlement.payouts", "policy.sql")
_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)
_REMEMBERED: Final = 2 * _DAY  # what is signed again after a day counts no second time
LARGEST_PRIORITY_FEE: Final = Lamports(100_000)
LARGEST_HOUR: Final = MicroUsdc(100_000_000_000)
LARGEST_DAY: Final = MicroUsdc(500_000_000_000)
MOST_OPENINGS_AN_HOUR: Final = 1_000


class Cause(StrEnum):
    """Why the signer would not sign: what it is counted under."""

    MESSAGE = "message"  # not one of ours, or not what follows from the intent
    UNHELD = "unheld"  # the books hold no such money
    PAYMENT = "payment"  # a single payment above the bound
    FEE = "fee"
    HOUR = "hour"
    DAY = "day"
    OPENINGS = "openings"


class SigningRefused(Refused):
    """This message is not what its intent asks for, or more than the signer's policy allows."""

    def __init__(self, cause: Cause, **details: object) -> None:
        super().__init__(None, cause=cause.value, **details)
        self.cause = cause

    @classmethod
    def of(cls, error: Refused) -> "SigningRefused":
        """The same refusal as one of the signer's."""
        return error if isinstance(error, cls) else cls(Cause.MESSAGE, problem=str(error))


@dataclass(frozen=True, kw_only=True)
class SigningPolicy:
    """The bounds. Everything a message names must be of this deployment: program, mint, till."""

    deployment: Deployment
    largest_payment_microusdc: MicroUsdc = LARGEST_AMOUNT_MICROUSDC
    largest_priority_fee_lamports: Lamports = LARGEST_PRIORITY_FEE
    largest_hour_microusdc: MicroUsdc = LARGEST_HOUR
    largest_day_microusdc: MicroUsdc = LARGEST_DAY
    most_openings_an_hour: int = MOST_OPENINGS_AN_HOUR  # token accounts whose rent we pay

    def bound_fee(self, budget: Budget) -> None:
        """Raises `SigningRefused` when a message offers more than it may for coming soon."""
        fee = budget.priority_fee_lamports
        if fee > self.largest_priority_fee_lamports:
            raise SigningRefused(Cause.FEE, problem="the priority fee is too high", lamports=fee)


@dataclass(frozen=True, kw_only=True)
class Payment:
    """A payout that a message would carry out, as the rates see it."""

    payout_id: UUID
    amount_microusdc: MicroUsdc
    opens_account: bool


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What was signed lately."""

    hour_microusdc: int
    day_microusdc: int
    hour_openings: int


@dataclass
class Tally:
    """What this process has let through lately, by payout."""

    payments: dict[UUID, tuple[datetime, int]] = field(
        default_factory=dict[UUID, tuple[datetime, int]]
    )
    openings: dict[UUID, datetime] = field(default_factory=dict[UUID, datetime])
    _oldest: deque[UUID] = field(default_factory=deque[UUID])

    def counts(self, now: datetime) -> Counts:
        """The sums, as far as this process knows."""
        self._forget(now - _REMEMBERED)
        hour_ago, day_ago = now - _HOUR, now - _DAY
        return Counts(
            hour_microusdc=sum(a for at, a in self.payments.values() if at > hour_ago),
            day_microusdc=sum(a for at, a in self.payments.values() if at > day_ago),
            hour_openings=sum(at > hour_ago for at in self.openings.values()),
        )

    def add(self, payments: Sequence[Payment], now: datetime) -> None:
        """Count these, each once."""
        for payment in payments:
            if payment.payout_id not in self.payments:
                self.payments[payment.payout_id] = (now, payment.amount_microusdc)
                self._oldest.append(payment.payout_id)
            if payment.opens_account:
                self.openings.setdefault(payment.payout_id, now)

    def _forget(self, before: datetime) -> None:
        while self._oldest and self.payments[self._oldest[0]][0] <= before:
            gone = self._oldest.popleft()
            del self.payments[gone]
            self.openings.pop(gone, None)


async def admit(
    tx: Tx,
    payments: Sequence[Payment],
    *,
    policy: SigningPolicy,
    tally: Tally,
    now: datetime,
) -> None:
    """Count the payments of one message against the rates, and let it through.

    Whoever calls signs only after this transaction is committed. Raises `SigningRefused`, with
    nothing counted.
    """
    for payment in payments:
        if payment.amount_microusdc > policy.largest_payment_microusdc:
            raise SigningRefused(
                Cause.PAYMENT,
                amount=payment.amount_microusdc,
                most=policy.largest_payment_microusdc,
            )
    await tx.execute(_SQL["one_at_a_time"])
    rows = await tx.fetch(_SQL["counted"], [payment.payout_id for payment in payments])
    stored = {row["payout_id"] for row in rows}, {r["payout_id"] for r in rows if r["opened"]}
    row = await tx.fetchrow(_SQL["signed_since"], now - _HOUR, now - _DAY)
    assert row is not None, "a sum is always one row"
    in_database = Counts(
        hour_microusdc=row["hour"], day_microusdc=row["day"], hour_openings=row["openings"]
    )
    _within(policy, payments, *stored, in_database)
    here = tally.counts(now)  # forgets what is over before we ask what it knows
    _within(policy, payments, tally.payments.keys(), tally.openings.keys(), here)
    for payment in payments:
        opened_at = now if payment.opens_account else None
        await tx.execute(_SQL["count"], payment.payout_id, payment.amount_microusdc, now, opened_at)
    tally.add(payments, now)


def _within(
    policy: SigningPolicy,
    payments: Sequence[Payment],
    paid: Collection[UUID],
    opened: Collection[UUID],
    so_far: Counts,
) -> None:
    more = sum(p.amount_microusdc for p in payments if p.payout_id not in paid)
    openings = sum(p.opens_account and p.payout_id not in opened for p in payments)
    bounds = (
        (Cause.HOUR, more, so_far.hour_microusdc, policy.largest_hour_microusdc),
        (Cause.DAY, more, so_far.day_microusdc, policy.largest_day_microusdc),
        (Cause.OPENINGS, openings, so_far.hour_openings, policy.most_openings_an_hour),
    )
    for cause, asked, before, most in bounds:
        if asked and before + asked > most:
            raise SigningRefused(cause, asked=asked, signed_before=before, most=most)
