"""An operator takes earnings out: asked for here, held at once, paid by the road in `payouts`.

A request is one database transaction: the limits are checked under a lock per operator, the intent
is written, the money is held. The same idempotency key again gives the same withdrawal. It can be
cancelled until it has a number; after that only the chain ends it: paid, or its number burned and
the money back.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, assert_never
from uuid import UUID

import asyncpg

from settlement.chain.program import Deployment
from settlement.clock import Clock, new_id
from settlement.db.pool import Pool, ReadConn, Tx, retried, transaction
from settlement.db.sql import load
from settlement.deposits import enrolled_operator
from settlement.errors import Conflict, NotFound, Refused
from settlement.ledger import store as ledger
from settlement.ledger.accounts import host
from settlement.ledger.operations import Code, Hold, HoldPurpose, Operation, Void, Writer
from settlement.money import MicroUsdc, positive_amount
from settlement.payouts import store
from settlement.payouts.intent import reference_of, wallet
from settlement.payouts.states import WITH_NUMBER, PayoutEvent, PayoutKind, PayoutState, after

_SQL = load("settlement", "withdrawals.sql")
LONGEST_KEY: Final = 255
_SMALLEST: Final = MicroUsdc(5_000_000)
_DAILY: Final = MicroUsdc(10_000_000_000)
_NEWCOMER_DAILY: Final = MicroUsdc(1_000_000_000)
_DAY: Final = timedelta(days=1)
_NEWCOMER_FOR: Final = timedelta(days=30)
_LAST_ID: Final = UUID(int=2**128 - 1)


class UnknownWithdrawal(NotFound):
    """There is no withdrawal of this id."""


class WithdrawalTooSmall(Refused):
    """The amount is below the smallest withdrawal."""


class DailyLimitReached(Refused):
    """Together with what was asked for in the last 24 hours this is above the daily limit."""


class InsufficientEarnings(Refused):
    """The operator's available earnings do not cover this withdrawal."""


class InvalidIdempotencyKey(Refused):
    """An idempotency key has between 1 and 255 characters."""


class IdempotencyKeyReused(Conflict):
    """This idempotency key was used for another withdrawal."""


class TooLateToCancel(Conflict):
    """The withdrawal has its number: only the chain ends it now."""


class WithdrawalStatus(StrEnum):
    """What an operator is told of a withdrawal (wire.md §10.6 knows the middle three)."""

    AWAITING_APPROVAL = "awaiting_approval"
    REQUESTED = "requested"
    BROADCAST = "broadcast"
    CONFIRMED = "confirmed"
    CANCELLED = "cancelled"  # the money is back in the operator's account


@dataclass(frozen=True, kw_only=True)
class WithdrawalLimits:
    """How little and how much; above the newcomer's amount a person approves first."""

    smallest_microusdc: MicroUsdc = _SMALLEST
    daily_microusdc: MicroUsdc = _DAILY
    newcomer_daily_microusdc: MicroUsdc = _NEWCOMER_DAILY
    newcomer_for: timedelta = _NEWCOMER_FOR


@dataclass(frozen=True, kw_only=True)
class Withdrawal:
    """One withdrawal as its operator sees it; `signature` from its first send on."""

    withdrawal_id: UUID
    provider_id: UUID
    amount_microusdc: MicroUsdc
    destination: str
    status: WithdrawalStatus
    requested_at: datetime
    signature: str | None
    sequence: int | None
    reason: str | None


@dataclass(frozen=True, kw_only=True)
class WithdrawalRequest:
    """What an operator asks for. `destination` is a wallet in base58, still to be checked."""

    provider_id: UUID
    amount_microusdc: int
    destination: str
    idempotency_key: str | None = None


async def request(
    tx: Tx,
    asked: WithdrawalRequest,
    *,
    withdrawal_id: UUID,
    deployment: Deployment,
    now: datetime,
    limits: WithdrawalLimits | None = None,
) -> tuple[Withdrawal, list[Operation]]:
    """Write a withdrawal down; the caller applies the operations in the same transaction.

    A request that is already there (same key or id, same content) comes back with no operations.
    Raises `Refused` errors that name the field, `NotEnrolled` or `IdempotencyKeyReused`.
    """
    rules = limits or WithdrawalLimits()
    amount = positive_amount(asked.amount_microusdc, field="amount_usdc")
    destination = wallet(asked.destination, deployment=deployment, field="destination")
    key = asked.idempotency_key
    if key is not None and not 0 < len(key) <= LONGEST_KEY:
        raise InvalidIdempotencyKey(field="idempotency_key", length=len(key))
    await tx.execute(_SQL["one_at_a_time"], asked.provider_id)
    before = await tx.fetchval(_SQL["by_key"], asked.provider_id, key, withdrawal_id)
    if before is not None:
        return await _same_again(tx, before, amount, str(destination)), []
    operator = await enrolled_operator(tx, asked.provider_id)
    state = await _admit(tx, asked.provider_id, amount, operator.enrolled_at, now, rules)
    await tx.execute(
        _SQL["add_withdrawal"],
        withdrawal_id,
        asked.provider_id,
        host(asked.provider_id),
        amount,
        str(destination),
        operator.code.encode("ascii"),
        reference_of(withdrawal_id),
        key,
        state,
        now,
    )
    hold = Hold(
        hold_id=withdrawal_id,
        account=host(asked.provider_id),
        amount_microusdc=amount,
        purpose=HoldPurpose.PAYOUT,
    )
    return await status(tx, withdrawal_id), [hold]


async def _same_again(
    tx: Tx, withdrawal_id: UUID, amount: MicroUsdc, destination: str
) -> Withdrawal:
    found = await status(tx, withdrawal_id)
    if (found.amount_microusdc, found.destination) != (amount, destination):
        raise IdempotencyKeyReused(
            field="idempotency_key",
            withdrawal_id=str(withdrawal_id),
            amount_microusdc=found.amount_microusdc,
        )
    return found


async def _admit(
    tx: Tx,
    provider_id: UUID,
    amount: MicroUsdc,
    enrolled_at: datetime,
    now: datetime,
    limits: WithdrawalLimits,
) -> PayoutState:
    if amount < limits.smallest_microusdc:
        raise WithdrawalTooSmall(field="amount_usdc", smallest_microusdc=limits.smallest_microusdc)
    so_far = int(await tx.fetchval(_SQL["requested_since"], provider_id, now - _DAY))
    if so_far + amount > limits.daily_microusdc:
        raise DailyLimitReached(
            field="amount_usdc",
            limit_microusdc=limits.daily_microusdc,
            left_microusdc=max(0, limits.daily_microusdc - so_far),
        )
    newcomer = now < enrolled_at + limits.newcomer_for
    # The day's sum, not the single amount: else large withdrawals would come in small pieces.
    if newcomer and so_far + amount > limits.newcomer_daily_microusdc:
        return PayoutState.AWAITING_APPROVAL
    return PayoutState.REQUESTED


async def submit(
    pool: Pool,
    writer: Writer,
    asked: WithdrawalRequest,
    *,
    deployment: Deployment,
    clock: Clock,
    limits: WithdrawalLimits | None = None,
) -> Withdrawal:
    """The whole request in one transaction: intent and hold, or nothing.

    Raises what `request` raises, and `InsufficientEarnings`.
    """
    withdrawal_id = new_id(clock)

    async def once() -> Withdrawal:
        async with transaction(pool) as tx:
            withdrawal, operations = await request(
                tx,
                asked,
                withdrawal_id=withdrawal_id,
                deployment=deployment,
                now=clock.now(),
                limits=limits,
            )
            for outcome in await ledger.apply(tx, writer, operations):
                if outcome.code is Code.INSUFFICIENT:
                    await _insufficient(tx, asked)
                assert outcome.done, f"a withdrawal's hold ended as {outcome.code}"
            return withdrawal

    return await retried(once)


async def _insufficient(tx: Tx, asked: WithdrawalRequest) -> None:
    account = await ledger.balance(tx, host(asked.provider_id))
    raise InsufficientEarnings(field="amount_usdc", available_microusdc=account.available_microusdc)


async def status(conn: ReadConn, withdrawal_id: UUID) -> Withdrawal:
    """Where a withdrawal stands. Raises `UnknownWithdrawal`."""
    row = await conn.fetchrow(_SQL["withdrawal"], withdrawal_id)
    if row is None:
        raise UnknownWithdrawal(withdrawal_id=str(withdrawal_id))
    return _withdrawal(row)


async def listed(
    conn: ReadConn, provider_id: UUID, *, before: Withdrawal | None, now: datetime, limit: int = 50
) -> Sequence[Withdrawal]:
    """An operator's withdrawals, newest first; the next page starts `before` the last of this."""
    moment = now + _DAY if before is None else before.requested_at
    last_id = _LAST_ID if before is None else before.withdrawal_id
    rows = await conn.fetch(_SQL["withdrawals_of"], provider_id, moment, last_id, limit)
    return [_withdrawal(row) for row in rows]


async def cancel(
    tx: Tx, withdrawal_id: UUID, *, provider_id: UUID, reason: str
) -> tuple[Withdrawal, list[Operation]]:
    """Take a withdrawal back before it has a number; the caller applies the operations.

    Raises `UnknownWithdrawal` (also for another operator's) or `TooLateToCancel`.
    """
    intent = await store.locked(tx, withdrawal_id)
    if intent is None or intent.provider_id != provider_id or intent.kind is not PayoutKind.PAY:
        raise UnknownWithdrawal(withdrawal_id=str(withdrawal_id))
    if intent.state is PayoutState.CANCELLED:
        return await status(tx, withdrawal_id), []
    if intent.state in WITH_NUMBER:
        raise TooLateToCancel(withdrawal_id=str(withdrawal_id), state=intent.state.value)
    after(intent.state, PayoutEvent.CANCEL)
    done = await tx.fetchval(_SQL["cancel"], withdrawal_id, intent.state, reason)
    assert done is not None, "the payout is locked"
    return await status(tx, withdrawal_id), [Void(hold_id=withdrawal_id, reason=reason)]


def _withdrawal(row: asyncpg.Record) -> Withdrawal:
    state = PayoutState(row["state"])
    return Withdrawal(
        withdrawal_id=row["payout_id"],
        provider_id=row["provider_id"],
        amount_microusdc=MicroUsdc(row["amount"]),
        destination=row["destination"],
        status=_shown(state, sent=row["signature"] is not None),
        requested_at=row["requested_at"],
        signature=row["signature"],
        sequence=row["sequence"],
        reason=row["reason"],
    )


def _shown(state: PayoutState, *, sent: bool) -> WithdrawalStatus:
    match state:
        case PayoutState.AWAITING_APPROVAL:
            return WithdrawalStatus.AWAITING_APPROVAL
        case PayoutState.PAID:
            return WithdrawalStatus.CONFIRMED
        case PayoutState.SKIPPED | PayoutState.CANCELLED:
            return WithdrawalStatus.CANCELLED
        case PayoutState.REQUESTED:
            return WithdrawalStatus.REQUESTED
        case PayoutState.NUMBERED | PayoutState.SIGNED | PayoutState.SENT:
            # Once it was sent it stays broadcast, also while a dead blockhash is replaced.
            return WithdrawalStatus.BROADCAST if sent else WithdrawalStatus.REQUESTED
        case _:
            assert_never(state)
