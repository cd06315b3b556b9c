"""Works off what was discovered and is not booked yet: fetch, decode, book, in the chain's order.

What cannot be read or is not there yet holds back everything that shares an address with it, until
it is there: order is kept, nothing is skipped, and other addresses go on.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from indexer import store
from indexer.apply import Booked, book_run, kind_of
from indexer.attribution import events_of
from indexer.decode import Watch
from indexer.doors import Booking
from indexer.events import Deposit
from indexer.hydration import Telling
from indexer.metrics import Meters
from indexer.raw import Unreadable
from indexer.store import BookedAs, IncidentKind, OpenSignature, SignatureState
from indexer.terms import AccountReader, read_terms
from indexer.trust import Ceilings
from settlement.db.pool import Pool, reading, transaction
from settlement.ledger.operations import Writer
from settlement.money import Slot

_LOGGED_SINGLY: Final = 20
_log = structlog.stdlib.get_logger()


@dataclass(frozen=True, kw_only=True)
class Portions:
    """How much at once, and how soon what could not be read is looked at again."""

    fetch_at_once: int = 8
    page: int = 200
    unreadable_again_seconds: float = 30.0


class Answering(AccountReader, Protocol):
    """What is asked of the chain here; `Hydrator` is one."""

    async def believed(self, signature: str) -> Telling | None:
        """A finalized transaction; None while nobody has it. Raises `Unreadable`."""
        ...


@dataclass(frozen=True, kw_only=True)
class _Fetched:
    """An open signature and what was found of it; None where nothing is there yet."""

    open: OpenSignature
    found: Booking | Unreadable | None


class Backlog:
    """The open signatures of one cluster, and the life of the indexer that books them."""

    def __init__(
        self,
        *,
        chain: Answering,
        pool: Pool,
        writer: Writer,
        watch: Watch,
        portions: Portions,
        meters: Meters,
        ceilings: Ceilings | None = None,
    ) -> None:
        self._chain = chain
        self._pool = pool
        self._writer = writer
        self._watch = watch
        self._portions = portions
        self._meters = meters
        self._ceilings = ceilings or Ceilings()
        self._unreadable_again: dict[str, float] = {}

    async def work_off(self, target: Slot) -> None:
        """Book what is open at or below `target`, page by page, in the order of the chain.

        The next page is fetched while one is being booked.
        """
        held: set[str] = set()
        coming = asyncio.create_task(self._fetch_page(target, None))
        try:
            while page := await coming:
                coming = asyncio.create_task(self._fetch_page(target, page))
                await self._book_page(page, held)
        finally:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)

    async def _fetch_page(self, target: Slot, previous: list[_Fetched] | None) -> list[_Fetched]:
        """The page after that one, fetched and decoded; empty when there is none."""
        if previous is not None and len(previous) < self._portions.page:
            return []
        async with reading(self._pool) as conn:
            page = await store.open_signatures(
                conn,
                self._watch.cluster,
                to=target,
                limit=self._portions.page,
                after=None if previous is None else previous[-1].open,
            )
        now_seconds = asyncio.get_running_loop().time()
        due = [
            one.signature
            for one in page
            if self._unreadable_again.get(one.signature, 0.0) <= now_seconds
            and not self._ceilings.above(one)
        ]
        found = await self._fetch(due)
        return [_Fetched(open=one, found=found.get(one.signature)) for one in page]

    async def _fetch(self, signatures: Sequence[str]) -> dict[str, Booking | Unreadable | None]:
        """What each of these was, several asked for at once; one that fails ends the others."""
        found: dict[str, Booking | Unreadable | None] = {}
        wanted = iter(signatures)

        async def ask() -> None:
            for signature in wanted:
                found[signature] = await self._read(signature)

        asking = [asyncio.create_task(ask()) for _ in range(self._portions.fetch_at_once)]
        try:
            await asyncio.gather(*asking)
        finally:
            for one in asking:
                one.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
        return found

    async def _read(self, signature: str) -> Booking | Unreadable | None:
        """What a transaction was, ready to be booked; None while it is not there."""
        try:
            told = await self._chain.believed(signature)
        except Unreadable as unreadable:
            return unreadable
        if told is None:
            return None
        read = told.read
        events = events_of(read, self._watch)
        terms = await read_terms(
            self._chain,
            events,
            program_id=self._watch.deployment.program_id,
            slot=read.moment.slot,
        )
        return Booking(
            cluster=self._watch.cluster,
            transaction=read,
            events=events,
            terms=terms,
            answer=told.answer,
        )

    async def _book_page(self, page: Sequence[_Fetched], held: set[str]) -> None:
        """Book what may be booked of a page; `held` grows by the addresses that have to wait."""
        run: list[Booking] = []
        for one in page:
            if self._ceilings.holds(one.open, held):
                pass
            elif isinstance(one.found, Booking):
                run.append(one.found)
            else:
                held |= one.open.addresses
            if isinstance(one.found, Unreadable):
                await self._set_unreadable(one.open, one.found)
        results = await book_run(self._pool, self._writer, run)
        for booking in run:
            self._unreadable_again.pop(booking.transaction.signature, None)
        self._tell([event for booked in results for event in booked])

    def _tell(self, booked: Sequence[Booked]) -> None:
        """Count all; log each, but of a long run only what a person may want to see."""
        counts = Counter((kind_of(one.event), one.booked_as) for one in booked)
        for (kind, booked_as), count in counts.items():
            self._meters.events.labels(kind=kind, booked_as=booked_as).inc(count)
        many = len(booked) > _LOGGED_SINGLY
        for one in booked:
            everyday = isinstance(one.event, Deposit) and one.booked_as is BookedAs.ITSELF
            if not (many and everyday):
                _log.info(
                    "chain_event",
                    kind=kind_of(one.event),
                    booked_as=one.booked_as,
                    signature=one.event.key.signature,
                    reference=one.event.key.reference,
                )
        if many:
            _log.info("chain_events", events=len(booked), last=booked[-1].event.key.reference)

    async def _set_unreadable(self, one: OpenSignature, unreadable: Unreadable) -> None:
        again = asyncio.get_running_loop().time() + self._portions.unreadable_again_seconds
        self._unreadable_again[one.signature] = again
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
