"""Follows the chain, round by round.

In a round one provider leads and a different one verifies. The leading one's finalized slot S is
taken, both list every watched address (the other one up to what it has finalized itself), what is
still open at or below S is booked in the order of the chain, and the frontiers move. A frontier F
of an address is evidence, not a cursor: two proofs at or above F (`evidence`), and every signature
known at or below F in a final state. What only one of the two lists is booked all the same; the
frontier waits. A round that fails anywhere has proven nothing and is simply made again; what it
stored and booked stays, because doing it again does nothing.

With one provider, two proofs are two looks of the same one, some slots apart, where a setting says
that one source is enough.
"""

import asyncio
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog

from indexer import evidence, store
from indexer.backlog import Backlog, Portions
from indexer.decode import Watch
from indexer.evidence import Advance, Doubt
from indexer.hydration import Hydrator, Rules
from indexer.metrics import Meters
from indexer.providers import Provider, Providers
from indexer.source import HistoryUnclear, Listing, Pass, Watched, discover
from indexer.trust import Ceilings
from settlement.chain.rpc import RpcRefused, RpcUnavailable
from settlement.db.pool import Pool, reading
from settlement.ledger.operations import Writer
from settlement.money import Slot
from settlement.reconcile import frontier

_FIRST_SLOT: Final = Slot(0)
# By these a provider says that it cannot be believed, or asked, right now.
_PROVIDER_AWAY: Final = (RpcUnavailable, RpcRefused, HistoryUnclear)
_log = structlog.stdlib.get_logger()


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How often to look, how much at once, and how sure to be."""

    poll_seconds: float = 1.0
    # While the websocket would wake us and nothing is open; polling is only the safety net then.
    quiet_poll_seconds: float = 10.0
    # How often a second provider lists everything; at once where the first one's word is not whole.
    verify_seconds: float = 5.0
    overlap_slots: int = 64
    # With one provider: a second look, this many slots later, proves what the first one saw.
    settle_slots: int = 2
    # So many slots a provider's index may lag before a missing signature is told to a person.
    patience_slots: int = 32
    start_slot: Slot = _FIRST_SLOT  # nothing of ours is older
    fetch_at_once: int = 8
    book_page: int = 400
    long_page: int = 100  # a page of so many is read by another process
    unreadable_again_seconds: float = 30.0


@dataclass(frozen=True, kw_only=True)
class Round:
    """Where we stand after a round."""

    slot: Slot
    frontiers: Mapping[str, Slot]
    standing: store.Standing
    lead: str
    single_source: bool  # whether one provider's word is all there is
    unlisted: int  # signatures one provider lists and another does not
    provers: int  # how many providers can prove a frontier now

    @property
    def frontier(self) -> Slot:
        """The lowest frontier: everything at or below it is in the books."""
        return min(self.frontiers.values(), default=Slot(0))

    @property
    def behind_slots(self) -> int:
        """How far the books are behind the chain."""
        return max(0, self.slot - self.frontier)

    @property
    def quiet(self) -> bool:
        """Whether nothing waits: only a wake-up or the safety net needs another round."""
        return self.standing.wanted == 0 and self.standing.unreadable == 0 and self.unlisted == 0


class Follower:
    """One life of the active indexer: it has the writer, so it is the only one that books."""

    def __init__(
        self,
        *,
        providers: Providers,
        pool: Pool,
        writer: Writer,
        watch: Watch,
        watched: Sequence[Watched],
        pace: Pace,
        rules: Rules,
        meters: Meters,
        ceilings: Ceilings | None = None,
    ) -> None:
        self._providers = providers
        self._pool = pool
        self._watch = watch
        self._watched = watched
        self._pace = pace
        self._rules = rules
        self._meters = meters
        self._doubt = Doubt(settle_slots=pace.settle_slots, patience_slots=pace.patience_slots)
        self._verified_at_seconds: float | None = None
        self._backlog = Backlog(
            chain=Hydrator(providers, pool, watch, rules),
            pool=pool,
            writer=writer,
            watch=watch,
            portions=Portions(
                fetch_at_once=pace.fetch_at_once,
                page=pace.book_page,
                long=pace.long_page,
                unreadable_again_seconds=pace.unreadable_again_seconds,
            ),
            meters=meters,
            ceilings=ceilings,
        )

    async def round(self) -> Round:
        """Discover, book, move the frontiers. Raises when nobody or no database answers."""
        self._providers.judge()
        async with reading(self._pool) as conn:
            before = await frontier.read(conn, self._watch.cluster)
        floors = {str(one.address): self._floor(one, before) for one in self._watched}
        self._providers.needed_from = min(floors.values())
        lead = self._providers.lead_back_to_needed()
        try:
            target = await self._providers.ask_slot(lead)
            whole = await self._list(lead, floors, target, places=True)
        except _PROVIDER_AWAY as error:
            if not self._providers.single_source:
                self._providers.demote(lead, str(error))
            raise
        verifier = next((one for one in self._providers.provers() if one is not lead), None)
        verified = verifier is not None and await self._verify(verifier, floors, target, whole)
        if not whole and not verified:
            raise HistoryUnclear(provider=lead.name, problem="it lost signatures")
        await self._backlog.work_off(target)
        how = Advance(
            single=self._rules.single_source and verifier is None,
            start_slot=self._pace.start_slot,
            doubt=self._doubt,
        )
        at = {address: before.get(address) for address in floors}
        await evidence.advance(self._pool, self._watch.cluster, at, how)
        return await self._standing(target, lead)

    def _floor(self, one: Watched, before: Mapping[str, Slot]) -> Slot:
        at = before.get(str(one.address), Slot(0))
        return Slot(max(self._pace.start_slot, at - self._pace.overlap_slots))

    async def _list(
        self, provider: Provider, floors: Mapping[str, Slot], target: Slot, *, places: bool
    ) -> bool:
        """Store what a provider lists, and what that proves; whether it has all that is known."""
        # Whose listing orders a slot goes first: what the others find is in its place already.
        ordering = [one for one in self._watched if one.orders]
        others = [one for one in self._watched if not one.orders]
        listings: list[Listing] = []
        for several in (ordering, others):
            passes = [
                Pass(
                    cluster=self._watch.cluster,
                    watched=one,
                    floor=floors[str(one.address)],
                    target=target,
                    places=places,
                )
                for one in several
            ]
            listings += await _all(discover(provider.rpc, self._pool, one) for one in passes)
        if provider not in self._providers.provers():
            return not any(listing.missing for listing in listings)
        return await evidence.remember(
            self._pool, self._watch.cluster, provider.name, listings, self._doubt
        )

    async def _verify(
        self, verifier: Provider, floors: Mapping[str, Slot], target: Slot, whole: bool
    ) -> bool:
        """Let a second provider list everything, when it is time or the first one's word is not
        whole; whether it has.
        """
        now_seconds = asyncio.get_running_loop().time()
        last_seconds = self._verified_at_seconds
        due = last_seconds is None or now_seconds - last_seconds >= self._pace.verify_seconds
        if whole and not due:
            return False
        self._verified_at_seconds = now_seconds
        try:
            reached = min(target, await self._providers.ask_slot(verifier))
            await self._list(verifier, floors, reached, places=False)
        except _PROVIDER_AWAY as error:
            self._providers.demote(verifier, str(error))
            return False
        return True

    async def _standing(self, target: Slot, lead: Provider) -> Round:
        async with reading(self._pool) as conn:
            reached = await frontier.read(conn, self._watch.cluster)
            standing = await store.standing(conn, self._watch.cluster)
            unlisted = await evidence.count_unlisted(conn, self._watch.cluster)
        frontiers = {
            str(one.address): reached.get(str(one.address), Slot(0)) for one in self._watched
        }
        now = Round(
            slot=target,
            frontiers=frontiers,
            standing=standing,
            lead=lead.name,
            single_source=self._providers.single_source,
            unlisted=unlisted,
            provers=len(self._providers.provers()),
        )
        meters = self._meters
        for one in self._watched:
            meters.frontier.labels(purpose=one.purpose).set(frontiers[str(one.address)])
        meters.finalized.set(target)
        meters.behind.set(now.behind_slots)
        meters.wanted.set(standing.wanted)
        meters.unreadable.set(standing.unreadable)
        meters.incidents.set(standing.incidents)
        meters.unlisted.set(unlisted)
        meters.providers.provers.set(now.provers)
        return now


async def _all(jobs: Iterable[Coroutine[Any, Any, Listing]]) -> list[Listing]:
    """What all of these come to, at once; one that fails ends the others."""
    tasks = [asyncio.create_task(job) for job in jobs]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
