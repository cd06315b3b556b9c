"""Payouts as finance sees them: what waits for a person, what is on its way, how one came about."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import asyncpg

from settlement.db.pool import Pool, ReadConn, reading
from settlement.db.sql import load
from settlement.money import MicroUsdc
from settlement.payouts.decide import UnknownPayout
from settlement.payouts.states import FINAL, PayoutState

_SQL = load("settlement.payouts", "queue.sql")
_PAGE: Final = 500
_NEWEST_MESSAGES: Final = 20
_BEGINNING: Final = (datetime(1970, 1, 1, tzinfo=UTC), UUID(int=0))
WAITING: Final = (PayoutState.AWAITING_APPROVAL,)
OPEN: Final = tuple(state for state in PayoutState if state not in FINAL)


@dataclass(frozen=True, kw_only=True)
class Queued:
    """One payout, with what a person decides by."""

    payout_id: UUID
    kind: str
    account: str
    amount_microusdc: MicroUsdc
    destination: str
    destination_kind: str
    state: PayoutState
    requested_at: datetime
    not_before: datetime | None
    sequence: int | None
    approvals_needed: int
    approved_by: tuple[str, ...]
    reason: str | None  # why it is delayed, given up, cancelled or refused
    refused_by: str | None
    outcome_reference: str | None

    @property
    def approvals_missing(self) -> int:
        """How many people still have to approve it."""
        waits = self.state is PayoutState.AWAITING_APPROVAL
        return max(0, self.approvals_needed - len(self.approved_by)) if waits else 0


@dataclass(frozen=True, kw_only=True)
class Approval:
    """Who approved it, when, and as whom that person was in the database."""

    approved_by: str
    approved_at: datetime
    login: str


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message it was in."""

    attempt: int
    action: str
    signature: str | None
    built_at: datetime
    sends: int
    confirmed_at: datetime | None
    ended: str | None
    problem: str | None


@dataclass(frozen=True, kw_only=True)
class Story:
    """One payout with everything that happened to it."""

    payout: Queued
    approvals: tuple[Approval, ...]
    messages: tuple[Message, ...]


async def queued(pool: Pool, states: Sequence[PayoutState]) -> AsyncIterator[Queued]:
    """Payouts in these states, oldest first, page by page."""
    moment, last = _BEGINNING
    while True:
        async with reading(pool) as conn:
            rows = await conn.fetch(_SQL["payouts"], list(states), moment, last, _PAGE)
        for row in rows:
            yield _queued(row)
        if len(rows) < _PAGE:
            return
        moment, last = rows[-1]["requested_at"], rows[-1]["payout_id"]


async def story(conn: ReadConn, payout_id: UUID) -> Story:
    """One payout. Raises `UnknownPayout`."""
    row = await conn.fetchrow(_SQL["payout"], payout_id)
    if row is None:
        raise UnknownPayout(payout_id=str(payout_id))
    approvals = await conn.fetch(_SQL["approvals_of"], payout_id)
    messages = await conn.fetch(_SQL["messages_of"], payout_id, _NEWEST_MESSAGES)
    return Story(
        payout=_queued(row),
        approvals=tuple(Approval(**each) for each in approvals),
        messages=tuple(_message(each) for each in messages),
    )


def _queued(row: asyncpg.Record) -> Queued:
    return Queued(
        payout_id=row["payout_id"],
        kind=row["kind"],
        account=row["account"],
        amount_microusdc=MicroUsdc(row["amount"]),
        destination=row["destination"],
        destination_kind=row["destination_kind"],
        state=PayoutState(row["state"]),
        requested_at=row["requested_at"],
        not_before=row["not_before"],
        sequence=row["sequence"],
        approvals_needed=int(row["needs_approval"]) + int(row["second_approval"]),
        approved_by=tuple(row["approved_by"]),
        reason=row["cancel_reason"] or row["skip_reason"] or row["delay_reason"],
        refused_by=row["refused_by"],
        outcome_reference=row["outcome_reference"],
    )


def _message(row: asyncpg.Record) -> Message:
    return Message(
        attempt=row["attempt"],
        action=row["action"],
        signature=row["signature"],
        built_at=row["built_at"],
        sends=row["sends"],
        confirmed_at=row["confirmed_at"],
        ended=row["ended"],
        problem=row["refusal"] or row["problem"],
    )
