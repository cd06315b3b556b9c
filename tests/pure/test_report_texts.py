"""The journal in other programs' words: every digit, every name, nothing that breaks a line."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.ledger.accounts import Side
from settlement.money import Slot
from settlement.reports import beancount, hledger, jsonl
from settlement.reports.amounts import ASSETS, decimal_text
from settlement.reports.transaction import (
    Account,
    Days,
    Head,
    Leg,
    NoSuchDays,
    Opening,
    Standing,
    Transaction,
)
from tests.foreign_books import read_beancount

DAY = date(2026, 11, 2)
_MOMENT = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)
_USER = "user:0b1c2d3e-0000-4000-8000-00000000000a"
_ODD_NAMES = st.lists(st.text("abzABZ019-_.é ;%", min_size=1), min_size=1, max_size=3).map(":".join)


def account(name: str, side: Side = Side.LIABILITY, asset: str = "USDC") -> Account:
    return Account(account_id=1, name=name, side=side, asset=asset, gl_code="2010")


TILL = account("chain:till", Side.ASSET)
USER = account(_USER)
FEES = account("fees:network", Side.EXPENSE, "SOL")
PAYER = account("chain:sol:9xQeWvG816bUx9EPjHmaT23yvVM2ZWbrrpZb9PusVFin", Side.ASSET, "SOL")


def moved(
    amount: int, *accounts: Account, external_ref: str | None = "chain:x:sig:0:-1:0"
) -> Transaction:
    """An amount from the second account to the first, and on like that."""
    pairs = list(zip(accounts[::2], accounts[1::2], strict=True))
    return Transaction(
        writer_id=1,
        batch_seq=2,
        ord=3,
        kind="deposit_credited",
        cause_id=UUID(int=7),
        external_ref=external_ref,
        slot=Slot(100),
        event_at=_MOMENT,
        recorded_at=_MOMENT,
        effective_on=DAY,
        legs=tuple(
            leg
            for debit, credit in pairs
            for leg in (
                Leg(account=debit, entry=4, dr=amount, cr=0),
                Leg(account=credit, entry=5, dr=0, cr=amount),
            )
        ),
    )


def opened(*accounts: Account, standings: tuple[Standing, ...] = ()) -> Opening:
    return Opening(
        cut=(Head(writer_id=1, name="coordinator", seq=9),),
        days=Days(),
        first_day=DAY,
        accounts=accounts,
        standings=standings,
    )


def test_amounts_are_written_digit_by_digit() -> None:
    assert decimal_text(0, "USDC") == "0.000000"
    assert decimal_text(1, "USDC") == "0.000001"
    assert decimal_text(-1_234_567, "USDC") == "-1.234567"
    assert decimal_text(1, "SOL") == "0.000000001"
    assert decimal_text(-(2**63) + 1, "SOL") == "-9223372036.854775807"


@given(st.integers(-(2**64), 2**64), st.sampled_from(sorted(ASSETS)))
def test_an_amount_can_be_read_back(units: int, asset: str) -> None:
    text = decimal_text(units, asset)
    assert int(Decimal(text).scaleb(ASSETS[asset].decimals)) == units
    assert len(text.partition(".")[2]) == ASSETS[asset].decimals


@pytest.mark.parametrize(
    ("name", "written"),
    [
        (_USER, "Liabilities:User:0b1c2d3e-0000-4000-8000-00000000000a"),
        ("user:fb1c", "Liabilities:User:Fb1c"),
        ("bond-pending:a", "Liabilities:Bond-pending:A"),
        ("bond-unenrolled:aBc", "Liabilities:Bond-unenrolled:ABc"),
        ("bond-unenrolled:ABc", "Liabilities:Bond-unenrolled:ABc-Z"),
        ("treasury:co_1-Zed", "Liabilities:Treasury:Co-Z5F1-Z2DZed"),
    ],
)
def test_beancount_names(name: str, written: str) -> None:
    assert beancount.account_name(account(name)) == written
    assert beancount.book_name(written) == name


@given(_ODD_NAMES)
def test_names_can_be_read_back(name: str) -> None:
    one = account(name)
    assert beancount.book_name(beancount.account_name(one)) == name
    assert hledger.book_name(hledger.account_name(one)) == name


@given(st.lists(_ODD_NAMES, unique=True, min_size=1, max_size=20))
def test_beancount_reads_every_name(names: list[str]) -> None:
    accounts = [account(name) for name in names]
    read = read_beancount(beancount.head(opened(*accounts)))
    assert read.errors == ()
    assert sorted(map(beancount.book_name, read.opened)) == sorted(names)


def test_beancount_reads_what_is_written() -> None:
    one = moved(1_234_567, TILL, USER, FEES, PAYER, external_ref='a "quoted"\\ one\n; two')
    text = beancount.head(opened(TILL, USER, FEES, PAYER)) + beancount.transaction(one)
    read = read_beancount(text)
    assert read.errors == ()
    [entry] = read.entries
    assert (entry.day, entry.narration) == (DAY, "deposit_credited")
    assert entry.meta["external_ref"] == one.external_ref
    assert (entry.meta["place"], entry.meta["slot"]) == ("1.2.3", 100)
    assert [(each.number, each.commodity) for each in entry.postings] == [
        (Decimal("1.234567"), "USDC"),
        (Decimal("-1.234567"), "USDC"),
        (Decimal("0.001234567"), "SOL"),
        (Decimal("-0.001234567"), "SOL"),
    ]
    metas = [each.meta for each in entry.postings]
    assert [meta.get("microusdc") for meta in metas] == [1_234_567, -1_234_567, None, None]
    assert [meta.get("lamports") for meta in metas] == [None, None, 1_234_567, -1_234_567]
    assert [meta["entry"] for meta in metas] == [4, 5, 4, 5]


@pytest.mark.parametrize("accounts", [(TILL, USER), (FEES, PAYER)], ids=["USDC", "SOL"])
def test_beancount_refuses_what_is_off_by_one(accounts: tuple[Account, Account]) -> None:
    text = beancount.head(opened(*accounts)) + beancount.transaction(moved(10, *accounts))
    wrong = text.replace(
        decimal_text(10, accounts[0].asset), decimal_text(11, accounts[0].asset), 1
    )
    assert read_beancount(text).errors == ()
    assert len(read_beancount(wrong).errors) == 1


def test_an_opening_is_a_transaction() -> None:
    standings = (Standing(account=TILL, units=30), Standing(account=USER, units=-30))
    opening = opened(TILL, USER, standings=standings)
    [entry] = read_beancount(beancount.head(opening)).entries
    assert [each.number for each in entry.postings] == [Decimal("0.000030"), Decimal("-0.000030")]
    assert f"{DAY} * opening\n    assets:chain:till  0.000030 USDC" in hledger.head(opening)
    assert json.loads(jsonl.head(opening))["opening"][1] == {
        "account": _USER,
        "asset": "USDC",
        "units": -30,
        "amount": "-0.000030",
    }


def test_hledger_is_told_everything_in_one_line_each() -> None:
    text = hledger.transaction(moved(5, TILL, USER, external_ref="a, [2026-01-01] b\nc;"))
    assert text == (
        "\n2026-11-02 * (1.2.3) deposit_credited\n"
        "    ; cause_id:00000000-0000-0000-0000-000000000007,"
        " external_ref:a%2C%20%5B2026-01-01%5D%20b%0Ac%3B, slot:100,"
        " event_at:2026-11-02T12:00:00+00:00, recorded_at:2026-11-02T12:00:00+00:00\n"
        "    assets:chain:till  0.000005 USDC  ; microusdc:5, entry:4\n"
        f"    liabilities:{_USER}  -0.000005 USDC  ; microusdc:-5, entry:5\n"
    )


def test_a_line_of_json_has_units_and_text() -> None:
    line = jsonl.transaction(moved(2**63 - 1, FEES, PAYER))
    assert line.count("\n") == 1
    told = json.loads(line)
    assert told["legs"][1] == {
        "account": PAYER.name,
        "asset": "SOL",
        "units": -(2**63) + 1,
        "amount": "-9223372036.854775807",
        "entry": 5,
        "dr": 0,
        "cr": 2**63 - 1,
    }
    assert (told["record"], told["effective_on"], told["row"]) == ("transaction", "2026-11-02", 3)


def test_days_have_an_order() -> None:
    with pytest.raises(NoSuchDays):
        Days(first=DAY, last=date(2026, 11, 1))
    assert Days(first=DAY, last=DAY).hold(DAY)
    assert not Days(last=date(2026, 11, 1)).hold(DAY)
    assert not Days(first=date(2026, 11, 3)).hold(DAY)


def test_empty_books_are_told() -> None:
    opening = Opening(cut=(), days=Days(), first_day=None, accounts=(), standings=())
    read = read_beancount(beancount.head(opening))
    assert (read.opened, read.entries, read.errors) == ((), (), ())
    assert "account " not in hledger.head(opening)
    assert json.loads(jsonl.head(opening))["cut"] == []
