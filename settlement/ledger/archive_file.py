"""A day of charges in files: the rows, what proves them, and the manifest that says what both are.

`charges-20261128.parquet` has the rows in the order of the seals' tree; `charges-20261128.proof`
the hashes, 32 bytes each, by which all their leaves are shown to be in the tree of one seal
(`merkle_multi`); `charges-20261128.json` is the manifest. Each is written under another name, made
durable, and only then renamed, the manifest last: where it is there, the others are complete.
"""

import json
import os
from array import array
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Final
from uuid import UUID

from settlement.ledger.archive_manifest import (
    Manifest,
    ManifestUnreadable,
    Sums,
    Written,
    head_of,
)
from settlement.ledger.archive_rows import COLUMNS, Archived, columns_of
from settlement.ledger.merkle import HASH_BYTES
from settlement.ledger.merkle_proof import Span
from settlement.ledger.parquet import ParquetWriter
from settlement.ledger.seal_rows import SealHead

_CHUNK: Final = 1 << 20


@dataclass(frozen=True)
class DayFiles:
    """Where the files of a day are."""

    rows: Path
    proof: Path  # the hashes that prove the rows
    manifest: Path

    @classmethod
    def of(cls, directory: Path, day: date) -> "DayFiles":
        """As they are called in a directory."""
        return cls.beside(directory.joinpath(f"charges-{day:%Y%m%d}.parquet"))

    @classmethod
    def beside(cls, rows: Path, manifest: Path | None = None) -> "DayFiles":
        """The other files of these rows; the manifest may be anywhere."""
        return cls(
            rows=rows,
            proof=rows.with_suffix(".proof"),
            manifest=manifest or rows.with_suffix(".json"),
        )

    @property
    def fresh(self) -> "DayFiles":
        """What they are called while they are written."""
        return DayFiles(*(path.with_name(f"{path.name}.new") for path in self))

    def __iter__(self) -> Iterator[Path]:
        """In the order in which they get their names."""
        yield from (self.rows, self.proof, self.manifest)

    def written(self) -> Manifest | None:
        """The manifest; None where the files are not complete. Raises `ManifestUnreadable`."""
        return read_manifest(self.manifest) if self.manifest.exists() else None


class DayWriter:
    """Writes the files of a day; until `publish` they have other names, and are lost if left."""

    def __init__(self, files: DayFiles, day: date) -> None:
        self.files = files
        self._day = day
        self.sums = Sums()
        self._first: UUID | None = None
        self._last: UUID | None = None
        self._end = 0
        # Start and end of each run of leaves that are not of the day, one after the other.
        self._gaps = array("q")
        self._open = ExitStack()

    def __enter__(self) -> "DayWriter":
        self.files.rows.parent.mkdir(parents=True, exist_ok=True)
        self._rows = self._open.enter_context(ParquetWriter(self.files.fresh.rows, COLUMNS))
        self._proof = self._open.enter_context(self.files.fresh.proof.open("wb"))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()
        for path in self.files.fresh:
            path.unlink(missing_ok=True)

    def add(self, rows: Sequence[Archived]) -> None:
        """Some rows more, in the order of the tree."""
        for row in rows:
            if row.leaf_index != self._end:
                self._gaps.extend((self._end, row.leaf_index))
            self._end = row.leaf_index + 1
            self.sums.add(row)
        names = [row.charge.row_id for row in rows]
        self._first = min(names if self._first is None else [self._first, *names])
        self._last = max(names if self._last is None else [self._last, *names])
        self._rows.write(columns_of(rows))

    def gaps(self, size: int) -> Iterator[Span]:
        """Between the rows' leaves, in a tree of `size`: leaves that are not theirs."""
        starts = iter(self._gaps)
        yield from zip(starts, starts, strict=True)
        if self._end < size:
            yield self._end, size

    def prove(self, hashes: Sequence[bytes]) -> None:
        """Some hashes of the proof more."""
        self._proof.write(b"".join(hashes))

    def finish(self, seal: SealHead | None) -> Manifest:
        """Everything is written: made durable, under the fresh names."""
        self._open.close()
        fresh = self.files.fresh
        manifest = Manifest(
            day=self._day,
            sums=self.sums,
            first_id=self._first,
            last_id=self._last,
            seal=None if seal is None else head_of(seal),
            file=written(fresh.rows, self.files.rows.name),
            proof=written(fresh.proof, self.files.proof.name),
        )
        fresh.manifest.write_text(json.dumps(manifest.as_json(), indent=2) + "\n")
        for path in fresh:
            _sync(path)
        return manifest

    def publish(self) -> None:
        """Give the files their names, the manifest last; those that had them are replaced."""
        self.files.manifest.unlink(missing_ok=True)
        for path, fresh in zip(self.files, self.files.fresh, strict=True):
            fresh.replace(path)
            _sync(path.parent)


def read_manifest(path: Path) -> Manifest:
    """The manifest in a file. Raises `ManifestUnreadable`."""
    try:
        told: object = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ManifestUnreadable(file=path, problem=str(error)) from error
    return Manifest.from_json(told)


def written(path: Path, name: str) -> Written:
    """What a manifest says of a file. Raises `OSError`."""
    digest, size = sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return Written(name=name, sha256=digest.hexdigest(), bytes=size)


def hashes_in(path: Path) -> Iterator[bytes]:
    """The hashes of a proof, one after the other; the last may be cut off. Raises `OSError`."""
    with path.open("rb") as file:
        while chunk := file.read(HASH_BYTES):
            yield chunk


def _sync(path: Path) -> None:
    """What was written there outlives a crash of the machine."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
