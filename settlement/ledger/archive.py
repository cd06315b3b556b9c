"""Days that are over leave the journal for files.

For a day, in this order, each step of which may be done again after a crash:

1. the window of ids that may be settled moves past it: nothing is written to it any more;
2. every row of it must be in a seal;
3. the database adds its rows up, account by account, in short steps;
4. rows, proof and manifest are written to files (`archive_file`);
5. these are read again, by themselves (`archive_check`) and row by row against the database: only
   then get their names;
6. in one transaction the day leaves the journal and what it added up to counts in its place.

Days go oldest first, so that those at hand are always all days since one.
"""

import json
from collections.abc import Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Final

from settlement.db.pool import Pool, only_one, reading
from settlement.errors import Conflict, Refused
from settlement.ledger import archive_read, seal_read
from settlement.ledger.archive_check import ArchiveWrong, check_files, places_in
from settlement.ledger.archive_file import DayFiles, DayWriter
from settlement.ledger.archive_manifest import Manifest, ManifestUnreadable
from settlement.ledger.archive_read import QUERIES
from settlement.ledger.archive_tree import Loose, hashes_of
from settlement.ledger.merkle import Node
from settlement.ledger.merkle_multi import multi_hashes, multi_needs
from settlement.ledger.merkle_proof import Span
from settlement.ledger.parquet import NotThatFile
from settlement.ledger.seal_rows import SealHead

_GAPS_AT_ONCE: Final = 500


class SealFirst(Refused):
    """Rows of the day are in no seal yet: seal first."""


class OtherArchive(Conflict):
    """There are sound files of that day already, of other rows than the database has."""


class Phase(StrEnum):
    """What is being done with a day."""

    ADD_UP = "adding up"
    WRITE = "writing"
    PROVE = "proving"
    CHECK = "checking"
    READ_BACK = "reading back"


@dataclass(frozen=True, kw_only=True)
class Step:
    """How many rows are done (of the proof: stretches between rows), and of how many if known."""

    phase: Phase
    done: int
    total: int | None


Told = Callable[[Step], None]


async def archive_day(pool: Pool, directory: Path, day: date, told: Told) -> Manifest:
    """Take a day out of the journal, into files in a directory; again after a crash finishes it.

    Raises `SealFirst`, `DayOpen`, `OtherArchive`, `ArchiveWrong` where the files cannot be read
    again, `AlreadyRunning` when another one is at it, and `DatabaseUnavailable`.
    """
    async with only_one(pool, "archive"):
        work = _Work(pool, directory, day, told)
        await work.close()
        await work.add_up()
        manifest = await work.kept() or await work.write()
        await archive_read.let_go(pool, day, json.dumps(manifest.as_json()))
        return manifest


class _Work:
    def __init__(self, pool: Pool, directory: Path, day: date, told: Told) -> None:
        self._pool = pool
        self._files = DayFiles.of(directory, day)
        self._day = day
        self._told = told
        self._rows = 0

    async def close(self) -> None:
        """No row comes any more, and all are sealed. Raises `DayOpen`, `SealFirst`."""
        await archive_read.call(self._pool, QUERIES["close"], self._day)
        async with reading(self._pool) as conn:
            unsealed = await archive_read.unsealed(conn, self._day)
        if unsealed:
            raise SealFirst(day=self._day, unsealed=unsealed[0])

    async def add_up(self) -> None:
        """The database adds the day up."""
        at_once = archive_read.ROWS_AT_ONCE
        more: int | None = 1
        while more:
            more = await archive_read.call(self._pool, QUERIES["fold"], self._day, at_once)
            self._rows = await archive_read.rows_folded(self._pool, self._day)
            self._told(Step(phase=Phase.ADD_UP, done=self._rows, total=None))

    async def kept(self) -> Manifest | None:
        """The manifest of files that were written before a crash, if they are good."""
        try:
            manifest = self._files.written()
            if manifest is None:
                return None
            self._check_alone(self._files, manifest)
        except (ManifestUnreadable, ArchiveWrong, NotThatFile):
            return None
        try:
            await self._check_rows(self._files)
        except ArchiveWrong as wrong:
            raise OtherArchive(file=self._files.rows, found=wrong.details) from wrong
        return manifest

    async def write(self) -> Manifest:
        """Write the files, read them again, and name them. Raises `ArchiveWrong`."""
        async with reading(self._pool) as conn:
            seal = await seal_read.last_seal(conn) if self._rows else None
        with DayWriter(self._files, self._day) as writer:
            async with aclosing(archive_read.pages(self._pool, self._day)) as pages:
                async for rows in pages:
                    writer.add(rows)
                    self._tell(Phase.WRITE, writer.sums.rows)
            if seal is not None:
                await self._prove(writer, seal)
            manifest = writer.finish(seal)
            self._check_alone(self._files.fresh, manifest)
            await self._check_rows(self._files.fresh)
            writer.publish()
        return manifest

    async def _prove(self, writer: DayWriter, seal: SealHead) -> None:
        gaps, done = writer.gaps(seal.tree_size), 0
        while some := list(islice(gaps, _GAPS_AT_ONCE)):
            around = [_around(gap, seal.tree_size) for gap in some]
            needed = {node for runs in around for node in multi_needs(runs, seal.tree_size)}
            hashes = await hashes_of(self._pool, needed)
            for runs in around:
                writer.prove(multi_hashes(runs, seal.tree_size, hashes))
            done += len(some)
            self._told(Step(phase=Phase.PROVE, done=done, total=None))

    def _check_alone(self, files: DayFiles, manifest: Manifest) -> None:
        seen = 0

        def told(rows: int) -> None:
            nonlocal seen
            seen += rows
            self._tell(Phase.CHECK, seen)

        check_files(files, manifest, told)

    async def _check_rows(self, files: DayFiles) -> None:
        """Row by row against the database, whose leaves say all of a row. Raises `ArchiveWrong`.

        What proofs of other rows need of these leaves is kept in the database on the way.
        """
        kept = places_in(files.rows)
        stretches = await archive_read.stretches(self._pool, self._day)
        loose = Loose(stretch.first_leaf for stretch in stretches)
        seen = 0
        async with aclosing(archive_read.pages(self._pool, self._day)) as pages:
            async for rows in pages:
                found = [(r.leaf_index, r.leaf, r.treasury_account, r.recorded_at) for r in rows]
                if list(islice(kept, len(rows))) != found:
                    raise ArchiveWrong(rule="database", after=seen)
                await self._keep(loose.take(rows))
                seen += len(rows)
                self._tell(Phase.READ_BACK, seen)
        await self._keep(loose.end())
        if next(kept, None) is not None:
            raise ArchiveWrong(rule="database", after=seen)

    async def _keep(self, nodes: Iterable[tuple[Node, bytes]]) -> None:
        found = dict(nodes)
        await archive_read.call(
            self._pool,
            QUERIES["keep_nodes"],
            [node.level for node in found],
            [node.index for node in found],
            list(found.values()),
        )

    def _tell(self, phase: Phase, done: int) -> None:
        self._told(Step(phase=phase, done=done, total=self._rows))


def _around(gap: Span, size: int) -> list[Span]:
    """The runs beside a gap, as if all else were known: its part of a proof is proof of these."""
    return [run for run in ((0, gap[0]), (gap[1], size)) if run[0] < run[1]]
