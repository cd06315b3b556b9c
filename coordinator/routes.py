"""Who requests may be routed to: bonded operators that are connected.

A bond decides on chain, the indexer books it and says so (`bond_changed`). This listens, and looks
again every second in case a notice was lost, so that a provider whose bond is gone gets no more
requests within a second or so. When the database is away the last known answer stands for a while,
then nobody is routed to.
"""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import suppress
from uuid import UUID

import structlog

from coordinator import leaving, store
from coordinator.agent import Session
from coordinator.match import Candidate
from coordinator.order import monotonic
from coordinator.sessions import Sessions
from coordinator.store import RoutingFacts
from settlement.bonds import lifecycle
from settlement.db.pool import TRANSIENT, Pool, reading

log = structlog.get_logger()

CHANNEL = "bond_changed"
_EVERY_SECONDS = 1
_STALE_SECONDS = 60


class Routes:
    """Bond standing joined with connections: the market that dispatch chooses from."""

    def __init__(self, pool: Pool, sessions: Sessions) -> None:
        self._pool = pool
        self._sessions = sessions
        self._facts: dict[UUID, RoutingFacts] = {}
        self._leaving: frozenset[UUID] = frozenset()
        self._read_at = float("-inf")
        self._wake = asyncio.Event()

    def session(self, provider_id: UUID) -> Session | None:
        """A provider's connection, if it has one now."""
        return self._sessions.get(provider_id)

    def candidates(self, model: str) -> Iterable[Candidate]:
        """Everyone connected who offers the model, with what is true of them now."""
        now = monotonic()
        for session in self._sessions:
            offer = session.offers.get(model)
            facts = self._routable(session.provider_id, now)
            if offer is not None and facts is not None:
                yield Candidate(
                    offer=offer,
                    enrolled_at=facts.enrolled_at,
                    bonded=session.provider_id not in self._leaving,
                    online=session.online,
                    throttled=session.throttled(now),
                    free_slots=session.free_slots,
                )

    def models(self) -> Iterator[str]:
        """Names of all models somebody may be routed to for, each once."""
        now = monotonic()
        named: dict[str, str] = {}
        for session in self._sessions:
            facts = self._routable(session.provider_id, now)
            stays = session.provider_id not in self._leaving
            if session.online and facts is not None and stays:
                for offer in session.offers.values():
                    named.setdefault(offer.model, offer.name)
        yield from sorted(named.values())

    def _routable(self, provider_id: UUID, now: float) -> RoutingFacts | None:
        if now - self._read_at > _STALE_SECONDS:
            return None
        return self._facts.get(provider_id)

    def look_again(self) -> None:
        """Something changed: do not wait for the next look."""
        self._wake.set()

    async def refresh(self) -> None:
        """Read who is bonded."""
        async with reading(self._pool) as conn:
            active = await lifecycle.active_providers(conn)
            facts = await store.routing_facts(conn, active)
            said = [(each.provider_id, each.retiring_at) for each in facts]
            self._leaving = frozenset(await leaving.in_force(conn, said))
        self._facts = {each.provider_id: each for each in facts}
        self._read_at = monotonic()

    async def follow(self) -> None:
        """For ever: refresh on notice and every second; a database that is away is waited for."""
        while True:
            try:
                await self._listen()
            except TRANSIENT as error:
                log.warning("bond_watch_waits", problem=str(error))
                await asyncio.sleep(_EVERY_SECONDS)

    async def _listen(self) -> None:
        async with self._pool.acquire() as connection:
            await connection.add_listener(CHANNEL, self._noticed)
            try:
                while not connection.is_closed():
                    self._wake.clear()
                    await self.refresh()
                    try:
                        await asyncio.wait_for(self._wake.wait(), _EVERY_SECONDS)
                    except TimeoutError:
                        continue
            finally:
                # A lost connection has gone back to the pool by itself and refuses every call: that
                # must not hide why this ended, least of all a cancellation.
                with suppress(*TRANSIENT):
                    await connection.remove_listener(CHANNEL, self._noticed)

    def _noticed(self, *_: object) -> None:
        self._wake.set()
