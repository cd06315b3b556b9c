"""The shadow: deposits as soon as they are confirmed, so that who paid sees them arrive.

It runs beside the follower, is woken by the websocket at confirmed (and by a timer, because hints
may be lost), and writes nothing but arrivals: no entry, no movement, no frontier depends on it. An
arrival becomes final when the books have taken its movement in. It is gone when its vault's
frontier has passed its slot and nobody has listed it: two looks at finalized did not show it. What
comes back in another slot arrives again.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from indexer.attribution import events_of
from indexer.decode import Transaction, Watch, decode
from indexer.events import BondPosted, Deposit, Event
from indexer.metrics import Meters
from indexer.providers import Chain, Providers
from indexer.raw import Unreadable
from indexer.signed import check_signed
from settlement import arrivals
from settlement.arrivals import OpenArrival, SeenDeposit
from settlement.chain.answers import Commitment, SignatureInfo
from settlement.chain.movement import Vault
from settlement.chain.rpc import RpcRefused
from settlement.chain.signatures import signature_bytes, signature_text
from settlement.db.pool import TRANSIENT, Pool, ReadConn, Tx, reading, transaction
from settlement.db.sql import load
from settlement.deposits import BondCode, owner_of_code
from settlement.errors import Unavailable
from settlement.money import Slot
from settlement.reconcile import frontier

_SQL: Final = load("indexer", "shadow.sql")
_AWAY: Final = (Unavailable, RpcRefused, *TRANSIENT)
_log = structlog.stdlib.get_logger()


@dataclass(frozen=True, kw_only=True)
class ShadowPace:
    """How often to look when nobody wakes us, how much at once, and what is remembered."""

    poll_seconds: float = 2.0
    awake_poll_seconds: float = 10.0  # while the websocket is connected
    page: int = 200
    most_pages: int = 10
    fetch_at_once: int = 4
    kept_hours: int = 168
    prune_seconds: float = 600.0
    # How far below the newest finalized slot it still looks: what is held or not booked yet.
    back_slots: int = 300


class Wakes(Protocol):
    """What wakes the shadow; `wake.Wake` is one."""

    listening: bool  # whether hints come in at all

    async def wait(self, longest_seconds: float) -> object:
        """Return when woken or when the time is over."""
        ...


class Shadow:
    """The arrivals of one cluster."""

    def __init__(
        self,
        *,
        providers: Providers,
        pool: Pool,
        watch: Watch,
        meters: Meters,
        pace: ShadowPace | None = None,
        verify_signatures: bool = True,
    ) -> None:
        self._providers = providers
        self._pool = pool
        self._watch = watch
        self._meters = meters
        self._pace = pace or ShadowPace()
        self._verify = verify_signatures
        # What was already read, and in which slot; forgotten as its slot becomes final.
        self._read: dict[str, Slot] = {}
        self._prune_at_seconds = 0.0

    async def run(self, wake: Wakes) -> None:
        """Look whenever woken, until cancelled. Nothing that goes wrong here stops anybody."""
        while True:
            try:
                await self.look()
            except _AWAY as error:
                _log.info("shadow_waits", problem=f"{type(error).__name__}: {error}")
            pace = self._pace
            await wake.wait(pace.awake_poll_seconds if wake.listening else pace.poll_seconds)

    async def look(self) -> None:
        """See what is confirmed, and what became of what was seen. Raises what a node raises."""
        await self._settle()
        async with reading(self._pool) as conn:
            reached = await frontier.read(conn, self._watch.cluster)
        node = self._providers.lead.rpc
        for vault in Vault:
            address = self._watch.address(vault)
            finalized = self._providers.finalized - self._pace.back_slots
            floor = max(reached.get(str(address), Slot(-1)), finalized)
            listed = await self._listed(node, vault, floor)
            await self._see(node, [one for one in listed if not one.failed])
        lowest = min(reached.values(), default=Slot(-1))
        self._read = {name: slot for name, slot in self._read.items() if slot > lowest}
        await self._settle()

    async def _listed(self, node: Chain, vault: Vault, floor: int) -> list[SignatureInfo]:
        """What is confirmed of a vault above the floor, newest first."""
        listed: list[SignatureInfo] = []
        before: str | None = None
        for _ in range(self._pace.most_pages):
            page = await node.signatures_for(
                self._watch.address(vault),
                before=before,
                limit=self._pace.page,
                commitment=Commitment.CONFIRMED,
            )
            above = [info for info in page if info.slot > floor]
            listed += above
            if len(above) < self._pace.page:
                break
            before = page[-1].signature
        return listed

    async def _see(self, node: Chain, listed: Sequence[SignatureInfo]) -> None:
        """Read what is new among these, and move what stands in another slot now."""
        new: list[SignatureInfo] = []
        for info in listed:
            known = self._read.get(info.signature)
            if known is None:
                new.append(info)
            elif known != info.slot:
                async with transaction(self._pool) as tx:
                    await arrivals.move(tx, self._watch.cluster, info.signature, info.slot)
                self._read[info.signature] = info.slot
        if not new:
            return
        gate = asyncio.Semaphore(self._pace.fetch_at_once)

        async def fetch(info: SignatureInfo) -> Transaction | None:
            async with gate:
                return await self._fetch(node, info.signature)

        fetched = [one for one in await asyncio.gather(*map(fetch, new)) if one is not None]
        async with transaction(self._pool) as tx:
            for read in fetched:
                events = events_of(read, self._watch)
                seen = [one for event in events if (one := await _seen(tx, event)) is not None]
                if seen:
                    await arrivals.see(tx, read.moment.slot, seen)
        self._read.update({read.signature: read.moment.slot for read in fetched})

    async def _fetch(self, node: Chain, signature: str) -> Transaction | None:
        """None: not there yet, not any more, or it will be said what it is when it is final."""
        answer = await node.transaction(signature, commitment=Commitment.CONFIRMED)
        if answer is None:
            return None
        try:
            if self._verify:
                check_signed(answer, signature=signature)
            return decode(answer, signature=signature, watch=self._watch)
        except Unreadable:
            return None

    async def _settle(self) -> None:
        """Mark what is final and what is gone, and forget what ended long ago."""
        cluster = self._watch.cluster
        async with transaction(self._pool) as tx:
            await arrivals.finish(tx, cluster)
            waiting = await arrivals.still_open(tx, cluster)
            # The frontiers first: what is found to be undiscovered below was so at that frontier.
            reached = await frontier.read(tx, cluster)
            finished = await self._finished(tx, waiting)
            gone = [one for one in waiting if self._is_gone(one, reached, finished)]
            if gone:
                await arrivals.give_up(tx, cluster, [one.reference for one in gone])
                for one in gone:
                    _log.warning("arrival_gone", signature=one.signature, slot=one.slot)
                    self._read.pop(one.signature, None)
            self._meters.vaults.arriving.set(len(waiting) - len(gone))
            if _now() >= self._prune_at_seconds:
                await arrivals.prune(tx, older_than_hours=self._pace.kept_hours)
                self._prune_at_seconds = _now() + self._pace.prune_seconds

    async def _finished(self, conn: ReadConn, waiting: Iterable[OpenArrival]) -> dict[str, bool]:
        """Whether we are done with each signature; those nobody has discovered are missing."""
        names = [signature_bytes(one.signature) for one in waiting]
        rows = await conn.fetch(_SQL["finished_signatures"], self._watch.cluster, names)
        return {signature_text(row["signature"]): row["finished"] for row in rows}

    def _is_gone(
        self, one: OpenArrival, reached: Mapping[str, Slot], finished: Mapping[str, bool]
    ) -> bool:
        """Its slot is final without it, or it became final as something that is no deposit."""
        done = finished.get(one.signature)
        if done is not None:
            return done
        return reached.get(str(self._watch.address(one.vault)), Slot(-1)) >= one.slot


async def _seen(tx: Tx, event: Event) -> SeenDeposit | None:
    """What people want to see arrive: money with or without a code, and bonds."""
    match event:
        case Deposit():
            coded = event.vault is Vault.TILL and event.code is not None
            owner = await owner_of_code(tx, event.code) if coded and event.code else None
            return SeenDeposit(
                key=event.key,
                vault=event.vault,
                amount_microusdc=event.amount_microusdc,
                owner=owner,
            )
        case BondPosted():
            owner = await owner_of_code(tx, event.code)
            theirs = isinstance(owner, BondCode) and owner.wallet == str(event.beneficiary)
            return SeenDeposit(
                key=event.key,
                vault=Vault.BOND,
                amount_microusdc=event.amount_microusdc,
                owner=owner if theirs else None,
            )
        case _:
            return None


def _now() -> float:
    return asyncio.get_running_loop().time()
