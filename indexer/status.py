"""What `/health` says of the indexer: one line for people, facts for programs."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from indexer.follow import Round
from indexer.providers import Provider, Providers
from settlement.observability import Health

_STALE_SECONDS: Final = 30.0
_log = structlog.stdlib.get_logger()


@dataclass(kw_only=True)
class Status:
    """Where the indexer stands."""

    line: str = "starting"
    well: bool = False
    last: Round | None = None
    looked_at_seconds: float = 0.0
    providers: Providers | None = None

    def waiting(self, why: str) -> None:
        """Nothing can be done right now."""
        if self.line != why:
            _log.warning("waiting", why=why)
        self.line, self.well = why, False

    def done(self, now: Round, *, needed: int, doubts: Sequence[str] = ()) -> None:
        """A round has ended well; so many providers must prove a frontier. Doubts are not well."""
        self.last = now
        self.looked_at_seconds = asyncio.get_running_loop().time()
        self.line = f"slot {now.slot}, frontier {now.frontier}, {now.behind_slots} behind"
        self.line += "".join(f"; {one}" for one in _remarks(now))
        stands = now.provers < needed
        if stands:
            self.line += f"; {now.provers} of {needed} providers can prove a frontier: it stands"
        self.line += "".join(f"; {one}" for one in doubts)
        self.well = now.standing.unreadable == 0 and not stands and not doubts

    def health(self) -> Health:
        """The answer."""
        silent_seconds = asyncio.get_running_loop().time() - self.looked_at_seconds
        stale = self.last is not None and silent_seconds > _STALE_SECONDS
        line = f"no round for {int(silent_seconds)} s; {self.line}" if stale else self.line
        return Health(well=self.well and not stale, line=line, facts=self._facts())

    def _facts(self) -> dict[str, int | str]:
        facts: dict[str, int | str] = {}
        if self.last is not None:
            standing = self.last.standing
            facts |= {
                "slot": self.last.slot,
                "frontier": self.last.frontier,
                "behind_slots": self.last.behind_slots,
                "wanted": standing.wanted,
                "unreadable": standing.unreadable,
                "unlisted": self.last.unlisted,
                "incidents": standing.incidents,
                "lead": self.last.lead,
                "single_source": int(self.last.single_source),
            }
        if self.providers is not None:
            for one in self.providers.all:
                facts[f"provider {one.name}"] = _words(self.providers, one)
        return facts


def _words(providers: Providers, one: Provider) -> str:
    words = [str(word) for word in providers.distrust(one)]
    if one.demoted:
        words.append(f"demoted: {one.experience.last_problem or 'it lags'}")
    return "; ".join(words) or "trusted"


def _remarks(now: Round) -> list[str]:
    standing = now.standing
    remarks = [
        (standing.unreadable, "transactions cannot be read"),
        (standing.wanted, "transactions are not there yet"),
        (now.unlisted, "signatures are not listed by every provider"),
    ]
    return [f"{count} {text}" for count, text in remarks if count]
