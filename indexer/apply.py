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
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Final, NamedTuple, assert_never

import asyncpg

from indexer import store
from indexer.decode import Watch
from indexer.doors import Booking, changes_of, operations_of, residue_of
from indexer.events import (
    BondHandedOver,
    BondRetireCancelled,
    BondSeized,
    Deposit,
    Event,
    Governed,
    LamportsMoved,
    Outflow,
    Quarantined,
    SeizureStepped,
    StrayRecovered,
    SurplusSwept,
    Unrecognized,
)
from indexer.everyday import Everyday, everyday_of, only_deposits, read_again
from indexer.rows import BookedAs, facts_of, kind_of, pack, record_of
from indexer.store import IncidentKind
from settlement import deposits
from settlement.chain.movement import MovementKey, Vault
from settlement.chain.signatures import signature_bytes, signature_text
from settlement.db.pool import Pool, Tx, retried, transaction
from settlement.errors import Conflict, NotFound, Refused, snake_case
from settlement.ledger import store as ledger
from settlement.ledger.deposit_road import NotEveryday
from settlement.ledger.operations import Operation, Writer
from settlement.money import LARGEST_AMOUNT_MICROUSDC, MicroUsdc, Slot
from settlement.payouts.halt import halt

_DEPOSIT: Final = snake_case(Deposit.__name__)
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
    | LamportsMoved
)
# What an event is booked as after so many refusals.
_BY_REFUSALS: Final = (
    BookedAs.ITSELF,
    BookedAs.ITSELF,
    BookedAs.UNEXPLAINED,
    BookedAs.NOTHING,
)


class Told(NamedTuple):
    """One event that was booked, and what the books took it as."""

    kind: str
    booked_as: BookedAs
    signature: str
    reference: str


@dataclass(frozen=True, kw_only=True)
class _Booked:
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


async def book(pool: Pool, writer: Writer, booking: Booking) -> tuple[Told, ...]:
    """Book one chain transaction; nothing when it was booked before.

    Raises `WriterFenced` when another indexer has taken over, `DatabaseUnavailable`.
    """
    plan = _Plan(refusals=Counter(), why={})
    while True:
        try:
            booked = await _tried(pool, writer, booking, plan)
        except _BooksRefused as refused:
            plan = plan.after(refused)
        else:
            return tuple(_told(one) for one in booked)


def _told(one: _Booked) -> Told:
    key = one.event.key
    return Told(kind_of(one.event), one.booked_as, key.signature, key.reference)


async def book_run(
    pool: Pool, writer: Writer, run: Sequence[Booking | Everyday], *, watch: Watch
) -> list[tuple[Told, ...]]:
    """Book chain transactions of one cluster in their order; for each, what `book` would say.

    Neighbours that brought deposits, or nothing of ours, go into one database transaction. When the
    books refuse any of them, each goes by itself: then the others, the refusals and the incidents
    are what they always are. Raises what `book` raises; what came before is booked then.
    """
    booked: list[tuple[Told, ...]] = []
    for everyday, neighbours in groupby(run, key=_is_everyday):
        stretch = list(neighbours)
        together = None
        if everyday and len(stretch) > 1:
            together = await _book_together(pool, writer, watch, stretch)
        booked += together or [await book(pool, writer, _as_booking(one, watch)) for one in stretch]
    return booked


def _is_everyday(one: Booking | Everyday) -> bool:
    return isinstance(one, Everyday) or only_deposits(one.events)


def _as_booking(one: Booking | Everyday, watch: Watch) -> Booking:
    if isinstance(one, Booking):
        return one
    read, events, answer = read_again(one, watch)
    return Booking(cluster=watch.cluster, transaction=read, events=events, terms={}, answer=answer)


def _as_everyday(one: Booking | Everyday) -> Everyday:
    if isinstance(one, Everyday):
        return one
    assert only_deposits(one.events), "neighbours are everyday"
    return everyday_of(one.transaction, one.events, one.answer)


async def _book_together(
    pool: Pool, writer: Writer, watch: Watch, stretch: Sequence[Booking | Everyday]
) -> list[tuple[Told, ...]] | None:
    """All of it or, when the books refuse something, nothing: None."""
    run = [_as_everyday(one) for one in stretch]
    try:
        return await retried(lambda: _attempt_together(pool, writer, watch.cluster, run))
    except (NotEveryday, asyncpg.IntegrityConstraintViolationError, asyncpg.DataError):
        return None


async def _attempt_together(
    pool: Pool, writer: Writer, cluster: str, run: Sequence[Everyday]
) -> list[tuple[Told, ...]]:
    async with transaction(pool) as tx:
        still_open = await store.lock_open(tx, cluster, [one.record.signature for one in run])
        left = [one for one in run if one.record.signature in still_open]
        await deposits.book_run(tx, writer, [found for one in left for found in _arrived(one)])
        await store.record(tx, cluster, [one.record for one in left])
    return [_all_told(one) if one.record.signature in still_open else () for one in run]


def _arrived(one: Everyday) -> list[deposits.Arrived]:
    slot, at = Slot(one.record.slot), datetime.fromtimestamp(one.record.block_seconds, UTC)
    return [
        deposits.Arrived(reference, slot, at, Vault(vault), MicroUsdc(amount), code, source)
        for reference, vault, amount, code, source in one.deposits
    ]


def _all_told(one: Everyday) -> tuple[Told, ...]:
    signature = signature_text(one.record.signature)
    return tuple(
        Told(_DEPOSIT, BookedAs.ITSELF, signature, reference) for reference, *_ in one.deposits
    )


async def _tried(pool: Pool, writer: Writer, booking: Booking, plan: _Plan) -> tuple[_Booked, ...]:
    return await retried(lambda: _attempt(pool, writer, booking, plan))


async def _attempt(
    pool: Pool, writer: Writer, booking: Booking, plan: _Plan
) -> tuple[_Booked, ...]:
    read, cluster = booking.transaction, booking.cluster
    booked = tuple(
        _Booked(event=event, booked_as=plan.booked_as(event)) for event in booking.events
    )
    async with transaction(pool) as tx:
        if not await store.lock_open(tx, cluster, [signature_bytes(read.signature)]):
            return ()
        operations: list[tuple[MovementKey, Operation]] = []
        for one in booked:
            key = one.event.key
            operations += [(key, found) for found in await _operations(tx, booking, one)]
            await _tell(tx, cluster, one, plan.why.get(key))
        await _apply(tx, writer, operations)
        events = [(one.event, one.booked_as) for one in booked]
        await store.record(tx, cluster, [record_of(read, events, pack(booking.answer))])
    return booked


async def _operations(tx: Tx, booking: Booking, one: _Booked) -> list[Operation]:
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


async def _tell(tx: Tx, cluster: str, one: _Booked, why: str | None) -> None:
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


def _incident(one: _Booked) -> IncidentKind | None:
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
