"""The nodes we ask, none of which is trusted: who leads a round, and who verifies it.

A `Provider` is one URL with a client of its own, so that what it answers is its own word: answers
of two providers are compared, never joined. The first provider in the order of the settings that is
fit leads. One that lags behind the others, fails too often or answers too slowly is demoted; it
comes back when it has been well for a while, and is probed again before it is believed.
"""

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol
from urllib.parse import urlsplit

import aiohttp
import structlog
from solders.pubkey import Pubkey

from indexer.source import Node
from indexer.terms import AccountReader
from settlement.chain.answers import AccountAt
from settlement.chain.node import Experience, NodeLimits
from settlement.chain.rpc import RetryPolicy, RpcClient
from settlement.errors import Unavailable
from settlement.money import Slot

# One provider is not asked for long: another is there, or the next round comes.
_RETRY: Final = RetryPolicy(attempts=3, longest_pause_seconds=1.0, total_seconds=5.0)
_WELL_AGAIN: Final = 0.5  # of what demotes: otherwise it would come and go
_DEMOTED_SECONDS: Final = 10.0
_log = structlog.stdlib.get_logger()


class NoProvider(Unavailable):
    """No provider can be asked right now."""


class Distrust(StrEnum):
    """What a provider cannot be trusted with, in words for people."""

    WRONG_CHAIN = "serves another chain: never used"
    NO_TRANSACTION_HISTORY = "keeps no transactions, it is the wrong kind of node: never used"
    IGNORES_MIN_CONTEXT_SLOT = "ignores minContextSlot: cannot prove a frontier"
    OLD_TRANSACTIONS_ONLY = "does not read transactions of version 1: cannot hydrate"
    HISTORY_BEGINS_LATER = "has no history that far back: cannot lead what is older"
    IGNORES_CURSOR = "ignores the cursor of a page: cannot prove a frontier"
    EMPTY_FOR_UNKNOWN_CURSOR = "answers an unknown cursor with an empty page, not with an error"
    FABRICATES = "has told a transaction that nobody signed: cannot prove a frontier"
    NOT_PROBED = "has not answered its probes yet"


_UNUSABLE: Final = frozenset(
    {Distrust.WRONG_CHAIN, Distrust.NO_TRANSACTION_HISTORY, Distrust.NOT_PROBED}
)
_NO_PROOF: Final = frozenset(
    {Distrust.IGNORES_MIN_CONTEXT_SLOT, Distrust.IGNORES_CURSOR, Distrust.FABRICATES}
)


class Chain(Node, AccountReader, Protocol):
    """Everything that is asked of one provider; `RpcClient` is one."""

    async def slot(self) -> Slot:
        """The newest finalized slot, as one node sees it."""
        ...

    async def accounts(self, addresses: Sequence[Pubkey]) -> tuple[AccountAt, ...]:
        """Several accounts at one finalized slot, in the order asked."""
        ...

    async def genesis_hash(self) -> str:
        """Which chain this is."""
        ...

    async def node_version(self) -> str:
        """Which software it says it runs."""
        ...

    async def first_available_block(self) -> Slot:
        """Where its history begins."""
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
    slot_at_seconds: float = 0.0  # of the monotonic clock: when it told us
    lag_slots: int = 0  # how far it was behind the others then
    first_block: Slot | None = None  # of its history; None: it does not say
    version: str | None = None
    demoted: bool = False
    returns: int = 0  # how often it had come back when it was last judged
    demoted_until_seconds: float = 0.0  # of the monotonic clock: it does not come back before

    @property
    def usable(self) -> bool:
        """Whether it may be asked at all."""
        return not self.distrust & _UNUSABLE

    @property
    def proves(self) -> bool:
        """Whether its listings are evidence for a frontier."""
        return self.usable and not self.distrust & _NO_PROOF

    def reaches_back_to(self, slot: int) -> bool:
        """Whether its history has everything from this slot on, as far as it says."""
        return self.first_block is None or self.first_block <= slot


class Providers:
    """All of them, in the order of the settings."""

    def __init__(self, providers: Sequence[Provider], *, fitness: Fitness | None = None) -> None:
        assert providers, "at least one provider"
        self.all = tuple(providers)
        self.needed_from = Slot(0)  # from where on history is still wanted
        self._fitness = fitness or Fitness()

    @property
    def single_source(self) -> bool:
        """Whether one provider is all there is: then every result has one source."""
        return len(self.all) == 1

    @property
    def lead(self) -> Provider:
        """Who is asked first. Raises `NoProvider`."""
        return self._ranked()[0]

    def lead_back_to_needed(self) -> Provider:
        """Who is asked first for all that is still wanted. Raises `NoProvider`."""
        ranked = self._ranked()
        reaching = (one for one in ranked if one.reaches_back_to(self.needed_from))
        return next(reaching, ranked[0])

    def provers(self) -> list[Provider]:
        """Whose listings of all that is still wanted are evidence, best first."""
        ranked = sorted(self.all, key=_rank)
        return [one for one in ranked if one.proves and one.reaches_back_to(self.needed_from)]

    def distrust(self, one: Provider) -> list[Distrust]:
        """What it cannot be trusted with, in the order of the words."""
        words = set(one.distrust)
        if not one.reaches_back_to(self.needed_from):
            words.add(Distrust.HISTORY_BEGINS_LATER)
        return [word for word in Distrust if word in words]

    @property
    def others(self) -> tuple[Provider, ...]:
        """Who else can be asked, best first; nobody with one URL."""
        return tuple(self._ranked()[1:])

    @property
    def finalized(self) -> Slot:
        """The newest finalized slot anybody told us."""
        return max((one.slot for one in self.all if one.slot is not None), default=Slot(0))

    async def ask_slot(self, provider: Provider) -> Slot:
        """Ask one for its newest finalized slot, and how far it is behind what the others told.

        Raises what its client raises.
        """
        slot = await provider.rpc.slot()
        provider.slot, provider.slot_at_seconds = slot, _now_seconds()
        provider.lag_slots = max(0, self.finalized - slot)
        return slot

    def judge(self) -> None:
        """Demote who is unfit, take back who is well again. Once a round."""
        for one in self.all:
            if one.returns != one.experience.returns:
                one.returns = one.experience.returns
                one.distrust |= {Distrust.NOT_PROBED}
            unfit = self._fitness.unfit(one.experience, one.lag_slots)
            if one.demoted:
                rested = _now_seconds() >= one.demoted_until_seconds
                self._set_demoted(one, unfit >= _WELL_AGAIN or not rested)
            else:
                self._set_demoted(one, unfit >= 1.0)

    def demote(self, provider: Provider, problem: str) -> None:
        """It has failed a round: others come first for a while."""
        provider.experience.last_problem = problem
        provider.demoted_until_seconds = _now_seconds() + _DEMOTED_SECONDS
        self._set_demoted(provider, True)

    def _set_demoted(self, one: Provider, demoted: bool) -> None:
        if demoted is one.demoted:
            return
        one.demoted = demoted
        if not demoted:
            one.distrust |= {Distrust.NOT_PROBED}
        _log.warning(
            "provider_demoted" if demoted else "provider_back",
            provider=one.name,
            lag_slots=one.lag_slots,
            error_rate=round(one.experience.error_rate, 3),
            latency_seconds=round(one.experience.latency_seconds, 3),
            problem=one.experience.last_problem,
        )

    def _ranked(self) -> list[Provider]:
        usable = [one for one in self.all if one.usable]
        if not usable:
            told = {one.name: "; ".join(self.distrust(one)) for one in self.all}
            raise NoProvider(providers=told)
        return sorted(usable, key=_rank)


def _rank(one: Provider) -> tuple[bool, bool]:
    """Best first; `sorted` is stable, so equals keep the order of the settings."""
    return (not one.proves, one.demoted)


def _now_seconds() -> float:
    return time.monotonic()


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
