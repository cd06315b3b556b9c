"""Withdrawals as their owners see them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import asyncpg

from settlement.db.pool import ReadConn
from settlement.db.sql import load
from settlement.errors import NotFound
from settlement.money import MicroUsdc
from settlement.payouts.states import PayoutState
from settlement.withdrawals.visible import (
    WITH_SIGNATURE,
    Notes,
    Progress,
    WithdrawalReason,
    WithdrawalStatus,
    reasons,
    shown,
)

_SQL = load("settlement.withdrawals", "withdrawals.sql")
_END_OF_TIME: Final = datetime(9999, 1, 1, tzinfo=UTC)
_LAST_ID: Final = UUID(int=2**128 - 1)


class UnknownWithdrawal(NotFound):
    """There is no withdrawal of this id."""


@dataclass(frozen=True, kw_only=True)
class Withdrawal:
    """One withdrawal as its owner sees it; `signature` from its first send on."""

    withdrawal_id: UUID
    provider_id: UUID | None
    user_id: UUID | None
    amount_microusdc: MicroUsdc
    destination: str
    destination_account: str | None  # the token account, once it has a number
    status: WithdrawalStatus
    reasons: tuple[WithdrawalReason, ...]
    requested_at: datetime
    not_before: datetime | None
    signature: str | None
    sequence: int | None

    @property
    def reason(self) -> str | None:
        """The first reason in words; None when there is none."""
        return self.reasons[0].text if self.reasons else None


async def status(conn: ReadConn, withdrawal_id: UUID) -> Withdrawal:
    """Where a withdrawal stands. Raises `UnknownWithdrawal`."""
    row = await conn.fetchrow(_SQL["withdrawal"], withdrawal_id)
    if row is None:
        raise UnknownWithdrawal(withdrawal_id=str(withdrawal_id))
    return _withdrawal(row)


async def owned(conn: ReadConn, withdrawal_id: UUID, owner_id: UUID) -> Withdrawal:
    """The same of this operator's or user's own. Raises `UnknownWithdrawal`."""
    found = await status(conn, withdrawal_id)
    if owner_id not in (found.provider_id, found.user_id):
        raise UnknownWithdrawal(withdrawal_id=str(withdrawal_id))
    return found


async def listed(
    conn: ReadConn, owner_id: UUID, *, before: Withdrawal | None, limit: int = 50
) -> Sequence[Withdrawal]:
    """An owner's withdrawals, newest first; the next page starts `before` the last of this.

    Those that arrive meanwhile are newer than any page: what follows a withdrawal stays the same.
    """
    moment = _END_OF_TIME if before is None else before.requested_at
    last_id = _LAST_ID if before is None else before.withdrawal_id
    rows = await conn.fetch(_SQL["withdrawals_of"], owner_id, moment, last_id, limit)
    return [_withdrawal(row) for row in rows]


def _withdrawal(row: asyncpg.Record) -> Withdrawal:
    state = PayoutState(row["state"])
    now = shown(state, Progress(row["progress"]))
    notes = Notes(
        not_before=row["not_before"],
        delay_reason=row["delay_reason"],
        second_approval=row["second_approval"],
        approvals=row["approvals"],
        cancel_reason=row["cancel_reason"],
        refused_by=row["refused_by"],
        skip_reason=row["skip_reason"],
    )
    return Withdrawal(
        withdrawal_id=row["payout_id"],
        provider_id=row["provider_id"],
        user_id=row["user_id"],
        amount_microusdc=MicroUsdc(row["amount"]),
        destination=row["destination"],
        destination_account=row["destination_account"],
        status=now,
        reasons=reasons(state, notes),
        requested_at=row["requested_at"],
        not_before=row["not_before"],
        signature=row["signature"] if now in WITH_SIGNATURE else None,
        sequence=row["sequence"],
    )
