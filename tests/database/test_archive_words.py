"""`pod ledger archive` and `pod ledger verify-archive` as they are typed."""

import json
from pathlib import Path
from typing import Any

import pytest

from settlement.ledger.archive_file import DayFiles
from tests.database.archiving import Past, past
from tests.database.words import Answer, typed

__all__ = ["past"]


async def archive(past: Past, *words: str) -> Answer:
    """Archive into the test's directory, all that may go but for the words."""
    into = ("--into", str(past.directory))
    return await typed("archive", *into, *words, dsn=past.books.database.dsn)


def told(answer: Answer) -> dict[str, Any]:
    """The one JSON object on stdout."""
    found: dict[str, Any] = json.loads(answer.out)
    return found


@pytest.fixture
async def sealed(past: Past) -> Past:
    """Two days of charges, sealed, and one that is not."""
    await past.trade(past.day(0), 12)
    await past.trade(past.day(1), 7, seed=2)
    await past.seal()
    await past.trade(past.day(2), 5, seed=3)
    return past


async def test_what_would_go_is_told_and_stays(sealed: Past) -> None:
    until = ("--before", sealed.day(3).isoformat())
    answer = await archive(sealed, "--dry-run", *until)
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert lines[0] == f"would go into {sealed.directory}, oldest first:"
    assert [line.partition(":")[0] for line in lines[1:]] == [str(sealed.day(n)) for n in range(3)]
    assert ["not sealed" in line for line in lines[1:]] == [False, False, True]
    found = told(await archive(sealed, "--dry-run", "--json", *until))
    assert [day["sealed"] for day in found["due"]] == [True, True, False]
    assert not sealed.directory.exists()
    assert await sealed.books.fetchval("select count(*) from settlement.charge") == 24


async def test_days_go_until_one_is_not_sealed(sealed: Past) -> None:
    until = ("--before", sealed.day(4).isoformat())
    answer = await archive(sealed, "--json", *until)
    found = told(answer)
    assert (answer.code, found["status"], found["error"]) == (1, "failed", "seal_first")
    assert [day["sums"]["rows"] for day in found["archived"]] == [12, 7]
    await sealed.seal()
    answer = await archive(sealed, *until)
    files = DayFiles.of(sealed.directory, sealed.day(2))
    lines = answer.out.splitlines()
    assert (answer.code, answer.err, len(lines)) == (0, "", 2)
    size = files.rows.stat().st_size
    assert lines[0] == f"{sealed.day(2)}: 5 charges, seal 2, {size} bytes in {files.rows}"
    assert lines[1].startswith(f"{sealed.day(3)}: 0 charges, no seal, ")


async def test_nothing_is_older_than_a_month(sealed: Past) -> None:
    for words in ((), ("--dry-run",)):
        answer = await archive(sealed, *words)
        assert (answer.code, answer.out, answer.err) == (0, "no day is older\n", "")
    assert told(await archive(sealed, "--json")) == {"status": "done", "archived": []}
    kept = await archive(sealed, "--keep-days", "5", "--json")
    assert [day["day"] for day in told(kept)["archived"]] == [sealed.day(0).isoformat()]


async def test_a_day_that_is_not_over_stays(sealed: Past) -> None:
    await sealed.seal()
    answer = await archive(sealed, "--before", "9999-12-31", "--json")
    assert (answer.code, told(answer)["error"], len(told(answer)["archived"])) == (1, "day_open", 5)


async def verified(file: Path, *words: str) -> Answer:
    """Check a day's files, with no database there."""
    return await typed("verify-archive", str(file), *words, dsn=None)


async def test_an_archive_is_checked_without_a_database(sealed: Past, tmp_path: Path) -> None:
    await archive(sealed, "--keep-days", "5")
    files = DayFiles.of(sealed.directory, sealed.day(0))
    manifest = files.written()
    assert manifest is not None
    assert manifest.seal is not None
    trusted = manifest.seal.hash.hex()

    answer = await verified(files.rows)
    right = f"the archive of {sealed.day(0)} is right: 12 charges\n"
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == f"{right}if the hash of seal 1 is {trusted}\n"
    answer = await verified(files.rows, "--seal-hash", trusted)
    assert (answer.code, answer.out) == (0, right)
    moved = files.manifest.rename(tmp_path / "elsewhere.json")
    answer = await verified(files.rows, "--manifest", str(moved), "--json")
    assert told(answer) == {"status": "right", **manifest.as_json()}

    answer = await verified(files.rows, "--json")
    assert (answer.code, told(answer)["error"]) == (1, "manifest_unreadable")
    answer = await verified(files.rows, "--manifest", str(moved), "--seal-hash", "0" * 64)
    assert answer.code == 1
    assert "not what they should be. (rule=seal" in answer.err
    files.proof.write_bytes(b"")
    answer = await verified(files.rows, "--manifest", str(moved), "--json")
    assert (answer.code, told(answer)["error"]) == (1, "archive_wrong")
