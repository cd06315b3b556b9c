"""A withdrawal is asked for, once, and can be taken back until it has a number.

A request is one database transaction: the limits are checked under a lock per owner, the intent
is written, the money is held. The same idempotency key again gives the same withdrawal, whatever
the chain says by then. Whatever is wrong is found before that transaction, as far as it can be, so
that no node is asked for a request that the books refuse; the transaction checks it all again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from settlement.chain.program import Deployment
from settlement.clock import Clock, new_id
from settlement.db.pool import Pool, ReadConn, Tx, reading, retried, transaction
from settlement.db.sql import load
from settlement.deposits import NotEnrolled, enrolled_operator
from settlement.errors import Conflict, Refused
from settlement.ledger import store as ledger
from settlement.ledger.operations import (
    Code,
    Hold,
    HoldPurpose,
    Operation,
    Void,
    Writer,
)
from settlement.money import MicroUsdc
from settlement.payouts import store
from settlement.payouts.intent import (
    DestinationKind,
    DestinationRefused,
    arrives_at,
    reference_of,
)
from settlement.payouts.states import WITH_NUMBER, PayoutEvent, PayoutKind, PayoutState, after
from settlement.payouts.survey import AccountReader
from settlement.withdrawals.asked import Wanted, WithdrawalRequest, read_words
from settlement.withdrawals.destination import checked, unchecked
from settlement.withdrawals.rules import (
    Admission,
    Past,
    WithdrawalLimits,
    admit_operator,
    admit_user,
    day_began,
)
from settlement.withdrawals.view import UnknownWithdrawal, Withdrawal, status

_SQL = load("settlement.withdrawals", "withdrawals.sql")


class InsufficientEarnings(Refused):
    """The operator's available earnings do not cover this withdrawal."""


class InsufficientUnspent(InsufficientEarnings):
    """The unspent balance does not cover this withdrawal."""


class NotPaidInFrom(DestinationRefused):
    """Unspent balance goes back to where it came from: this account paid no deposit of yours."""


class IdempotencyKeyReused(Conflict):
    """This idempotency key was used for another withdrawal."""


class TooLateToCancel(Conflict):
    """The withdrawal has its number: only the chain ends it now."""


@dataclass(frozen=True, kw_only=True)
class _Admitted:
    """How it may go on, and the eight bytes its payment names its owner by."""

    admission: Admission
    code: bytes


async def submit(
    pool: Pool,
    writer: Writer,
    asked: WithdrawalRequest,
    *,
    deployment: Deployment,
    clock: Clock,
    limits: WithdrawalLimits | None = None,
    chain: AccountReader | None = None,
) -> Withdrawal:
    """The whole request: intent and hold in one transaction, or nothing.

    Without a `chain` the destination must be a wallet, and is judged only before it is paid.
    Raises what `request` raises, `InsufficientEarnings`, and what asking the chain raises.
    """
    wanted = read_words(asked, deployment)
    withdrawal_id = new_id(clock)
    rules = limits or WithdrawalLimits()

    async def before() -> Withdrawal | int:
        async with reading(pool) as conn:
            return await _look_ahead(
                conn,
                wanted,
                withdrawal_id=withdrawal_id,
                deployment=deployment,
                now=clock.now(),
                limits=rules,
            )

    opened = await retried(before)
    if isinstance(opened, Withdrawal):
        return opened
    kind = (
        unchecked(wanted.destination)
        if chain is None
        else await checked(chain, wanted.destination, deployment=deployment, opened=opened)
    )

    async def once() -> Withdrawal:
        async with transaction(pool) as tx:
            withdrawal, operations = await request(
                tx,
                asked,
                withdrawal_id=withdrawal_id,
                deployment=deployment,
                now=clock.now(),
                limits=rules,
                kind=kind,
            )
            for outcome in await ledger.apply(tx, writer, operations):
                if outcome.code is Code.INSUFFICIENT:
                    await _require(tx, wanted)
                assert outcome.done, f"a withdrawal's hold ended as {outcome.code}"
            return withdrawal

    return await retried(once)


async def request(
    tx: Tx,
    asked: WithdrawalRequest,
    *,
    withdrawal_id: UUID,
    deployment: Deployment,
    now: datetime,
    limits: WithdrawalLimits | None = None,
    kind: DestinationKind | None = None,
) -> tuple[Withdrawal, list[Operation]]:
    """Write a withdrawal down; the caller applies the operations in the same transaction.

    A request that is already there (same key or id, same content) comes back with no operations.
    `kind` is what the chain said of the destination; without it, it must be a wallet.
    Raises `Refused` errors that name the field, `NotEnrolled` or `IdempotencyKeyReused`.
    """
    wanted = read_words(asked, deployment)
    found_kind = unchecked(wanted.destination) if kind is None else kind
    await store.one_at_a_time(tx, wanted.owner_id)
    found = await _same_again(tx, wanted, withdrawal_id)
    if found is not None:
        return found, []
    admitted = await _admit(tx, wanted, now, limits or WithdrawalLimits())
    if asked.user_id is not None:
        await _require_source(tx, wanted, (found_kind,), deployment)
    await _write(tx, wanted, withdrawal_id, found_kind, admitted, now)
    hold = Hold(
        hold_id=withdrawal_id,
        account=asked.account,
        amount_microusdc=wanted.amount_microusdc,
        purpose=HoldPurpose.PAYOUT,
    )
    return await status(tx, withdrawal_id), [hold]


async def cancel(
    tx: Tx, withdrawal_id: UUID, *, owner_id: UUID, reason: str
) -> tuple[Withdrawal, list[Operation]]:
    """Take a withdrawal back before it has a number; the caller applies the operations.

    Raises `UnknownWithdrawal` (also for somebody else's), `TooLateToCancel`, or `PastUnknown` while
    restored books may have forgotten that it was paid.
    """
    intent = await store.locked(tx, withdrawal_id)
    if intent is None or intent.kind is not PayoutKind.PAY:
        raise UnknownWithdrawal(withdrawal_id=str(withdrawal_id))
    if owner_id not in (intent.provider_id, intent.user_id):
        raise UnknownWithdrawal(withdrawal_id=str(withdrawal_id))
    if intent.state is PayoutState.CANCELLED:
        return await status(tx, withdrawal_id), []
    if intent.state in WITH_NUMBER:
        raise TooLateToCancel(withdrawal_id=str(withdrawal_id), state=intent.state.value)
    after(intent.state, PayoutEvent.CANCEL)
    await store.require_known_past(tx, withdrawal_id)
    done = await tx.fetchval(_SQL["cancel"], withdrawal_id, intent.state, reason)
    assert done is not None, "the payout is locked"
    return await status(tx, withdrawal_id), [Void(hold_id=withdrawal_id, reason=reason)]


async def _look_ahead(
    conn: ReadConn,
    wanted: Wanted,
    *,
    withdrawal_id: UUID,
    deployment: Deployment,
    now: datetime,
    limits: WithdrawalLimits,
) -> Withdrawal | int:
    """The same withdrawal if it is there; else how many accounts were opened for the destination.

    Raises whatever the transaction would raise if it came now.
    """
    found = await _same_again(conn, wanted, withdrawal_id)
    if found is not None:
        return found
    await _admit(conn, wanted, now, limits)
    await _require(conn, wanted)
    if wanted.asked.user_id is not None:
        await _require_source(conn, wanted, tuple(DestinationKind), deployment)
    wallet = str(wanted.destination)
    return (await store.accounts_opened(conn, [wallet]))[wallet]


async def _same_again(conn: ReadConn, wanted: Wanted, withdrawal_id: UUID) -> Withdrawal | None:
    key = wanted.asked.idempotency_key
    before = await conn.fetchval(_SQL["by_key"], wanted.owner_id, key, withdrawal_id)
    if before is None:
        return None
    found = await status(conn, before)
    same = (wanted.amount_microusdc, str(wanted.destination))
    if (found.amount_microusdc, found.destination) != same:
        raise IdempotencyKeyReused(
            field="idempotency_key",
            withdrawal_id=str(before),
            amount_microusdc=found.amount_microusdc,
        )
    return found


async def _admit(
    conn: ReadConn, wanted: Wanted, now: datetime, limits: WithdrawalLimits
) -> _Admitted:
    destination = str(wanted.destination)
    row = await conn.fetchrow(_SQL["past"], wanted.owner_id, day_began(now), destination)
    assert row is not None, "a sum is always there"
    past = Past(
        day_microusdc=MicroUsdc(row["day"]),
        paid_here=row["paid_here"],
        last_paid_to=row["last_paid_to"],
    )
    amount, provider_id = wanted.amount_microusdc, wanted.asked.provider_id
    if provider_id is None:
        code = await conn.fetchval(_SQL["user_code"], wanted.owner_id)
        if code is None:
            raise NotEnrolled(user_id=str(wanted.owner_id))
        return _Admitted(admission=admit_user(amount, past, limits=limits), code=code)
    operator = await enrolled_operator(conn, provider_id)
    admission = admit_operator(
        amount,
        destination,
        past,
        wallet=operator.wallet,
        enrolled_at=operator.enrolled_at,
        now=now,
        limits=limits,
    )
    return _Admitted(admission=admission, code=operator.code.encode("ascii"))


async def _require(conn: ReadConn, wanted: Wanted) -> None:
    """Raises `InsufficientEarnings` when less is available."""
    account = await ledger.balance(conn, wanted.asked.account)
    if account.available_microusdc < wanted.amount_microusdc:
        kind = InsufficientEarnings if wanted.asked.user_id is None else InsufficientUnspent
        raise kind(field="amount_usdc", available_microusdc=max(0, account.available_microusdc))


async def _require_source(
    conn: ReadConn, wanted: Wanted, kinds: Sequence[DestinationKind], deployment: Deployment
) -> None:
    """Raises `NotPaidInFrom` unless a deposit that is in the books came from there."""
    sources = [str(arrives_at(wanted.destination, kind, deployment)) for kind in kinds]
    if not await conn.fetchval(_SQL["paid_in_from"], wanted.asked.account, sources):
        raise NotPaidInFrom(field="destination")


async def _write(
    tx: Tx,
    wanted: Wanted,
    withdrawal_id: UUID,
    kind: DestinationKind,
    admitted: _Admitted,
    now: datetime,
) -> None:
    asked, admission = wanted.asked, admitted.admission
    waits = admission.approvals > 0
    await tx.execute(
        _SQL["add_withdrawal"],
        withdrawal_id,
        asked.provider_id,
        asked.user_id,
        asked.account,
        wanted.amount_microusdc,
        str(wanted.destination),
        kind,
        admitted.code,
        reference_of(withdrawal_id),
        asked.idempotency_key,
        PayoutState.AWAITING_APPROVAL if waits else PayoutState.REQUESTED,
        now,
        admission.approvals > 1,
        admission.not_before,
        admission.delay_reason,
    )
