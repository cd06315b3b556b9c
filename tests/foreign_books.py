"""Our exported books, read by programs that are not ours: beancount and hledger."""

import csv
import subprocess
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from beancount import loader
from beancount.core import data
from beancount.ops import summarize

# Account and commodity → balance, debits positive.
Balances = dict[tuple[str, str], Decimal]


@dataclass(frozen=True, kw_only=True)
class Posting:
    """One leg, as beancount understood it."""

    account: str
    number: Decimal
    commodity: str
    meta: dict[str, object]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One transaction, as beancount understood it."""

    day: date
    narration: str
    meta: dict[str, object]
    postings: tuple[Posting, ...]


@dataclass(frozen=True, kw_only=True)
class ReadBooks:
    """A whole file, as beancount understood it."""

    errors: tuple[str, ...]
    opened: tuple[str, ...]
    entries: tuple[Entry, ...]
    balances: Balances  # what every account ends with that is not at zero


def read_beancount(text: str) -> ReadBooks:
    """What beancount makes of a file: it parses, books and validates."""
    entries, errors, _ = loader.load_string(text)  # pyright: ignore[reportUnknownMemberType]
    return ReadBooks(
        errors=tuple(str(error) for error in errors),
        opened=tuple(entry.account for entry in entries if isinstance(entry, data.Open)),
        entries=tuple(_entry(entry) for entry in entries if isinstance(entry, data.Transaction)),
        balances=_balances(entries),
    )


def _balances(entries: data.Entries) -> Balances:
    found, _ = summarize.balance_by_account(entries)  # pyright: ignore[reportUnknownMemberType]
    balances: Balances = {}
    for account, inventory in found.items():
        for units, _ in inventory:
            assert units.number is not None
            balances[account, units.currency] = units.number
    return balances


def _entry(entry: data.Transaction) -> Entry:
    return Entry(
        day=entry.date,
        narration=entry.narration or "",
        meta=dict(entry.meta),
        postings=tuple(_posting(posting) for posting in entry.postings),
    )


def _posting(posting: data.Posting) -> Posting:
    assert posting.units is not None
    assert isinstance(posting.units.number, Decimal)
    return Posting(
        account=posting.account,
        number=posting.units.number,
        commodity=posting.units.currency,
        meta=dict(posting.meta or {}),
    )


def hledger_balances(text: str) -> Balances:
    """What hledger says every account ends with that is not at zero; it first checks strictly."""
    _hledger(text, "check", "--strict")
    words = ("balance", "--flat", "--empty", "--no-total", "--layout=bare", "--output-format=csv")
    table = _hledger(text, *words)
    rows = csv.DictReader(table.splitlines())
    told = {(row["account"], row["commodity"]): Decimal(row["balance"]) for row in rows}
    return {name: balance for name, balance in told.items() if balance}


def _hledger(text: str, *words: str) -> str:
    done = subprocess.run(
        ["hledger", "-f", "-", *words], input=text, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
