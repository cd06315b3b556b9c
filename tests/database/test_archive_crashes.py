"""Archiving stopped between any two steps: run again, it finishes, and nothing is there twice."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from settlement.ledger import archive, archive_file, archive_read
from settlement.ledger.archive import OtherArchive, Phase, Step
from settlement.ledger.archive_check import ArchiveWrong, check_files
from settlement.ledger.archive_file import DayFiles, DayWriter
from settlement.ledger.archive_manifest import Manifest
from tests.database.archiving import Past, past

__all__ = ["past"]
ROWS = 60


class Crash(Exception):
    """The process is gone."""


def at(phase: Phase) -> Callable[[Step], None]:
    """Crash as soon as something of this phase is done."""

    def told(step: Step) -> None:
        if step.phase is phase:
            raise Crash

    return told


async def finishes(past: Past) -> Manifest:
    """Run again, the day goes, and its files are whole and alone."""
    manifest = await past.archive(past.day(0))
    files = DayFiles.of(past.directory, past.day(0))
    assert files.written() == manifest
    check_files(files, manifest, print)
    assert manifest.sums.rows == ROWS
    assert len(list(past.directory.iterdir())) == 3
    state = "select state from settlement.charge_day where day = $1"
    assert await past.books.fetchval(state, past.day(0)) == "archived"
    return manifest


@pytest.fixture
async def sealed(past: Past, monkeypatch: pytest.MonkeyPatch) -> Past:
    """A day of several pages that may go."""
    monkeypatch.setattr(archive_read, "ROWS_AT_ONCE", 13)
    monkeypatch.setattr(archive, "_GAPS_AT_ONCE", 3)
    await past.trade(past.day(0), ROWS)
    await past.seal()
    return past


@pytest.mark.parametrize("phase", Phase)
async def test_a_crash_in_any_phase(sealed: Past, phase: Phase) -> None:
    with pytest.raises(Crash):
        await archive.archive_day(sealed.pool, sealed.directory, sealed.day(0), at(phase))
    await finishes(sealed)


@pytest.mark.parametrize("renamed", range(3))
async def test_a_crash_between_two_names(
    sealed: Past, monkeypatch: pytest.MonkeyPatch, renamed: int
) -> None:
    count = 0
    replace = Path.replace

    def crashing(path: Path, target: Path) -> Path:
        nonlocal count
        if count == renamed:
            raise Crash
        count += 1
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(archive_file.Path, "replace", crashing)
        with pytest.raises(Crash):
            await sealed.archive(sealed.day(0))
    await finishes(sealed)


async def test_a_crash_before_the_day_goes(sealed: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    async def crashing(*_: object) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(archive_read, "let_go", crashing)
        with pytest.raises(Crash):
            await sealed.archive(sealed.day(0))
    written = DayFiles.of(sealed.directory, sealed.day(0)).written()
    # There is a newer seal by now: the files that are there are good all the same.
    await sealed.trade(sealed.day(1), 5)
    await sealed.seal()
    assert await finishes(sealed) == written


async def test_an_answer_that_was_lost(sealed: Past) -> None:
    manifest = await sealed.archive(sealed.day(0))
    told = json.dumps(manifest.as_json())
    await archive_read.let_go(sealed.pool, sealed.day(0), told)
    other = json.dumps({**manifest.as_json(), "first_id": None})
    with pytest.raises(archive_read.DayOpen):
        await archive_read.let_go(sealed.pool, sealed.day(0), other)


async def test_pages_hold_what_one_reading_holds(sealed: Past) -> None:
    small = [page async for page in archive_read.pages(sealed.pool, sealed.day(0))]
    assert small == []  # nothing is told before it is added up
    await finishes(sealed)


async def test_files_that_a_disk_spoiled_are_made_again(
    sealed: Past, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = DayFiles.of(sealed.directory, sealed.day(0))

    async def spoiled(*_: object) -> None:
        text = files.rows.read_bytes()
        files.rows.write_bytes(text[:500] + bytes(9) + text[509:])
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(archive_read, "let_go", spoiled)
        with pytest.raises(Crash):
            await sealed.archive(sealed.day(0))
    await finishes(sealed)


async def test_files_that_cannot_be_read_again_keep_the_day(
    sealed: Past, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = DayWriter.add

    def forgetful(writer: DayWriter, rows: list[archive_file.Archived]) -> None:
        add(writer, rows[:-1])

    with monkeypatch.context() as patch:
        patch.setattr(DayWriter, "add", forgetful)
        with pytest.raises(ArchiveWrong):
            await sealed.archive(sealed.day(0))
    assert await sealed.books.fetchval("select count(*) from settlement.charge") == ROWS
    await finishes(sealed)


async def test_the_archive_of_other_books_is_not_written_over(sealed: Past) -> None:
    await sealed.archive(sealed.day(0))
    await sealed.trade(sealed.day(1), 5)
    await sealed.seal()
    theirs, ours = (DayFiles.of(sealed.directory, sealed.day(at)) for at in (0, 1))
    for source, target in (
        (theirs.rows, ours.rows),
        (theirs.proof, ours.proof),
        (theirs.manifest, ours.manifest),
    ):
        target.write_bytes(source.read_bytes())
    # Its manifest says another day, but who looks only at the names would lose it.
    with pytest.raises(OtherArchive):
        await sealed.archive(sealed.day(1))
    assert ours.rows.read_bytes() == theirs.rows.read_bytes()
