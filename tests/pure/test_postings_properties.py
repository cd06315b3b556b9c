"""Whatever the numbers are, a posting is balanced, of one asset, and shares without a rest."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.ledger import accounts, encode, postings
from settlement.ledger.accounts import describe
from settlement.ledger.operations import AccountName, Post, Transfer
from settlement.ledger.postings import Refund
from settlement.money import LARGEST_AMOUNT_MICROUSDC, MicroUsdc, split_gross
from tests import factories
from tests.pure.worked_entries import (
    ALICE,
    CALLS,
    COORDINATOR,
    KEY,
    OSCAR,
    REQUEST,
    SETTLEMENT,
    VOUCHER,
    WorkedEntry,
    page,
    transfers_of,
    upstream_served,
)

amounts = st.integers(1, LARGEST_AMOUNT_MICROUSDC)
splits = st.integers(0, 10_000)
# Numbers that are a part of another one, which stands before them in the entry.
PART_OF = {"fee": "gross", "cost": "gross", "borne by user": "gross", "priority": "fee"}
SIGNED = {"change", "difference", "net"}
FROM_NOTHING = {"collected before"}


@st.composite
def numbers_for(draw: st.DrawFn, entry: WorkedEntry) -> dict[str, int]:
    """Numbers the entry's event could have had instead of the page's."""
    drawn: dict[str, int] = {}
    for name in entry.given:
        if name in PART_OF and PART_OF[name] in drawn:
            drawn[name] = draw(st.integers(0, drawn[PART_OF[name]]), label=name)
        elif name in SIGNED:
            drawn[name] = draw(amounts, label=name) * draw(st.sampled_from((1, -1)))
        elif name == "refunded before":
            drawn[name] = draw(st.integers(0, drawn["gross"] - 1), label=name)
        elif name in FROM_NOTHING:
            drawn[name] = draw(st.integers(0, LARGEST_AMOUNT_MICROUSDC), label=name)
        elif "refunded before" in drawn:
            left = drawn["gross"] - drawn["refunded before"]
            drawn[name] = draw(st.integers(1, left), label=name)
        else:
            drawn[name] = draw(amounts, label=name)
    return drawn


def by_account(*transfers: Transfer) -> Counter[AccountName]:
    """What each account gained (credits − debits)."""
    gained: Counter[AccountName] = Counter()
    for each in transfers:
        gained[each.credit] += each.amount_microusdc
        gained[each.debit] -= each.amount_microusdc
    return gained


@pytest.mark.parametrize("entry", page(), ids=lambda entry: entry.title)
@given(data=st.data())
def test_every_posting_is_balanced_and_of_one_asset_a_transfer(
    entry: WorkedEntry, data: st.DataObject
) -> None:
    made = CALLS[entry.title](data.draw(numbers_for(entry)))
    transfers = transfers_of(made)
    assert transfers
    assert len({(each.debit, each.credit) for each in transfers}) == len(transfers)
    for each in transfers:
        assert each.amount_microusdc > 0
        assert each.debit != each.credit
        assert describe(each.debit).asset is describe(each.credit).asset
    per_asset: Counter[str] = Counter()
    for account, gained in by_account(*transfers).items():
        per_asset[describe(account).asset] += gained
    assert not any(per_asset.values())
    if isinstance(made, Post):
        encode.check(made)


@given(amounts, splits, st.data())
def test_a_late_capture_pays_the_operator_as_the_charge_would_have(
    gross: int, split_bps: int, data: st.DataObject
) -> None:
    borne = MicroUsdc(data.draw(st.integers(0, gross)))
    charge = factories.charge(REQUEST, ALICE, OSCAR, gross, split_bps=split_bps)
    paid = by_account(*postings.charge_transfers(charge, COORDINATOR))
    late = by_account(*postings.late_capture(VOUCHER, charge, COORDINATOR, borne).transfers)
    assert (late[OSCAR], late[COORDINATOR]) == (paid[OSCAR], paid[COORDINATOR])
    assert (late[ALICE], late[accounts.BAD_DEBT]) == (-borne, borne - gross)
    assert paid[ALICE] == -gross


@given(st.integers(1, 10**9), splits, st.data())
def test_refunds_in_parts_leave_each_its_share_of_what_stays_paid(
    gross: int, split_bps: int, data: st.DataObject
) -> None:
    before, gained = 0, Counter[AccountName]()
    while before < gross and data.draw(st.booleans()):
        amount = data.draw(st.integers(1, gross - before))
        part = Refund(
            request_id=REQUEST,
            user=ALICE,
            operator=OSCAR,
            gross_microusdc=MicroUsdc(gross),
            refunded_before_microusdc=MicroUsdc(before),
            amount_microusdc=MicroUsdc(amount),
            split_bps=split_bps,
        )
        refunded = by_account(*postings.request_refunded(VOUCHER, part, SETTLEMENT).transfers)
        assert refunded[ALICE] == amount
        gained.update(refunded)
        before += amount
    earned = split_gross(MicroUsdc(gross), split_bps)
    kept = split_gross(MicroUsdc(gross - before), split_bps)
    assert earned.operator_microusdc + gained[OSCAR] == kept.operator_microusdc
    assert earned.treasury_microusdc + gained[SETTLEMENT] == kept.treasury_microusdc


@given(amounts, st.data())
def test_an_upstream_takes_nothing_from_what_the_user_pays(gross: int, data: st.DataObject) -> None:
    cost = data.draw(st.integers(0, gross))
    gained = by_account(*upstream_served({"gross": gross, "cost": cost}).transfers)
    assert (gained[ALICE], gained[COORDINATOR]) == (-gross, gross)
    owed = accounts.upstream("openai")
    assert (gained[owed], gained[accounts.upstream_cost("openai", "coordinator")]) == (cost, -cost)


@given(st.dictionaries(st.sampled_from([ALICE, OSCAR, accounts.DRAWINGS]), amounts, min_size=1))
def test_a_reversal_gives_back_exactly_what_was_moved(shares: dict[AccountName, MicroUsdc]) -> None:
    first = postings.quarantine_assigned(VOUCHER, KEY.reference, shares)
    back = postings.reversal(VOUCHER, first.transaction_id, first.transfers)
    assert back.reverses == first.transaction_id
    assert not any(by_account(*first.transfers, *back.transfers).values())
