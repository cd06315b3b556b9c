"""Looks, beside the work, whether what must hold does: the invariants of chain.md 7.5.

What is found is a figure for Prometheus and an error in the log; nothing is corrected here. Only
what has been booked since the last look is read, so a look is cheap; `pod index replay` and
`pod ledger verify` are for all of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from indexer import recorded
from indexer.decode import Watch
from indexer.metrics import Meters
from indexer.replay import Verdict, replay
from indexer.store import IncidentKind
from settlement.chain.signatures import signature_bytes
from settlement.db.pool import Pool, ReadConn, reading
from settlement.db.sql import load

_SQL: Final = load("indexer", "audit.sql")
_ENTRIES: Final = 2_000
_REPLAYED: Final = 200  # transactions at a look; more come in a backfill, and are left out
_PARTS: Final = 6  # of a reference: chain, cluster, signature and three places
_log = structlog.stdlib.get_logger()


@dataclass(kw_only=True)
class Auditor:
    """What has been looked at. A new life of the indexer begins where the books stand then."""

    pool: Pool
    watch: Watch
    writer_id: int
    seen_batch: int
    seen_slot: int
    violations: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("I1", "I2", "I4", "I9"), 0)
    )

    async def look(self, meters: Meters) -> None:
        """Look once. An entry that was wrong stays so in the figures until this process ends."""
        async with reading(self.pool) as conn:
            await self._entries(conn)
            passed: int = await conn.fetchval(_SQL["passed_over"], self.watch.cluster)
            await self._figures(conn, meters)
        self.violations["I4"] = 0  # it may be mended
        self._found("I4", passed)
        await self._replayed()
        for invariant, count in self.violations.items():
            meters.violations.labels(invariant=invariant).set(count)
        meters.audited.set_to_current_time()

    async def _entries(self, conn: ReadConn) -> None:
        """I1: an event stands behind each entry. I2: none is credited twice."""
        rows = await conn.fetch(_SQL["entries_since"], self.writer_id, self.seen_batch, _ENTRIES)
        if not rows:
            return
        last: int = rows[-1]["batch_seq"]
        # A batch that may go on is read again.
        self.seen_batch = max(self.seen_batch + 1, last - 1) if len(rows) == _ENTRIES else last
        names = [str(row["external_ref"]).split(":") for row in rows]
        mine = [one for one in names if len(one) == _PARTS and one[1] == self.watch.cluster]
        missing: int = await conn.fetchval(
            _SQL["without_event"], self.watch.cluster, *_columns(mine)
        )
        self._found("I1", missing)
        self._found("I2", len(names) - len({tuple(one) for one in names}))

    async def _replayed(self) -> None:
        """I9: what was recorded gives the same rows again."""
        cluster = self.watch.cluster
        async with reading(self.pool) as conn:
            count, last = await recorded.count(
                conn, cluster, from_slot=self.seen_slot, decoder_version=None
            )
        if 0 < count <= _REPLAYED:
            verdict = Verdict(cluster=cluster, from_slot=self.seen_slot, to_slot=self.seen_slot)
            found = await replay(
                self.pool, verdict, watch=self.watch, recorded_by=None, told=lambda _: None
            )
            self._found("I9", found.different)
            if found.first_difference is not None:
                _log.error("replay_differs", first=str(found.first_difference))
        self.seen_slot = max(self.seen_slot, last + 1)

    async def _figures(self, conn: ReadConn, meters: Meters) -> None:
        rows = await conn.fetch(_SQL["incidents_by_kind"], self.watch.cluster)
        counts = {row["kind"]: row["n"] for row in rows}
        for kind in IncidentKind:
            meters.incidents_of.labels(kind=kind).set(counts.get(kind, 0))
        oldest_seconds = await conn.fetchval(_SQL["oldest_open"], self.watch.cluster)
        meters.oldest_open_seconds.set(oldest_seconds)

    def _found(self, invariant: str, count: int) -> None:
        if count:
            _log.error("invariant_violated", invariant=invariant, count=count)
            self.violations[invariant] += count


def _columns(names: Sequence[Sequence[str]]) -> tuple[list[bytes], list[int], list[int], list[int]]:
    return (
        [signature_bytes(one[2]) for one in names],
        [int(one[3]) for one in names],
        [int(one[4]) for one in names],
        [int(one[5]) for one in names],
    )
