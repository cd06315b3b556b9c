"""Works off what was discovered and is not booked yet: fetch, decode, book, in the chain's order.

What cannot be read or is not there yet holds back everything that shares an address with it, until
it is there: order is kept, nothing is skipped, and other addresses go on.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from indexer import store
from indexer.apply import Told, book_run
from indexer.decode import Watch
from indexer.doors import Booking
from indexer.everyday import Everyday
from indexer.fetching import Answering, Fetcher, Fetching, Found
from indexer.metrics import Meters
from indexer.raw import Unreadable
from indexer.rows import BookedAs
from indexer.store import IncidentKind, OpenSignature, SignatureState
from indexer.trust import Ceilings
from settlement.db.pool import Pool, reading, transaction
from settlement.ledger.operations import Writer
from settlement.money import Slot

_LOGGED_SINGLY: Final = 20
_PAGES_AHEAD: Final = 2
_EVERYDAY: Final = ("deposit", BookedAs.ITSELF)
_log = structlog.stdlib.get_logger()


@dataclass(frozen=True, kw_only=True)
class Portions:
    """How much at once, and how soon what could not be read is looked at again."""

    fetch_at_once: int = 8
    page: int = 400
    long: int = 100  # a page of so many is read by another process
    unreadable_again_seconds: float = 30.0


@dataclass(frozen=True, kw_only=True)
class _Fetched:
    """An open signature and what was found of it; None where nothing is there yet."""

    open: OpenSignature
    found: Found


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
        self._fetching = Fetching(
            chain=chain, watch=watch, at_once=portions.fetch_at_once, long=portions.long
        )
        self._pool = pool
        self._writer = writer
        self._watch = watch
        self._portions = portions
        self._meters = meters
        self._ceilings = ceilings or Ceilings()
        self._unreadable_again: dict[str, float] = {}

    async def work_off(self, target: Slot) -> None:
        """Book what is open at or below `target`, page by page, in the order of the chain.

        The next pages are fetched while one is being booked.
        """
        held: set[str] = set()
        fetched: asyncio.Queue[list[_Fetched]] = asyncio.Queue(maxsize=_PAGES_AHEAD)
        fetching = asyncio.create_task(self._fetch_pages(target, fetched))
        coming = asyncio.create_task(fetched.get())
        try:
            while True:
                await asyncio.wait({fetching, coming}, return_when=asyncio.FIRST_COMPLETED)
                if not coming.done():
                    await fetching  # it has failed: nothing more comes
                page = await coming
                if not page:
                    return
                coming = asyncio.create_task(fetched.get())
                await self._book_page(page, held)
        finally:
            for one in (fetching, coming):
                one.cancel()
            await asyncio.gather(fetching, coming, return_exceptions=True)

    async def _fetch_pages(self, target: Slot, fetched: "asyncio.Queue[list[_Fetched]]") -> None:
        """Page after page, and an empty one at the end."""
        async with self._fetching.life() as fetcher:
            page: list[_Fetched] | None = None
            while page is None or page:
                page = await self._fetch_page(target, page, fetcher)
                await fetched.put(page)

    async def _fetch_page(
        self, target: Slot, previous: list[_Fetched] | None, fetcher: Fetcher
    ) -> list[_Fetched]:
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
        found = await fetcher.fetch(due)
        return [_Fetched(open=one, found=found.get(one.signature)) for one in page]

    async def _book_page(self, page: Sequence[_Fetched], held: set[str]) -> None:
        """Book what may be booked of a page; `held` grows by the addresses that have to wait."""
        run: list[Booking | Everyday] = []
        for one in page:
            if self._ceilings.holds(one.open, held):
                pass
            elif isinstance(one.found, Booking | Everyday):
                run.append(one.found)
            else:
                held |= one.open.addresses
            if isinstance(one.found, Unreadable):
                await self._set_unreadable(one.open, one.found)
        results = await book_run(self._pool, self._writer, run, watch=self._watch)
        if self._unreadable_again:
            for one in page:
                if isinstance(one.found, Booking | Everyday):
                    self._unreadable_again.pop(one.open.signature, None)
        self._tell([event for booked in results for event in booked])

    def _tell(self, booked: Sequence[Told]) -> None:
        """Count all; log each, but of a long run only what a person may want to see."""
        counts = Counter((one.kind, one.booked_as) for one in booked)
        for (kind, booked_as), count in counts.items():
            self._meters.events.labels(kind=kind, booked_as=booked_as).inc(count)
        many = len(booked) > _LOGGED_SINGLY
        for one in booked:
            everyday = (one.kind, one.booked_as) == _EVERYDAY
            if not (many and everyday):
                _log.info(
                    "chain_event",
                    kind=one.kind,
                    booked_as=one.booked_as,
                    signature=one.signature,
                    reference=one.reference,
                )
        if many:
            _log.info("chain_events", events=len(booked), last=booked[-1].reference)

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
