"""Follows the chain, round by round.

A round takes the finalized slot S of the node, lists every watched address up to S, then books what
is still open at or below S in the order of the chain, then moves the frontiers. A frontier F of an
address is evidence, not a cursor: two listings at or above F, some slots apart, and every signature
they found at or below F in a final state. A round that fails anywhere has proven nothing and is
simply made again; what it stored and booked stays, because doing it again does nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from indexer import store
from indexer.backlog import Backlog, Portions
from indexer.decode import Watch
from indexer.metrics import Meters
from indexer.source import Node, Pass, Watched, discover
from indexer.terms import AccountReader
from settlement.db.pool import Pool, reading, transaction
from settlement.ledger.operations import Writer
from settlement.money import Slot
from settlement.reconcile import frontier


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
        self._watch = watch
        self._watched = watched
        self._pace = pace
        self._meters = meters
        self._first_looks: dict[str, Slot] = {}  # the first of the two looks at each address
        self._backlog = Backlog(
            chain=chain,
            pool=pool,
            writer=writer,
            watch=watch,
            portions=Portions(
                fetch_at_once=pace.fetch_at_once,
                page=pace.book_page,
                unreadable_again_seconds=pace.unreadable_again_seconds,
            ),
            meters=meters,
        )

    async def round(self) -> Round:
        """Discover, book, move the frontiers. Raises when the chain or the database is away."""
        target = await self._chain.slot()
        async with reading(self._pool) as conn:
            before = await frontier.read(conn, self._watch.cluster)
        for one in self._watched:
            floor = max(0, before.get(str(one.address), Slot(0)) - self._pace.overlap_slots)
            wanted = Pass(cluster=self._watch.cluster, watched=one, floor=floor, target=target)
            await discover(self._chain, self._pool, wanted)
        await self._backlog.work_off(target)
        for one in self._watched:
            await self._advance(str(one.address), before.get(str(one.address)), target)
        return await self._standing(target)

    async def _advance(self, address: str, current: Slot | None, seen: Slot) -> None:
        """Move the address's frontier as far as two looks and final states allow."""
        first = self._first_looks.get(address, seen)
        self._first_looks.setdefault(address, seen)
        if seen < first + self._pace.settle_slots:
            return
        self._first_looks[address] = seen
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
