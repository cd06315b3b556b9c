"""What operators have asked for: automatic payouts, above which amount, where to."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from settlement.chain.program import Deployment
from settlement.db.pool import ReadConn, Tx
from settlement.db.sql import load
from settlement.deposits import enrolled_operator
from settlement.money import MicroUsdc, positive_amount
from settlement.payouts.intent import address
from settlement.withdrawals import WithdrawalLimits, WithdrawalTooSmall

_SQL = load("settlement.schedules", "schedules.sql")
THRESHOLD: Final = "threshold_usdc"


class TickOutcome(StrEnum):
    """What became of an operator's six hours."""

    REQUESTED = "requested"  # a withdrawal was asked for
    BELOW_THRESHOLD = "below_threshold"
    DAILY_LIMIT = "daily_limit"  # what is left of the day is less than the smallest withdrawal
    REFUSED = "refused"  # `detail` says why


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """An operator's choice. `destination` None: the enrolled wallet, which is `wallet`."""

    enabled: bool
    threshold_microusdc: MicroUsdc
    destination: str | None
    wallet: str
    enabled_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Tick:
    """One of an operator's six hours."""

    slot_at: datetime
    outcome: TickOutcome
    withdrawal_id: UUID | None
    amount_microusdc: MicroUsdc | None
    detail: str | None


async def schedule_of(conn: ReadConn, provider_id: UUID, *, limits: WithdrawalLimits) -> Schedule:
    """What the operator has asked for; off while that is nothing. Raises `NotEnrolled`."""
    row = await conn.fetchrow(_SQL["schedule"], provider_id)
    if row is None:
        operator = await enrolled_operator(conn, provider_id)
        return Schedule(
            enabled=False,
            threshold_microusdc=limits.smallest_microusdc,
            destination=None,
            wallet=operator.wallet,
        )
    return Schedule(
        enabled=row["enabled"],
        threshold_microusdc=MicroUsdc(row["threshold"]),
        destination=row["destination"],
        wallet=row["wallet"],
        enabled_at=row["enabled_at"],
    )


async def choose(
    tx: Tx,
    provider_id: UUID,
    *,
    enabled: bool,
    threshold_microusdc: int,
    destination: str | None,
    deployment: Deployment,
    limits: WithdrawalLimits,
    now: datetime,
) -> None:
    """Replace what the operator has asked for.

    Raises `DestinationRefused`, `WithdrawalTooSmall` (naming the field) or `NotEnrolled`.
    """
    threshold = positive_amount(threshold_microusdc, field=THRESHOLD)
    if threshold < limits.smallest_microusdc:
        raise WithdrawalTooSmall(field=THRESHOLD, smallest_microusdc=limits.smallest_microusdc)
    if destination is not None:
        address(destination, deployment=deployment, field="destination")
    await enrolled_operator(tx, provider_id)
    await tx.execute(_SQL["put_schedule"], provider_id, enabled, threshold, destination, now)


async def ticks_of(conn: ReadConn, provider_id: UUID, *, limit: int) -> Sequence[Tick]:
    """What became of the operator's last six hours, newest first."""
    return [
        Tick(
            slot_at=row["slot_at"],
            outcome=TickOutcome(row["outcome"]),
            withdrawal_id=row["withdrawal_id"],
            amount_microusdc=None if row["amount"] is None else MicroUsdc(row["amount"]),
            detail=row["detail"],
        )
        for row in await conn.fetch(_SQL["ticks"], provider_id, limit)
    ]
