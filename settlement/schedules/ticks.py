"""What is due of scheduled payouts, done: once for each operator and six hours, whoever starts it.

A tick asks for a withdrawal like the operator would, by the same door and rules, under an
idempotency key made of the six hours' beginning. So two workers, or one that died between the
withdrawal and the tick's own row, ask for the same withdrawal. Six hours that nobody was there for
are over; the ones that run now are looked at as soon as somebody is, and once.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import structlog

from settlement.chain.program import Deployment
from settlement.clock import Clock
from settlement.db.pool import Pool, ReadConn, reading, transaction
from settlement.db.sql import load
from settlement.errors import Refused, Unavailable
from settlement.ledger import store as ledger
from settlement.ledger.accounts import host
from settlement.ledger.operations import Writer
from settlement.money import MicroUsdc
from settlement.payouts.survey import AccountReader
from settlement.schedules.slots import key_of, slot_of
from settlement.schedules.store import TickOutcome
from settlement.withdrawals import (
    DailyLimitReached,
    IdempotencyKeyReused,
    InsufficientEarnings,
    Withdrawal,
    WithdrawalLimits,
    WithdrawalRequest,
    submit,
)

_SQL = load("settlement.schedules", "ticks.sql")
_BATCH: Final = 100
_FIRST: Final = UUID(int=0)
_TRIES: Final = 3
_log = structlog.stdlib.get_logger()


@dataclass(frozen=True, kw_only=True)
class Payer:
    """Everything that asking for a withdrawal needs."""

    pool: Pool
    writer: Writer
    deployment: Deployment
    clock: Clock
    limits: WithdrawalLimits
    chain: AccountReader | None  # None: destinations are judged only before they are paid


@dataclass(frozen=True, kw_only=True)
class _Due:
    provider_id: UUID
    threshold_microusdc: MicroUsdc
    destination: str
    slot: datetime


@dataclass(frozen=True, kw_only=True)
class _Ended:
    outcome: TickOutcome
    withdrawal_id: UUID | None = None
    detail: str | None = None


async def run_due(payer: Payer) -> int:
    """Do what is due now; says for how many operators.

    One that cannot be asked for now keeps no other waiting. Raises its `Unavailable` at the end:
    run again, and only those that are left are looked at.
    """
    slot = slot_of(payer.clock.now())
    done, last = 0, _FIRST
    away: Unavailable | None = None
    while True:
        async with reading(payer.pool) as conn:
            rows = await conn.fetch(_SQL["due"], slot, last, _BATCH)
        for row in rows:
            last = row["provider_id"]
            due = _Due(
                provider_id=last,
                threshold_microusdc=MicroUsdc(row["threshold"]),
                destination=row["destination"],
                slot=slot,
            )
            try:
                done += await _tick(payer, due)
            except Unavailable as error:
                away = error
        if len(rows) < _BATCH:
            break
    if away is not None:
        raise away
    return done


async def _tick(payer: Payer, due: _Due) -> bool:
    ended = await _asked(payer, due)
    async with transaction(payer.pool) as tx:
        added = await tx.fetchval(
            _SQL["add_tick"],
            due.provider_id,
            due.slot,
            ended.outcome,
            ended.withdrawal_id,
            ended.detail,
            payer.clock.now(),
        )
    if added is not None:
        _log.info(
            "scheduled_payout",
            provider=str(due.provider_id),
            outcome=ended.outcome,
            withdrawal=str(ended.withdrawal_id),
            detail=ended.detail,
        )
    return added is not None


async def _asked(payer: Payer, due: _Due) -> _Ended:
    """Ask for all that can be withdrawn, or for what is left of the day; or find it asked for."""
    key = key_of(due.slot)
    for _ in range(_TRIES):
        async with reading(payer.pool) as conn:
            # In this order: money that another worker took in between is seen to be asked for.
            amount = await _withdrawable(conn, due.provider_id)
            before = await conn.fetchval(_SQL["asked_before"], due.provider_id, key)
        if before is not None:
            return _Ended(outcome=TickOutcome.REQUESTED, withdrawal_id=before)
        if amount < due.threshold_microusdc:
            break
        try:
            made = await _submit(payer, due, amount, key)
        except (InsufficientEarnings, IdempotencyKeyReused):
            continue  # somebody was faster: look again
        except DailyLimitReached:
            return _Ended(outcome=TickOutcome.DAILY_LIMIT)
        except Refused as error:
            return _Ended(outcome=TickOutcome.REFUSED, detail=str(error))
        return _Ended(outcome=TickOutcome.REQUESTED, withdrawal_id=made.withdrawal_id)
    return _Ended(outcome=TickOutcome.BELOW_THRESHOLD)


async def _withdrawable(conn: ReadConn, provider_id: UUID) -> MicroUsdc:
    try:
        return MicroUsdc((await ledger.balance(conn, host(provider_id))).available_microusdc)
    except ledger.AccountMissing:
        return MicroUsdc(0)


async def _submit(payer: Payer, due: _Due, amount: MicroUsdc, key: str) -> Withdrawal:
    try:
        return await _submit_exactly(payer, due, amount, key)
    except DailyLimitReached as error:
        left = error.details["left_microusdc"]
        assert isinstance(left, int), "the limit says how much is left"
        if left < payer.limits.smallest_microusdc:
            raise
        return await _submit_exactly(payer, due, MicroUsdc(left), key)


async def _submit_exactly(payer: Payer, due: _Due, amount: MicroUsdc, key: str) -> Withdrawal:
    asked = WithdrawalRequest(
        provider_id=due.provider_id,
        amount_microusdc=amount,
        destination=due.destination,
        idempotency_key=key,
    )
    return await submit(
        payer.pool,
        payer.writer,
        asked,
        deployment=payer.deployment,
        clock=payer.clock,
        limits=payer.limits,
        chain=payer.chain,
    )
