"""The page of worked entries says what the code does, all of it and nothing else."""

import re

import pytest

from settlement.ledger.accounts import AccountKind, Asset, describe
from settlement.ledger.operations import Post, TransactionKind
from settlement.money import format_usdc
from tests.pure.worked_entries import CALLS, CHARGE, PAGE, WorkedEntry, page, transfers_of

ENTRIES = page()


def test_every_entry_of_the_page_is_read_and_has_its_call() -> None:
    titles = re.findall(r"^### (.+)$", PAGE.read_text(), re.MULTILINE)
    assert [entry.title for entry in ENTRIES] == titles
    assert sorted(titles) == sorted(CALLS)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.title)
def test_the_books_write_what_the_page_says(entry: WorkedEntry) -> None:
    made = CALLS[entry.title](entry.given)
    moved = [(each.debit, each.credit, each.amount_microusdc) for each in transfers_of(made)]
    assert moved == entry.rows
    assert entry.kind == (made.kind.value if isinstance(made, Post) else CHARGE)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.title)
def test_amounts_are_written_in_the_unit_of_their_accounts(entry: WorkedEntry) -> None:
    for (debit, credit, amount), text in zip(entry.rows, entry.units, strict=True):
        assert describe(debit).asset is describe(credit).asset
        in_sol = describe(debit).asset is Asset.SOL
        assert text == (f"{amount:,} lamports" if in_sol else f"{format_usdc(amount)} USDC")


def test_every_kind_of_event_has_an_entry() -> None:
    assert {entry.kind for entry in ENTRIES} == {*TransactionKind, CHARGE}


def test_every_kind_of_account_has_an_entry() -> None:
    named = {
        name for entry in ENTRIES for debit, credit, _ in entry.rows for name in (debit, credit)
    }
    assert {describe(name).kind for name in named} == set(AccountKind)
