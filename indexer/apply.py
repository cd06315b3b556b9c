"""Books what chain transactions meant: a database transaction and a call of the ledger for each.

The signature's status, the raw answer, the movements, the events, and every entry stand or fall
together, so a crash at any point leaves the transaction either booked or still wanted. Each event
goes through the one door of `settlement` that knows it; the operations of all are applied at once.

A finalized movement is always bookable. If the books refuse an event (an account cannot bear it, a
hold is closed, a bond is in another state), the database transaction is rolled back and made again:
once as it was, since another process may have changed what it met, then with that event booked as
what is left of it: money in as suspense, money out as unexplained, and a person is told. Nothing
the chain can do holds the frontier up.

Of a run of chain transactions (`book_run`), neighbours that only brought money share one database
transaction and one call of the ledger: they meet nothing that could refuse them.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import IntEnum
from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING, Final, assert_never

import asyncpg

from indexer import store
from indexer.doors import (
    Booking,
    changes_of,
    operations_of,
    operations_of_deposits,
    residue_of,
)
from indexer.events import (
    BondHandedOver,
    BondRetireCancelled,
    BondSeized,
    Deposit,
    Event,
    Governed,
    Outflow,
    Quarantined,
    SeizureStepped,
    StrayRecovered,
    SurplusSwept,
    Unrecognized,
)
from indexer.store import BookedAs, IncidentKind
from settlement.chain.movement import MovementKey
from settlement.db.pool import Pool, Tx, retried, transaction
from settlement.errors import Conflict, NotFound, Refused, snake_case
from settlement.ledger import store as ledger
from settlement.ledger.operations import Operation, Writer
from settlement.money import LARGEST_AMOUNT_MICROUSDC
from settlement.payouts.halt import halt

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

# By these a door says that the chain did what our books cannot follow.
_REFUSALS: Final = (
    Refused,
    Conflict,
    NotFound,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.DataError,
)
# What takes nothing out of our vaults: refused, it is for a person to see, payouts go on.
_STOPS_NOTHING: Final = (
    Deposit
    | StrayRecovered
    | SurplusSwept
    | BondSeized
    | BondRetireCancelled
    | BondHandedOver
    | SeizureStepped
    | Governed
)
# What an event is booked as after so many refusals.
_BY_REFUSALS: Final = (
    BookedAs.ITSELF,
    BookedAs.ITSELF,
    BookedAs.UNEXPLAINED,
    BookedAs.NOTHING,
)


@dataclass(frozen=True, kw_only=True)
class Booked:
    """One event and what the books took it as."""

    event: Event
    booked_as: BookedAs


class _BooksRefused(Exception):
    """Leaves the database transaction: these events cannot be booked as they are."""

    def __init__(self, why: Mapping[MovementKey, str]) -> None:
        super().__init__(", ".join(why.values()))
        self.why = why


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """What to book each event as, and why it is not itself where it is not."""

    refusals: Counter[MovementKey]
    why: Mapping[MovementKey, str]

    def booked_as(self, event: Event) -> BookedAs:
        if isinstance(event, Quarantined) and abs(event.delta_microusdc) > LARGEST_AMOUNT_MICROUSDC:
            return BookedAs.NOTHING
        return _BY_REFUSALS[self.refusals[event.key]]

    def after(self, refused: _BooksRefused) -> "_Plan":
        return _Plan(
            refusals=self.refusals + Counter(refused.why.keys()), why={**self.why, **refused.why}
        )


async def book(pool: Pool, writer: Writer, booking: Booking) -> tuple[Booked, ...]:
    """Book one chain transaction; nothing when it was booked before.

    Raises `WriterFenced` when another indexer has taken over, `DatabaseUnavailable`.
    """
    plan = _Plan(refusals=Counter(), why={})
    while True:
        try:
            return await _tried(pool, writer, booking, plan)
        except _BooksRefused as refused:
            plan = plan.after(refused)


async def book_run(pool: Pool, writer: Writer, run: Sequence[Booking]) -> list[tuple[Booked, ...]]:
    """Book chain transactions of one cluster in their order; for each, what `book` would say.

    Neighbours that brought deposits, or nothing of ours, go into one database transaction. When the
    books refuse any of them, each goes by itself: then the others, the refusals and the incidents
    are what they always are. Raises what `book` raises; what came before is booked then.
    """
    booked: list[tuple[Booked, ...]] = []
    for everyday, neighbours in groupby(run, key=_is_everyday):
        stretch = list(neighbours)
        together = None
        if everyday and len(stretch) > 1:
            together = await _book_together(pool, writer, stretch)
        booked += together or [await book(pool, writer, one) for one in stretch]
    return booked


def _is_everyday(booking: Booking) -> bool:
    return all(isinstance(event, Deposit) for event in booking.events)


async def _book_together(
    pool: Pool, writer: Writer, run: Sequence[Booking]
) -> list[tuple[Booked, ...]] | None:
    """All of it or, when the books refuse something, nothing: None."""
    try:
        return await retried(lambda: _attempt_together(pool, writer, run))
    except (_BooksRefused, asyncpg.IntegrityConstraintViolationError, asyncpg.DataError):
        return None


async def _attempt_together(
    pool: Pool, writer: Writer, run: Sequence[Booking]
) -> list[tuple[Booked, ...]]:
    cluster = run[0].cluster
    async with transaction(pool) as tx:
        still_open = await store.lock_open(tx, cluster, [one.transaction.signature for one in run])
        left = [one for one in run if one.transaction.signature in still_open]
        arrived = [
            (one.moment, event)
            for one in left
            for event in one.events
            if isinstance(event, Deposit)
        ]
        found = await operations_of_deposits(tx, arrived)
        operations = [
            (event.key, operation)
            for (_, event), asked in zip(arrived, found, strict=True)
            for operation in asked
        ]
        await _apply(tx, writer, operations)
        booked = {one.transaction.signature: _as_themselves(one) for one in left}
        records = [_record(one, booked[one.transaction.signature]) for one in left]
        await store.record(tx, cluster, records)
    return [booked.get(one.transaction.signature, ()) for one in run]


def _as_themselves(booking: Booking) -> tuple[Booked, ...]:
    return tuple(Booked(event=event, booked_as=BookedAs.ITSELF) for event in booking.events)


async def _tried(pool: Pool, writer: Writer, booking: Booking, plan: _Plan) -> tuple[Booked, ...]:
    return await retried(lambda: _attempt(pool, writer, booking, plan))


async def _attempt(pool: Pool, writer: Writer, booking: Booking, plan: _Plan) -> tuple[Booked, ...]:
    read, cluster = booking.transaction, booking.cluster
    booked = tuple(Booked(event=event, booked_as=plan.booked_as(event)) for event in booking.events)
    async with transaction(pool) as tx:
        if not await store.lock_open(tx, cluster, [read.signature]):
            return ()
        operations: list[tuple[MovementKey, Operation]] = []
        for one in booked:
            key = one.event.key
            operations += [(key, found) for found in await _operations(tx, booking, one)]
            await _tell(tx, cluster, one, plan.why.get(key))
        await _apply(tx, writer, operations)
        await store.record(tx, cluster, [_record(booking, booked)])
    return booked


def _record(booking: Booking, booked: Sequence[Booked]) -> store.Record:
    read = booking.transaction
    return store.Record(
        signature=read.signature,
        slot=booking.moment.slot,
        failed=read.failed,
        block_time=booking.moment.block_time,
        answer=booking.answer,
        movements=read.movements,
        events=[
            store.EventRow(
                key=one.event.key,
                kind=kind_of(one.event),
                booked_as=one.booked_as,
                facts=facts_of(one.event),
            )
            for one in booked
        ],
    )


async def _operations(tx: Tx, booking: Booking, one: Booked) -> list[Operation]:
    match one.booked_as:
        case BookedAs.ITSELF:
            try:
                return await operations_of(tx, booking, one.event)
            except _REFUSALS as refusal:
                why = f"{type(refusal).__name__}: {refusal}"
                raise _BooksRefused({one.event.key: why}) from refusal
        case BookedAs.UNEXPLAINED:
            return await residue_of(tx, booking.moment, one.event)
        case BookedAs.NOTHING:
            return []
        case _:
            assert_never(one.booked_as)


async def _apply(tx: Tx, writer: Writer, operations: list[tuple[MovementKey, Operation]]) -> None:
    """The one call of the ledger. Raises `_BooksRefused` if any operation was not done."""
    outcomes = await ledger.apply(tx, writer, [operation for _, operation in operations])
    why = {
        key: f"{type(operation).__name__}: {found.code}"
        for (key, operation), found in zip(operations, outcomes, strict=True)
        if not found.done
    }
    if why:
        raise _BooksRefused(why)


async def _tell(tx: Tx, cluster: str, one: Booked, why: str | None) -> None:
    """Open an incident for what a person has to see, and stop payouts where money is at stake.

    Money that arrives, or stays in our vaults, stops nothing, whatever is unclear about it: no
    stranger can halt us.
    """
    kind = _incident(one)
    if kind is None:
        return
    reference = one.event.key.reference
    detail = why or _detail(one.event)
    await store.open_incident(tx, cluster, kind, reference=reference, detail=detail)
    money_left = sum(change for _, _, change in changes_of(one.event)) < 0
    refused = one.booked_as is not BookedAs.ITSELF
    books_wrong = refused and not isinstance(one.event, _STOPS_NOTHING)
    if money_left or books_wrong:
        await halt(tx, kind, f"{reference}: {detail}")


def _incident(one: Booked) -> IncidentKind | None:
    if one.booked_as is BookedAs.NOTHING:
        return IncidentKind.UNBOOKABLE
    if one.booked_as is BookedAs.UNEXPLAINED:
        return IncidentKind.REFUSED
    match one.event:
        case Outflow():
            return IncidentKind.OUTFLOW
        case Quarantined():
            return IncidentKind.UNEXPLAINED_DELTA
        case Unrecognized():
            return IncidentKind.UNRECOGNIZED
        case _:
            return None


def _detail(event: Event) -> str:
    return ", ".join(f"{name}={value}" for name, value in facts_of(event).items())


def kind_of(event: Event) -> str:
    """The event's class name in snake case, for rows and metrics."""
    return _kind_of_class(type(event))


@cache
def _kind_of_class(kind: type[Event]) -> str:
    return snake_case(kind.__name__)


def facts_of(event: Event) -> dict[str, object]:
    """The event's fields as JSON, without its key."""
    facts = _fields(event)
    del facts["key"]
    return facts


def _fields(one: "DataclassInstance") -> dict[str, object]:
    return {field.name: _plain(getattr(one, field.name)) for field in fields(one)}


def _plain(value: object) -> object:
    match value:
        case bytes():
            return value.hex()
        case IntEnum():
            return value.name.lower()
        case int() | str() | None:
            return value
        case _ if is_dataclass(value) and not isinstance(value, type):
            return _fields(value)
        case _:
            return str(value)
