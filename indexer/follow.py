"""Follows the chain, round by round.

A round takes the finalized slot S of the node, lists every watched address up to S, then books what
is still open at or below S in the order of the chain, then moves the frontiers. A frontier F of an
address is evidence, not a cursor: two listings at or above F, some slots apart, and every signature
they found at or below F in a final state. A round that fails anywhere has proven nothing and is
simply made again; what it stored and booked stays, because doing it again does nothing.

What cannot be read or is not there yet holds back everything that shares an address with it, in
this round: order is kept, nothing is skipped, and other addresses go on.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from indexer import store
from indexer.apply import Booked, book, kind_of
from indexer.attribution import events_of
from indexer.decode import Transaction, Watch, decode
from indexer.doors import Booking
from indexer.metrics import Meters
from indexer.raw import Unreadable
from indexer.source import Node, Pass, Watched, discover, hydrate
from indexer.store import IncidentKind, OpenSignature, SignatureState
from indexer.terms import AccountReader, read_terms
from settlement.db.pool import Pool, reading, transaction
from settlement.ledger.operations import Writer
from settlement.money import Slot
from settlement.reconcile import frontier

_log = structlog.stdlib.get_logger()


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How often to look, how much at once, and how sure to be."""

    poll_seconds: float = 1.0
    overlap_slots: int = 64
    # A frontier moves to a slot when a second look, this many slots later, found nothing new.
    settle_slots: int = 2
    fetch_at_once: int = 8
    book_page: int = 200
    unreadable_again_seconds: float = 30.0


class Chain(Node, AccountReader, Protocol):
    """Everything the follower asks of the chain; `RpcClient` is one."""

    async def slot(self) -> Slot:
        """The newest finalized slot, as one node sees it."""
        ...


@dataclass(frozen=True, kw_only=True)
class Round:
    """Where we stand after a round."""

    slot: Slot
    frontiers: Mapping[str, Slot]
    standing: store.Standing

    @property
    def frontier(self) -> Slot:
        """The lowest frontier: everything at or below it is in the books."""
        return min(self.frontiers.values(), default=Slot(0))

    @property
    def behind_slots(self) -> int:
        """How far the books are behind the chain."""
        return max(0, self.slot - self.frontier)


@dataclass(kw_only=True)
class _Looks:
    """The first of the two looks at each address, and when to look again at the unreadable."""

    first: dict[str, Slot] = field(default_factory=dict[str, Slot])
    unreadable_again: dict[str, float] = field(default_factory=dict[str, float])


class Follower:
    """One life of the active indexer: it has the writer, so it is the only one that books."""

    def __init__(
        self,
        *,
        chain: Chain,
        pool: Pool,
        writer: Writer,
        watch: Watch,
        watched: Sequence[Watched],
        pace: Pace,
        meters: Meters,
    ) -> None:
        self._chain = chain
        self._pool = pool
        self._writer = writer
        self._watch = watch
        self._watched = watched
        self._pace = pace
        self._meters = meters
        self._looks = _Looks()

    async def round(self) -> Round:
        """Discover, book, move the frontiers. Raises when the chain or the database is away."""
        target = await self._chain.slot()
        async with reading(self._pool) as conn:
            before = await frontier.read(conn, self._watch.cluster)
        for one in self._watched:
            floor = max(0, before.get(str(one.address), Slot(0)) - self._pace.overlap_slots)
            wanted = Pass(cluster=self._watch.cluster, watched=one, floor=floor, target=target)
            await discover(self._chain, self._pool, wanted)
        await self._book_up_to(target)
        for one in self._watched:
            await self._advance(str(one.address), before.get(str(one.address)), target)
        return await self._standing(target)

    async def _book_up_to(self, target: Slot) -> None:
        """Book what is open at or below `target`, page by page, in the order of the chain."""
        held: set[str] = set()
        last: OpenSignature | None = None
        while True:
            async with reading(self._pool) as conn:
                page = await store.open_signatures(
                    conn,
                    self._watch.cluster,
                    to=target,
                    limit=self._pace.book_page,
                    after=last,
                )
            if not page:
                return
            last = page[-1]
            await self._book_page(page, held)

    async def _book_page(self, page: Sequence[OpenSignature], held: set[str]) -> None:
        now_seconds = asyncio.get_running_loop().time()
        due = [
            one.signature
            for one in page
            if self._looks.unreadable_again.get(one.signature, 0.0) <= now_seconds
        ]
        found = await hydrate(self._chain, due, at_once=self._pace.fetch_at_once)
        for one in page:
            if one.addresses & held:
                held |= one.addresses
                continue
            answer = found.get(one.signature)
            if answer is None or not await self._book_one(one, answer):
                held |= one.addresses

    async def _book_one(self, one: OpenSignature, answer: dict[str, object] | Unreadable) -> bool:
        """Whether the transaction is final for us now."""
        if isinstance(answer, Unreadable):
            await self._set_unreadable(one, answer)
            return False
        try:
            read = decode(answer, signature=one.signature, watch=self._watch)
        except Unreadable as unreadable:
            await self._set_unreadable(one, unreadable)
            return False
        await self._book_read(read, answer)
        self._looks.unreadable_again.pop(one.signature, None)
        return True

    async def _book_read(self, read: Transaction, answer: dict[str, object]) -> None:
        events = events_of(read, self._watch)
        terms = await read_terms(
            self._chain,
            events,
            program_id=self._watch.deployment.program_id,
            slot=read.moment.slot,
        )
        booking = Booking(
            cluster=self._watch.cluster, transaction=read, events=events, terms=terms, answer=answer
        )
        for booked in await book(self._pool, self._writer, booking):
            self._note(read.signature, booked)

    def _note(self, signature: str, booked: Booked) -> None:
        kind = kind_of(booked.event)
        self._meters.events.labels(kind=kind, booked_as=booked.booked_as).inc()
        _log.info(
            "chain_event",
            kind=kind,
            booked_as=booked.booked_as,
            signature=signature,
            reference=booked.event.key.reference,
        )

    async def _set_unreadable(self, one: OpenSignature, unreadable: Unreadable) -> None:
        pause = self._pace.unreadable_again_seconds
        again = asyncio.get_running_loop().time() + pause
        self._looks.unreadable_again[one.signature] = again
        if one.state is SignatureState.UNREADABLE:
            return
        problem = str(unreadable)
        _log.error("transaction_unreadable", signature=one.signature, problem=problem)
        async with transaction(self._pool) as tx:
            await store.set_unreadable(tx, self._watch.cluster, one.signature, problem)
            await store.open_incident(
                tx,
                self._watch.cluster,
                IncidentKind.UNREADABLE,
                reference=one.signature,
                detail=problem,
            )

    async def _advance(self, address: str, current: Slot | None, seen: Slot) -> None:
        """Move the address's frontier as far as two looks and final states allow."""
        first = self._looks.first.get(address, seen)
        self._looks.first.setdefault(address, seen)
        if seen < first + self._pace.settle_slots:
            return
        self._looks.first[address] = seen
        cluster = self._watch.cluster
        async with transaction(self._pool) as tx:
            unfinished = await store.lowest_open(tx, cluster, address, to=first)
            reached = first if unfinished is None else Slot(unfinished - 1)
            if reached > (-1 if current is None else current):
                await frontier.advance(tx, cluster, address, expected=current, to=reached)

    async def _standing(self, target: Slot) -> Round:
        async with reading(self._pool) as conn:
            reached = await frontier.read(conn, self._watch.cluster)
            standing = await store.standing(conn, self._watch.cluster)
        frontiers = {
            str(one.address): reached.get(str(one.address), Slot(0)) for one in self._watched
        }
        now = Round(slot=target, frontiers=frontiers, standing=standing)
        meters = self._meters
        for one in self._watched:
            meters.frontier.labels(purpose=one.purpose).set(frontiers[str(one.address)])
        meters.finalized.set(target)
        meters.behind.set(now.behind_slots)
        meters.wanted.set(standing.wanted)
        meters.unreadable.set(standing.unreadable)
        meters.incidents.set(standing.incidents)
        return now
