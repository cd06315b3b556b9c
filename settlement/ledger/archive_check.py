"""Whether the files of an archived day are what their manifest says, by themselves: no database.

The hashes of the files are those of the manifest; each row keeps its own rules, is of that day, and
is what its leaf was made of; rows add up to what is told; and all leaves stand, each at its place,
in the tree of the seal. Last, the seal's hash is that of what it says. Who has this hash from
elsewhere, where it was published or signed, says so, and need believe nothing in the files.
"""

from collections.abc import Callable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Final
from uuid import UUID

from settlement.errors import Refused
from settlement.ledger import parquet
from settlement.ledger.archive_file import DayFiles, hashes_in, written
from settlement.ledger.archive_manifest import Manifest, Sums, Written
from settlement.ledger.archive_rows import COLUMNS, Archived, rows_of
from settlement.ledger.merkle import EMPTY_ROOT
from settlement.ledger.merkle_multi import Run, verify_multi

# Told after each piece: how many more rows were checked.
Told = Callable[[int], None]
_PLACE: Final = ("treasury_account", "recorded_at", "leaf_index", "leaf")
_VERSION: Final = 7
_FIRST_DAY: Final = date(1970, 1, 1).toordinal()
_DAY_MILLISECONDS: Final = 86_400_000


class ArchiveWrong(Refused):
    """The files of the day are not what they should be."""


def check_files(
    files: DayFiles, manifest: Manifest, told: Told, *, seal_hash: bytes | None = None
) -> None:
    """Raises `ArchiveWrong`, naming the rule and the row, and `NotThatFile`."""
    size, root = _tree(manifest, seal_hash)
    for path, expected in ((files.rows, manifest.file), (files.proof, manifest.proof)):
        _check_bytes(path, expected)
    check = _Check(manifest)
    runs = check.runs(rows_in(files.rows), told)
    # A proof that fails ends before the last row: then what rows add up to says nothing.
    if not verify_multi(runs, size, hashes_in(files.proof), root):
        raise ArchiveWrong(rule="proof", rows=check.sums.rows)
    check.end()


def _tree(manifest: Manifest, seal_hash: bytes | None) -> tuple[int, bytes]:
    """The size and root that the leaves are held against."""
    seal = manifest.seal
    if seal is None:
        if manifest.sums.rows or seal_hash is not None:
            raise ArchiveWrong(rule="seal", problem="there is none")
        return 0, EMPTY_ROOT
    if seal.hash != seal.true_hash or seal_hash not in (None, seal.hash):
        raise ArchiveWrong(rule="seal", seal=seal.seal_no, hash=seal.true_hash.hex())
    return seal.tree_size, seal.root


def rows_in(path: Path) -> Iterator[list[Archived]]:
    """The rows of a file in pieces. Raises `NotThatFile`."""
    for columns in parquet.read(path, COLUMNS):
        yield list(rows_of(columns))


def places_in(path: Path) -> Iterator[tuple[int, bytes, int, datetime]]:
    """Of each row of a file that was checked what says all of it, read quickly.

    Its place in the tree and its leaf, the treasury's account, and when it was recorded.
    """
    for columns in parquet.read(path, COLUMNS, _PLACE):
        account, moment, index, leaf = columns
        yield from zip(index, leaf, account, moment, strict=True)


def _check_bytes(path: Path, expected: Written) -> None:
    try:
        found = written(path, expected.name)
    except OSError as error:
        raise ArchiveWrong(rule="file", file=path, problem=str(error)) from error
    if found != expected:
        raise ArchiveWrong(rule="file", file=path, sha256=found.sha256, bytes=found.bytes)


class _Check:
    def __init__(self, manifest: Manifest) -> None:
        self.sums = Sums()
        self._manifest = manifest
        self._day = manifest.day.toordinal() - _FIRST_DAY
        self._first: UUID | None = None
        self._last: UUID | None = None

    def runs(self, pieces: Iterator[list[Archived]], told: Told) -> Iterator[Run]:
        """The leaves of the rows, neighbours together; each row is checked on the way."""
        for rows in pieces:
            start = 0
            for at, row in enumerate(rows):
                self._row(row)
                if row.leaf_index != rows[start].leaf_index + at - start:
                    yield _run(rows[start:at])
                    start = at
            yield _run(rows[start:])
            told(len(rows))

    def _row(self, row: Archived) -> None:
        name = row.charge.row_id
        broken = row.charge.broken_rule or self._broken(row)
        if broken is not None:
            raise ArchiveWrong(rule="row", request=name, problem=broken)
        self.sums.add(row)
        self._first = name if self._first is None else min(name, self._first)
        self._last = name if self._last is None else max(name, self._last)

    def _broken(self, row: Archived) -> str | None:
        name = row.charge.row_id
        # The milliseconds since 1970 are its first 48 bits.
        if name.version != _VERSION or (name.int >> 80) // _DAY_MILLISECONDS != self._day:
            return "its name is not of that day"
        return None if row.leaf_fits else "its leaf is that of another row"

    def end(self) -> None:
        """All rows were seen."""
        found = (self.sums, self._first, self._last)
        if found != (self._manifest.sums, self._manifest.first_id, self._manifest.last_id):
            raise ArchiveWrong(rule="sums", found=self.sums.as_json())


def _run(rows: list[Archived]) -> Run:
    return rows[0].leaf_index, [row.leaf for row in rows]
