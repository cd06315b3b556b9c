"""`pod ledger export` and `pod ledger trial-balance` as they are typed, flag by flag."""

import asyncio
import json
import os
import pty
import re
import signal
import subprocess
import sys
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path

import asyncpg
import pytest

from cli.workspace import ROOT
from tests import factories
from tests.conftest import Database
from tests.database.conftest import Books
from tests.database.traffic import random_day
from tests.database.words import typed
from tests.foreign_books import read_beancount

_UNTIL_SOMEBODY_WAITS = """
do $$ begin
  while not exists (select from pg_locks where not granted) loop perform pg_sleep(0.02); end loop;
end $$
"""
_DAY = factories.NOW.date().isoformat()


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def test_each_format_is_exported(database: Database) -> None:
    await random_day(database, seed=1, steps=8)
    beancount = await typed("export", "--format", "beancount", dsn=database.dsn)
    assert (beancount.code, beancount.err) == (0, "")
    read = read_beancount(beancount.out)
    assert read.errors == ()
    hledger = await typed("export", "--format", "hledger", dsn=database.dsn)
    assert hledger.out.count("\n\n") == len(read.entries)
    jsonl = await typed("export", "--format", "jsonl", dsn=database.dsn)
    assert len(jsonl.out.splitlines()) == 1 + len(read.entries)


async def test_an_export_goes_to_a_file(books: Books, tmp_path: Path) -> None:
    file = tmp_path / "books.jsonl"
    file.write_text("older")
    words = ("export", "--format", "jsonl")
    printed = await typed(*words, dsn=books.database.dsn)
    answer = await typed(*words, "--output", str(file), dsn=books.database.dsn)
    assert (answer.code, answer.err) == (0, "")
    assert file.read_text() == printed.out
    assert f"1 transactions, SHA-256 {sha256(file.read_bytes()).hexdigest()}" in answer.out
    assert names_in(tmp_path) == [file.name]


async def test_an_export_that_fails_leaves_the_file(books: Books, tmp_path: Path) -> None:
    file = tmp_path / "books"
    file.write_text("older")
    away = "postgresql://nobody@127.0.0.1:1/none"
    words = ("export", "--format", "jsonl", "--output")
    answer = await typed(*words, str(file), dsn=away)
    assert (answer.code, answer.out) == (1, "")
    assert "does not answer" in answer.err
    assert names_in(tmp_path) == [file.name]
    assert file.read_text() == "older"
    for place in (tmp_path, tmp_path / "none" / "file"):
        answer = await typed(*words, str(place), dsn=books.database.dsn)
        assert (answer.code, answer.out) == (1, "")
        assert "cannot be written there" in answer.err


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
async def test_an_export_that_is_stopped_leaves_the_file(
    stop: signal.Signals, books: Books, tmp_path: Path
) -> None:
    file = tmp_path / "books"
    file.write_text("older")
    blocking = await asyncpg.connect(books.database.dsn)
    try:
        await blocking.execute("begin; lock table settlement.batch")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cli", "ledger", "export", "--format", "jsonl"),
            *("--output", str(file)),
            cwd=ROOT,
            env={**os.environ, "POD_DATABASE": books.database.dsn},
            stderr=asyncio.subprocess.PIPE,
        )
        await blocking.execute(_UNTIL_SOMEBODY_WAITS)
        process.send_signal(stop)
        _, err = await process.communicate()
    finally:
        await blocking.close()
    assert (process.returncode, err) == (130, b"stopped\n")
    assert (names_in(tmp_path), file.read_text()) == ([file.name], "older")


async def test_days_are_chosen(books: Books) -> None:
    dsn, words = books.database.dsn, ("export", "--format", "jsonl")
    before = (factories.NOW - timedelta(days=1)).date().isoformat()
    after = (factories.NOW + timedelta(days=1)).date().isoformat()
    one = await typed(*words, "--from", _DAY, "--to", _DAY, dsn=dsn)
    assert len(one.out.splitlines()) == 2
    earlier = await typed(*words, "--to", before, dsn=dsn)
    assert json.loads(earlier.out)["to"] == before
    later = json.loads((await typed(*words, "--from", after, dsn=dsn)).out)
    assert (later["from"], len(later["opening"])) == (after, 2)


async def test_a_database_is_needed(tmp_path: Path) -> None:
    for words in (("export", "--format", "jsonl"), ("trial-balance",)):
        answer = await typed(*words, "--directory", str(tmp_path), dsn=None)
        assert (answer.code, answer.out) == (1, "")
        assert "Nothing is running" in answer.err


async def test_a_database_without_books(empty_database: Database) -> None:
    answer = await typed("trial-balance", "--json", dsn=empty_database.dsn)
    assert answer.code == 1
    assert json.loads(answer.out)["error"] in ("books_unreadable", "database_unavailable")


async def test_the_trial_balance(books: Books) -> None:
    answer = await typed("trial-balance", "--json", dsn=books.database.dsn)
    assert (answer.code, answer.err) == (0, "")
    told = json.loads(answer.out)
    assert (told["at"], told["balanced"]) == (None, True)
    assert told["totals"] == [{"asset": "USDC", "debit": 25_000_000, "credit": 25_000_000}]
    till, user = told["lines"]
    assert (till["account"], till["gl"], till["debit"]) == ("chain:till", "1010", 25_000_000)
    assert (user["account"], user["credit"], user["balance"]) == (
        books.user,
        25_000_000,
        "25.000000",
    )
    table = (await typed("trial-balance", dsn=books.database.dsn)).out
    assert re.search(rf"2010 +{books.user} +USDC +25\.000000\n", table)
    assert re.search(r"1010 +chain:till +USDC +25\.000000 +\n", table)
    assert re.search(r" total +USDC +25\.000000 +25\.000000", table)


async def test_the_trial_balance_at_a_moment(books: Books) -> None:
    moment = await books.fetchval("select clock_timestamp()")
    assert isinstance(moment, datetime)
    await books.apply(factories.deposit(books.user, 1))
    for at, told in (
        (moment, 25_000_000),
        (moment + timedelta(days=1), 25_000_001),
        (moment - timedelta(days=1), None),
    ):
        answer = await typed(
            *("trial-balance", "--json", "--at", at.isoformat()), dsn=books.database.dsn
        )
        found = json.loads(answer.out)
        assert (answer.code, found["at"]) == (0, at.isoformat())
        assert [total["debit"] for total in found["totals"]] == ([] if told is None else [told])


def test_a_bar_is_shown_on_a_terminal(books: Books, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    words = ("export", "--format", "jsonl", "--output", str(tmp_path / "books"))
    subprocess.run(
        [sys.executable, "-m", "cli", "ledger", *words],
        cwd=ROOT,
        env={**os.environ, "POD_DATABASE": books.database.dsn, "TERM": "xterm"},
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        check=True,
    )
    os.close(theirs)
    assert b"batches" in os.read(ours, 65_536)
    os.close(ours)


def test_a_reader_that_has_enough(books: Books) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "cli", "ledger", "export", "--format", "jsonl"],
        cwd=ROOT,
        env={**os.environ, "POD_DATABASE": books.database.dsn},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait() in (0, 1)
        assert b"Traceback" not in process.stderr.read()
