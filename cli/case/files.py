"""`pod case evidence`: the text that was hashed, its files, and whether those at hand match."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from cli.case import bundle
from cli.case.noun import CaseId, case, case_id_of
from cli.ledger_reading import Database, database_of, read_books, told_plainly
from cli.options import DEFAULT_DIRECTORY, AsJson, Directory, give_up
from settlement.cases import reading
from settlement.cases.evidence import EvidenceFile
from settlement.cases.reading import Case, FileKept
from settlement.db import pool as db
from settlement.db.pool import Pool
from settlement.errors import Refused

MANIFEST = "manifest.txt"


class OutputInTheWay(Refused):
    """Evidence is written into a new directory, or into an empty one."""


@case.command()
def evidence(
    case_id: CaseId,
    output: Annotated[
        Path | None,
        typer.Option(metavar="DIRECTORY", help="Write the manifest and the kept files there."),
    ] = None,
    check: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PATH",
            help="Compare files or directories of yours with the evidence; may be repeated.",
        ),
    ] = None,
    directory: Directory = DEFAULT_DIRECTORY,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Print the manifest, whose SHA-256 is the evidence hash on chain; write or compare its files.

    Example: pod case evidence CASE --check bundle/
    """
    with told_plainly(as_json=as_json):
        wanted = case_id_of(case_id)
        dsn = database_of(directory, database)
        found, files = read_books(dsn, lambda pool: _evidence(pool, wanted))
        if output is not None:
            kept = read_books(dsn, lambda pool: _kept(pool, wanted, files))
            _write(output, found.manifest, kept)
        differences = None if check is None else _differences(files, bundle.pack(check, kept=False))
    if as_json:
        told: dict[str, object] = {
            "case_id": str(found.case_id),
            "evidence_hash": found.evidence.hex(),
            "manifest": found.manifest,
            "differences": differences,
        }
        print(json.dumps(told, indent=2))
    elif differences is None:
        print(found.manifest, end="")
    elif not differences:
        print("the files are those of the evidence")
    if differences:
        give_up("\n".join(f"{name}: {what}" for name, what in differences.items()))


async def _evidence(pool: Pool, case_id: UUID) -> tuple[Case, list[FileKept]]:
    async with db.reading(pool) as conn:
        return await reading.case(conn, case_id), await reading.files(conn, case_id)


async def _kept(pool: Pool, case_id: UUID, files: Sequence[FileKept]) -> list[EvidenceFile]:
    async with db.reading(pool) as conn:
        return [await reading.file(conn, case_id, one.name) for one in files if one.kept]


def _write(output: Path, manifest: str, files: Sequence[EvidenceFile]) -> None:
    """Raises `OutputInTheWay`."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        if any(output.iterdir()):
            raise OutputInTheWay(field="output", got=str(output))
        (output / MANIFEST).write_text(manifest)
        for one in files:
            assert one.content is not None, "it is kept"
            # Names were checked when the case was opened: none leads out of the directory.
            place = output / "files" / one.name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(one.content)
    except OSError as error:
        raise OutputInTheWay(field="output", got=str(output), problem=error) from None


def _differences(files: Sequence[FileKept], local: Sequence[EvidenceFile]) -> Mapping[str, str]:
    ours = {one.name: (one.size_bytes, one.digest) for one in files}
    theirs = {one.name: (one.size_bytes, one.digest) for one in local}
    found = {name: "missing" for name in ours.keys() - theirs.keys()}
    found |= {name: "not of the evidence" for name in theirs.keys() - ours.keys()}
    found |= {
        name: "another content" for name in ours if theirs.get(name, ours[name]) != ours[name]
    }
    return dict(sorted(found.items()))
