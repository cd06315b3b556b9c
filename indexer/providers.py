"""The nodes we ask, none of which is trusted: who leads a round, and who verifies it.

A `Provider` is one URL with a client of its own, so that what it answers is its own word: answers
of two providers are compared, never joined. The first provider in the order of the settings that is
fit leads. One that lags behind the others, fails too often or answers too slowly is demoted; it
comes back when it has been well for a while, and is probed again before it is believed.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol
from urllib.parse import urlsplit

import aiohttp
import structlog

from indexer.source import Node
from indexer.terms import AccountReader
from settlement.chain.node import Experience, NodeLimits
from settlement.chain.rpc import RetryPolicy, RpcClient
from settlement.errors import Unavailable
from settlement.money import Slot

# One provider is not asked for long: another is there, or the next round comes.
_RETRY: Final = RetryPolicy(attempts=3, longest_pause_seconds=1.0, total_seconds=5.0)
_WELL_AGAIN: Final = 0.5  # of what demotes: otherwise it would come and go
_log = structlog.stdlib.get_logger()


class NoProvider(Unavailable):
    """No provider can be asked right now."""


class Distrust(StrEnum):
    """What a provider cannot be trusted with, in words for people."""

    WRONG_CHAIN = "serves another chain: never used"
    IGNORES_MIN_CONTEXT_SLOT = "ignores minContextSlot: cannot prove a frontier"
    OLD_TRANSACTIONS_ONLY = "does not read transactions of version 1: cannot hydrate"
    HISTORY_BEGINS_LATER = "has no history that far back: cannot lead what is older"
    EMPTY_FOR_UNKNOWN_CURSOR = "answers an unknown cursor with an empty page, not with an error"
    NOT_PROBED = "has not answered its probes yet"


class Chain(Node, AccountReader, Protocol):
    """Everything that is asked of one provider; `RpcClient` is one."""

    async def slot(self) -> Slot:
        """The newest finalized slot, as one node sees it."""
        ...


@dataclass(frozen=True, kw_only=True)
class Fitness:
    """At which lag, error rate or latency a provider is demoted."""

    lag_slots: int = 64
    error_rate: float = 0.5
    latency_seconds: float = 5.0

    def unfit(self, experience: Experience, lag_slots: int) -> float:
        """0 is perfect, 1 and more is demoted."""
        return max(
            lag_slots / self.lag_slots,
            experience.error_rate / self.error_rate,
            experience.latency_seconds / self.latency_seconds,
        )


@dataclass(kw_only=True)
class Provider:
    """One URL. `rpc` never asks another one, so that its word is its own."""

    name: str  # its host, or a short name; never its key
    rpc: Chain
    experience: Experience = field(default_factory=Experience)
    distrust: frozenset[Distrust] = frozenset()
    slot: Slot | None = None  # the newest finalized slot it has told us
    first_block: Slot | None = None  # of its history; None: it does not say
    version: str | None = None
    demoted: bool = False

    @property
    def usable(self) -> bool:
        """Whether it may be asked at all."""
        return not self.distrust & {Distrust.WRONG_CHAIN, Distrust.NOT_PROBED}

    @property
    def proves(self) -> bool:
        """Whether its listings are evidence for a frontier."""
        return self.usable and Distrust.IGNORES_MIN_CONTEXT_SLOT not in self.distrust

    def reaches_back_to(self, slot: int) -> bool:
        """Whether its history has everything from this slot on, as far as it says."""
        return self.first_block is None or self.first_block <= slot

    async def finalized(self) -> Slot:
        """Ask it for its newest finalized slot. Raises what its client raises."""
        self.slot = await self.rpc.slot()
        return self.slot


class Providers:
    """All of them, in the order of the settings."""

    def __init__(self, providers: Sequence[Provider], *, fitness: Fitness | None = None) -> None:
        assert providers, "at least one provider"
        self.all = tuple(providers)
        self._fitness = fitness or Fitness()

    @property
    def single_source(self) -> bool:
        """Whether one provider is all there is: then every result has one source."""
        return len(self.all) == 1

    @property
    def lead(self) -> Provider:
        """Who is asked first. Raises `NoProvider`."""
        return self._ranked()[0]

    def lead_from(self, slot: int) -> Provider:
        """Who is asked first for a history that begins at `slot`. Raises `NoProvider`."""
        ranked = self._ranked()
        return next((one for one in ranked if one.reaches_back_to(slot)), ranked[0])

    @property
    def others(self) -> tuple[Provider, ...]:
        """Who else can be asked, best first; nobody with one URL."""
        return tuple(self._ranked()[1:])

    @property
    def finalized(self) -> Slot:
        """The newest finalized slot anybody told us."""
        return max((one.slot for one in self.all if one.slot is not None), default=Slot(0))

    def lag_slots(self, provider: Provider) -> int:
        """How far it is behind the newest finalized slot that was told; 0 until it has told one."""
        return 0 if provider.slot is None else self.finalized - provider.slot

    def judge(self) -> None:
        """Demote who is unfit, take back who is well again. Once a round."""
        for one in self.all:
            unfit = self._fitness.unfit(one.experience, self.lag_slots(one))
            demoted = unfit >= (_WELL_AGAIN if one.demoted else 1.0)
            if demoted is not one.demoted:
                one.demoted = demoted
                _log.warning(
                    "provider_demoted" if demoted else "provider_back",
                    provider=one.name,
                    lag_slots=self.lag_slots(one),
                    error_rate=round(one.experience.error_rate, 3),
                    latency_seconds=round(one.experience.latency_seconds, 3),
                    problem=one.experience.last_problem,
                )

    def _ranked(self) -> list[Provider]:
        usable = [one for one in self.all if one.usable]
        if not usable:
            told = {one.name: sorted(one.distrust) for one in self.all}
            raise NoProvider(providers=told)
        # `sorted` is stable: equals keep the order of the settings.
        return sorted(usable, key=lambda one: (one.demoted, not one.proves))


def names_of(urls: Sequence[str]) -> list[str]:
    """A short name for each URL: its host (and port, where it has one), numbered when repeated."""
    names: list[str] = []
    for url in urls:
        parts = urlsplit(url)
        name = (parts.hostname or "?") + (f":{parts.port}" if parts.port else "")
        again = sum(known.split("#")[0] == name for known in names)
        names.append(f"{name}#{again + 1}" if again else name)
    return names


@asynccontextmanager
async def open_providers(
    urls: Sequence[str],
    *,
    limits_of: Callable[[str], NodeLimits],
    fitness: Fitness | None = None,
) -> AsyncGenerator[Providers]:
    """A client for each URL, closed at the end. Nobody is probed yet, so nobody is usable yet."""
    async with aiohttp.ClientSession() as session:
        made: list[Provider] = []
        for name, url in zip(names_of(urls), urls, strict=True):
            rpc = RpcClient([url], session, retry=_RETRY, limits=limits_of(url))
            made.append(
                Provider(
                    name=name,
                    rpc=rpc,
                    experience=rpc.nodes[0].experience,
                    distrust=frozenset({Distrust.NOT_PROBED}),
                )
            )
        yield Providers(made, fitness=fitness)
