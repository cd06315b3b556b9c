"""`pod ledger statement` and `pod ledger balance` as they are typed, flag by flag."""

import json
import re
from datetime import datetime, timedelta
from uuid import uuid4

import pytest

from settlement.ledger import accounts
from tests import factories
from tests.database.conftest import Books
from tests.database.words import typed


async def test_a_statement(books: Books) -> None:
    await books.apply(factories.deposit(books.user, 1), factories.deposit(books.user, 2))
    dsn = books.database.dsn
    answer = await typed("statement", books.user, "--json", dsn=dsn)
    assert (answer.code, answer.err) == (0, "")
    told = json.loads(answer.out)
    assert (told["opening"], told["closing"], told["last"], told["more"]) == (
        0,
        25_000_003,
        3,
        False,
    )
    assert [line["balance"] for line in told["lines"]] == [25_000_000, 25_000_001, 25_000_003]
    answer = await typed("statement", books.user, "--after", "1", "--limit", "1", dsn=dsn)
    assert (answer.code, answer.err) == (0, "")
    assert re.search(r" 25\.000000 +opening *\n", answer.out)
    assert re.search(
        r" 2 +0\.000001 +25\.000001 +\S+ \d\d:\d\d:\d\dZ +deposit_credited +\S{36} *\n", answer.out
    )
    assert re.search(r" 25\.000001 +closing *\nmore: --after 2\n", answer.out)


async def test_a_statement_of_a_time(books: Books) -> None:
    moment = await books.fetchval("select clock_timestamp()")
    assert isinstance(moment, datetime)
    await books.apply(factories.deposit(books.user, 1))
    words = ("statement", books.user, "--json")
    for flag, entries in (("--from", [2]), ("--to", [1])):
        answer = await typed(*words, flag, moment.isoformat(), dsn=books.database.dsn)
        assert [line["entry"] for line in json.loads(answer.out)["lines"]] == entries


async def test_a_balance(books: Books) -> None:
    await books.apply(factories.deposit(books.user, 1, slot=200), factories.hold(books.user, 10))
    dsn, words = books.database.dsn, ("balance", books.user)
    assert (await typed(*words, dsn=dsn)).out == (
        "25.000001 USDC after 2 entries\n0.000010 USDC of it set aside\n"
    )
    now = json.loads((await typed(*words, "--json", dsn=dsn)).out)
    assert (now["balance"], now["held"], now["amount"]) == (25_000_001, 10, "25.000001")
    assert (await typed(*words, "--slot", "100", dsn=dsn)).out == "25.000000 USDC after 1 entries\n"
    entry = json.loads((await typed(*words, "--json", "--entry", "0", dsn=dsn)).out)
    assert (entry["balance"], entry["held"], entry["entries"]) == (0, None, 0)
    later = factories.NOW + timedelta(days=365_000)
    at = await typed(*words, "--at", later.isoformat(), dsn=dsn)
    assert at.out == "25.000001 USDC after 2 entries\n"


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("balance", "--slot", "99"), "slot_unknown"),
        (("balance", "--entry", "2"), "entry_unknown"),
        (("statement", "--after", "2"), "entry_unknown"),
    ],
    ids=str,
)
async def test_what_is_not_known_is_told(words: tuple[str, ...], error: str, books: Books) -> None:
    verb, *flags = words
    answer = await typed(verb, books.user, *flags, "--json", dsn=books.database.dsn)
    assert answer.code == 1
    assert json.loads(answer.out)["error"] == error
    assert len(answer.err.splitlines()) == 1


async def test_an_account_is_told_apart_from_none(books: Books) -> None:
    missing = accounts.user(uuid4())
    for name, error in (("purse", "invalid_account"), (missing, "account_missing")):
        for verb in ("balance", "statement"):
            answer = await typed(verb, name, "--json", dsn=books.database.dsn)
            assert (answer.code, json.loads(answer.out)["error"]) == (1, error)
