"""The books in Postgres: one function writes them, a few queries read them.

`apply` joins the caller's transaction, so what the caller writes beside it (an intent, the status
of a signature, a bond) and the money stand or fall together. Call it once per transaction, with
everything: locks are then taken in one order everywhere (writer head, balances by id, holds by id).
A transaction that raises a deadlock or a serialization error is run again as a whole
(`settlement.db.pool.retried`): operations are idempotent by their ids.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg

from settlement.db import sql
from settlement.db.pool import CallConn, Pool, ReadConn, Tx, retried, transaction
from settlement.errors import Conflict, NotFound, Refused
from settlement.ledger.accounts import InvalidAccount, describe
from settlement.ledger.encode import encode_batch
from settlement.ledger.operations import (
    AccountName,
    Balance,
    Charge,
    Code,
    Head,
    Operation,
    Outcome,
    Void,
    Writer,
)
from settlement.money import MicroUsdc, Slot

_QUERIES: Final = sql.load("settlement.ledger", "ledger.sql")
# What only the settlement worker does.
_UPKEEP: Final = sql.load("settlement.ledger", "upkeep.sql")
# Raised by the functions and triggers of the books.
_FENCED: Final = "PL001"
_NOT_YOURS: Final = "PL006"
_NO_SUCH_ACCOUNT: Final = "PL005"
ENTRIES_PER_PAGE: Final = 500
EXPIRED: Final = "expired: its writer is gone"
_EXPIRED_AT_ONCE: Final = 200


class WriterFenced(Conflict):
    """A newer life of this writer has begun, or the books lost its last batch: stop posting."""


class WriterNotOurs(WriterFenced):
    """This writer belongs to another database role: stop posting."""


class RestoreUnexplained(Refused):
    """A new era of the books begins only when it is said who restored them, and why."""


class AccountMissing(NotFound):
    """The books have no account of that name yet."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One movement as one account saw it; `number` counts the account's entries without a gap."""

    number: int
    debit_microusdc: MicroUsdc
    credit_microusdc: MicroUsdc
    kind: str  # a `TransactionKind`, or "charge"
    cause_id: UUID  # the transaction or the request
    external_ref: str | None
    slot: Slot | None
    event_at: datetime
    recorded_at: datetime


async def open_writer(pool: Pool, name: str) -> Writer:
    """Start a new life of the posting process `name`; older lives are fenced from now on.

    Who opens a name first owns it. Raises `WriterNotOurs` for every other database role.
    """
    try:
        async with transaction(pool) as tx:
            row = await tx.fetchrow(_QUERIES["open_writer"], name)
    except asyncpg.PostgresError as error:
        if error.sqlstate == _NOT_YOURS:
            raise WriterNotOurs(writer=name) from error
        raise
    assert row is not None, "opening a writer answers with one row"
    return Writer(
        writer_id=row["writer_id"],
        name=name,
        epoch=row["epoch"],
        treasury=AccountName(row["treasury"]),
        head=Head(seq=row["head_seq"], hash=row["head_hash"]),
    )


async def open_account(tx: Tx, name: AccountName) -> None:
    """Open the account if there is none of that name. Raises `InvalidAccount`."""
    try:
        await tx.execute(_QUERIES["open_account"], name, describe(name).kind.value)
    except asyncpg.PostgresError as error:
        if error.sqlstate == _NO_SUCH_ACCOUNT:
            raise InvalidAccount(account=name) from error
        raise


async def apply(tx: Tx, writer: Writer, operations: Sequence[Operation]) -> list[Outcome]:
    """Carry out `operations` in order, inside the caller's transaction; one outcome for each.

    An operation that cannot be done changes nothing and does not stop the others: look at every
    outcome. Raises `WriterFenced` (`WriterNotOurs`), after which the transaction is dead.
    """
    if not operations:
        return []
    return (await apply_after(tx, writer, None, operations)).outcomes


@dataclass(frozen=True, kw_only=True)
class Applied:
    """What became of each operation of a batch, and where the writer's chain stands after it."""

    outcomes: list[Outcome]
    head: Head


async def apply_after(
    conn: Tx | CallConn, writer: Writer, seen: Head | None, operations: Sequence[Operation]
) -> Applied:
    """`apply`, for one who saw the writer's chain up to `seen`: books that lost it are refused."""
    try:
        row = await conn.fetchrow(
            _QUERIES["apply"],
            writer.writer_id,
            writer.epoch,
            None if seen is None else seen.seq,
            None if seen is None else seen.hash,
            encode_batch(operations),
        )
    except asyncpg.PostgresError as error:
        stop_if_told(error, writer)
        raise
    assert row is not None, "a batch is answered"
    told = zip(operations, row["codes"], row["told"], strict=True)
    return Applied(
        outcomes=[_outcome(operation, Code(code), left) for operation, code, left in told],
        head=Head(seq=row["head_seq"], hash=row["head_hash"]),
    )


def _outcome(operation: Operation, code: Code, told: int | None) -> Outcome:
    if isinstance(operation, Charge) and code is not Code.INSUFFICIENT:
        return Outcome(code=code, balance_microusdc=told)
    return Outcome(code=code, available_microusdc=told)


def stop_if_told(error: asyncpg.PostgresError, writer: Writer) -> None:
    """Raise `WriterFenced` or `WriterNotOurs` when that is what the database said."""
    if error.sqlstate == _FENCED:
        raise WriterFenced(writer=writer.name, epoch=writer.epoch) from error
    if error.sqlstate == _NOT_YOURS:
        raise WriterNotOurs(writer=writer.name) from error


async def balance(conn: ReadConn, name: AccountName) -> Balance:
    """Where the account stands now. Raises `AccountMissing`."""
    row = await conn.fetchrow(_QUERIES["balance"], name)
    if row is None:
        raise AccountMissing(account=name)
    return Balance(
        account=name,
        debits_microusdc=row["dr"],
        credits_microusdc=row["cr"],
        held_microusdc=row["held"],
        version=row["version"],
    )


async def balance_at_slot(conn: ReadConn, name: AccountName, slot: Slot) -> Balance:
    """What the account's movements on chain up to and including `slot` add up to.

    Meant for `chain:*`, whose every entry has a slot. Holds have none: `held` is 0 here, and
    `version` is the number of entries counted.
    """
    row = await conn.fetchrow(_QUERIES["balance_at_slot"], name, slot)
    assert row is not None, "a sum is one row"
    return Balance(
        account=name,
        debits_microusdc=row["dr"],
        credits_microusdc=row["cr"],
        held_microusdc=0,
        version=row["version"],
    )


async def entries(
    conn: ReadConn, name: AccountName, *, after: int = 0, limit: int = ENTRIES_PER_PAGE
) -> list[Entry]:
    """One page of an account's history, oldest first, after entry number `after`."""
    rows = await conn.fetch(_QUERIES["entries_after"], name, after, limit)
    return [
        Entry(
            number=row["entry"],
            debit_microusdc=row["dr"],
            credit_microusdc=row["cr"],
            kind=row["kind"],
            cause_id=row["cause_id"],
            external_ref=row["external_ref"],
            slot=row["slot"],
            event_at=row["event_at"],
            recorded_at=row["recorded_at"],
        )
        for row in rows
    ]


async def keep_leases(conn: Tx | CallConn, writer: Writer, until: datetime) -> None:
    """Say that this writer lives: its leases do not expire before `until` (an hour away at most).

    Raises `WriterFenced`, after which this process must stop posting.
    """
    try:
        await conn.execute(_QUERIES["keep_leases"], writer.writer_id, writer.epoch, until)
    except asyncpg.PostgresError as error:
        stop_if_told(error, writer)
        raise


async def give_back_expired(pool: Pool, writer: Writer) -> list[UUID]:
    """Fence the writers that are gone while their leases expired, and void these; returns them.

    Done by the settlement worker now and then, as `writer`. Idempotent.
    """
    voided: list[UUID] = []

    async def step() -> list[UUID]:
        async with transaction(pool) as tx:
            await tx.fetch(_UPKEEP["fence_expired"])
        async with transaction(pool) as tx:
            rows = await tx.fetch(_UPKEEP["expired_leases"], _EXPIRED_AT_ONCE)
            found = [row["hold_id"] for row in rows]
            voids = [Void(hold_id=hold_id, reason=EXPIRED) for hold_id in found]
            outcomes = await apply(tx, writer, voids)
            return [h for h, o in zip(found, outcomes, strict=True) if o.code is Code.APPLIED]

    while found := await retried(step):
        voided += found
    return voided


async def begin_era(pool: Pool, *, actor: str, reason: str) -> int:
    """The books were restored from a backup: fence every writer; each then begins a new chain.

    Raises `RestoreUnexplained` unless it is said who did it, and why.
    """
    for field, told in (("actor", actor), ("reason", reason)):
        if not told.strip():
            raise RestoreUnexplained(field=field)
    async with transaction(pool) as tx:
        return int(await tx.fetchval(_UPKEEP["begin_era"], actor, reason))


async def ensure_charge_days(pool: Pool, days_ahead: int = 3) -> int:
    """Make the partitions that requests of the coming days settle into; how many were missing."""
    async with transaction(pool) as tx:
        return int(await tx.fetchval(_QUERIES["ensure_charge_days"], days_ahead))


async def abandoned_holds(conn: ReadConn, writer: Writer) -> list[UUID]:
    """Request holds and leases that earlier lives of this writer left open."""
    rows = await conn.fetch(_QUERIES["abandoned_holds"], writer.writer_id, writer.epoch)
    return [row["hold_id"] for row in rows]


async def broken_rules(conn: ReadConn) -> list[str]:
    """What is wrong with the books as a whole; empty when nothing is. Reads all of them."""
    rows = await conn.fetch(_QUERIES["broken_rules"])
    return [f"{row['rule']}: {row['detail']}" for row in rows]
