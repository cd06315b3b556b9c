"""Fetches what signatures stand for and reads it, ready to be booked.

Several are asked for at once. Of a long list the everyday ones are read by another process
(`reader`), portion by portion as they come in; all others, and every one of a short list, here.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Protocol

from indexer.attribution import events_of
from indexer.decode import Watch
from indexer.doors import Booking
from indexer.everyday import Belief, Everyday
from indexer.hydration import Heard, Telling
from indexer.raw import Unreadable
from indexer.reader import Reader
from indexer.terms import AccountReader, read_terms

Found = Booking | Everyday | Unreadable | None
_PORTION: Final = 25  # transactions that go to the other process at once


class Answering(AccountReader, Protocol):
    """What is asked of the chain here; `Hydrator` is one."""

    @property
    def belief(self) -> Belief:
        """When the word of whoever is asked first is enough."""
        ...

    async def heard(self, signature: str) -> Heard | None:
        """What whoever is asked first says of a finalized transaction, in its own words."""
        ...

    def found(self, signature: str) -> None:
        """It is read."""
        ...

    async def believed(self, signature: str, heard: Heard | None = None) -> Telling | None:
        """A finalized transaction; None while nobody has it. Raises `Unreadable`."""
        ...


@dataclass(frozen=True, kw_only=True)
class Fetching:
    """How to fetch."""

    chain: Answering
    watch: Watch
    at_once: int
    long: int  # from so many signatures on another process reads

    @asynccontextmanager
    async def life(self) -> "AsyncGenerator[Fetcher]":
        """As long as there is something to fetch; the other process lives no longer."""
        async with Reader(self.watch, self.chain.belief) as reader:
            yield Fetcher(self, reader)


class Fetcher:
    """Fetches list after list."""

    def __init__(self, how: Fetching, reader: Reader) -> None:
        self._how = how
        self._reader = reader

    async def fetch(self, signatures: Sequence[str]) -> dict[str, Found]:
        """What each of these was; None while it is not there. One that fails ends the others."""
        found: dict[str, Found] = {}
        portion: list[tuple[str, Heard]] = []
        beside = len(signatures) >= self._how.long
        wanted = iter(signatures)

        async def ask() -> None:
            for signature in wanted:
                heard = await self._how.chain.heard(signature) if beside else None
                if heard is None:
                    found[signature] = await self._read(signature, None)
                    continue
                portion.append((signature, heard))
                if len(portion) >= _PORTION:
                    full = portion[:]
                    portion.clear()
                    reading.append(asyncio.create_task(self._read_beside(full, found)))

        reading: list[asyncio.Task[None]] = []
        asking = [asyncio.create_task(ask()) for _ in range(self._how.at_once)]
        try:
            await asyncio.gather(*asking)
            if portion:
                await self._read_beside(portion, found)
            await asyncio.gather(*reading)
        finally:
            for one in (*asking, *reading):
                one.cancel()
            await asyncio.gather(*asking, *reading, return_exceptions=True)
        return found

    async def _read_beside(
        self, portion: Sequence[tuple[str, Heard]], found: dict[str, Found]
    ) -> None:
        read = await self._reader.read([(signature, heard.text) for signature, heard in portion])
        for (signature, heard), everyday in zip(portion, read, strict=True):
            if everyday is None:
                found[signature] = await self._read(signature, heard)
            else:
                found[signature] = everyday
                self._how.chain.found(signature)

    async def _read(self, signature: str, heard: Heard | None) -> Booking | Unreadable | None:
        """What a transaction was, ready to be booked; None while it is not there."""
        chain, watch = self._how.chain, self._how.watch
        try:
            told = await chain.believed(signature, heard)
        except Unreadable as unreadable:
            return unreadable
        if told is None:
            return None
        read = told.read
        events = events_of(read, watch)
        terms = await read_terms(
            chain, events, program_id=watch.deployment.program_id, slot=read.moment.slot
        )
        return Booking(
            cluster=watch.cluster, transaction=read, events=events, terms=terms, answer=told.answer
        )
