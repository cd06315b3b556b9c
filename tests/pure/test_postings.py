"""One business event, one balanced entry, named by what was seen or by what it is about.

What each event debits and credits stands in `docs/worked-entries.md`, which
`test_worked_entries.py` holds to the code; here is what the chain causes, what things are called,
and what is refused.
"""

import importlib
import pkgutil
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from typing import get_type_hints
from uuid import UUID, uuid4

import pytest

from settlement.chain.movement import ChainMoment, MovementKey, Vault
from settlement.ledger import accounts, postings
from settlement.ledger.accounts import InvalidAccount
from settlement.ledger.operations import AccountName, Post, TransactionKind, Transfer
from settlement.ledger.postings import Refund, Voucher
from settlement.money import Lamports, MicroUsdc, Slot
from tests import factories

KEY = MovementKey(cluster="localnet", signature="5sig", outer=2, inner=1, sub=3)
MOMENT = ChainMoment(slot=Slot(77), block_time=datetime(2026, 11, 2, 23, 30, tzinfo=UTC))
USER, HOST = accounts.user(uuid4()), accounts.host(uuid4())
BOND, PENDING = accounts.bond(uuid4()), accounts.bond_pending(uuid4())
STRANGERS = accounts.bond_unenrolled("Bond111111111111111111111111111111111111111")
TILL, ESCROW = accounts.chain_vault(Vault.TILL), accounts.chain_vault(Vault.BOND)
PAYER = factories.bond_address("payer")
SOL = accounts.chain_sol(PAYER)
FIVE = MicroUsdc(5)
FIVE_LAMPORTS = Lamports(5)
VOUCHER = Voucher(
    actor="ada", event_at=datetime(2026, 11, 2, 23, 30, tzinfo=UTC), reason="found out"
)
REQUEST = UUID("0192f3a4-5b6c-7d8e-9f00-112233445566")
Kind = TransactionKind
MAKING = {"seen", "seen_as", "vouched", "assigned"}  # what all postings are made with

# The worked entry of each event: what is debited and what is credited.
WORKED: list[tuple[Post, TransactionKind, list[tuple[AccountName, AccountName]]]] = [
    (
        postings.deposit_credited(KEY, MOMENT, Vault.TILL, USER, FIVE),
        Kind.DEPOSIT_CREDITED,
        [(TILL, USER)],
    ),
    (
        postings.deposit_suspended(KEY, MOMENT, Vault.BOND, FIVE),
        Kind.DEPOSIT_SUSPENDED,
        [(ESCROW, accounts.SUSPENSE)],
    ),
    (postings.bond_received(KEY, MOMENT, PENDING, FIVE), Kind.BOND_RECEIVED, [(TILL, PENDING)]),
    (postings.bond_posted(KEY, MOMENT, BOND, FIVE), Kind.BOND_POSTED, [(ESCROW, BOND)]),
    (
        postings.bond_funded(KEY, MOMENT, PENDING, BOND, FIVE),
        Kind.BOND_FUNDED,
        [(ESCROW, TILL), (PENDING, BOND)],
    ),
    (postings.bond_released(KEY, MOMENT, BOND, FIVE), Kind.BOND_RELEASED, [(BOND, ESCROW)]),
    (
        postings.bond_handed_over(KEY, MOMENT, BOND, STRANGERS, FIVE),
        Kind.BOND_HANDED_OVER,
        [(BOND, STRANGERS)],
    ),
    (
        postings.bond_seized(KEY, MOMENT, BOND, FIVE),
        Kind.BOND_SEIZED,
        [(TILL, ESCROW), (BOND, accounts.REFUND_POOL)],
    ),
    (
        postings.vaults_moved(KEY, MOMENT, Vault.BOND, Vault.TILL, FIVE),
        Kind.VAULTS_MOVED,
        [(TILL, ESCROW)],
    ),
    (postings.withdrawal_paid(KEY, MOMENT, HOST, FIVE), Kind.WITHDRAWAL_PAID, [(HOST, TILL)]),
    (
        postings.outflow_unexplained(KEY, MOMENT, Vault.TILL, FIVE),
        Kind.OUTFLOW_UNEXPLAINED,
        [(accounts.UNEXPLAINED_OUT, TILL)],
    ),
    (
        postings.drawings_paid(KEY, MOMENT, FIVE),
        Kind.DRAWINGS_PAID,
        [(accounts.DRAWINGS, TILL)],
    ),
    (
        postings.payer_funded(KEY, MOMENT, PAYER, FIVE_LAMPORTS),
        Kind.PAYER_FUNDED,
        [(SOL, accounts.FUNDING_SOL)],
    ),
    (
        postings.payer_drawn(KEY, MOMENT, PAYER, FIVE_LAMPORTS),
        Kind.PAYER_DRAWN,
        [(accounts.FUNDING_SOL, SOL)],
    ),
    (
        postings.network_fee_paid(KEY, MOMENT, PAYER, FIVE_LAMPORTS, Lamports(2)),
        Kind.NETWORK_FEE_PAID,
        [(accounts.NETWORK_FEES, SOL)],
    ),
    (
        postings.rent_paid(KEY, MOMENT, PAYER, FIVE_LAMPORTS),
        Kind.RENT_PAID,
        [(accounts.RENT, SOL)],
    ),
    (
        postings.rent_returned(KEY, MOMENT, PAYER, FIVE_LAMPORTS),
        Kind.RENT_RETURNED,
        [(SOL, accounts.RENT)],
    ),
    (
        postings.quarantined(KEY, MOMENT, Vault.TILL, 5),
        Kind.MOVEMENT_QUARANTINED,
        [(TILL, accounts.QUARANTINE)],
    ),
    (
        postings.quarantined(KEY, MOMENT, Vault.BOND, -5),
        Kind.MOVEMENT_QUARANTINED,
        [(accounts.UNEXPLAINED_OUT, ESCROW)],
    ),
]


@pytest.mark.parametrize(
    ("post", "kind", "moved"), WORKED, ids=lambda each: getattr(each, "kind", "")
)
def test_the_worked_entry(
    post: Post, kind: TransactionKind, moved: list[tuple[AccountName, AccountName]]
) -> None:
    assert post.kind is kind
    assert [(leg.debit, leg.credit) for leg in post.transfers] == moved
    assert {leg.amount_microusdc for leg in post.transfers} == {5}
    assert post.external_ref == "chain:localnet:5sig:2:1:3"
    assert (post.slot, post.event_at) == (77, MOMENT.block_time)


def test_every_event_that_the_chain_causes_has_a_worked_entry() -> None:
    functions = [getattr(postings, name) for name in postings.__all__]
    by_chain = [each for each in functions if "moment" in getattr(each, "__annotations__", {})]
    assert len(by_chain) == len({kind for _, kind, _ in WORKED})


def test_every_posting_is_offered_at_the_door() -> None:
    for found in pkgutil.iter_modules(postings.__path__, f"{postings.__name__}."):
        module = importlib.import_module(found.name)
        for name, value in vars(module).items():
            made_here = getattr(value, "__module__", None) == module.__name__
            if made_here and get_type_hints(value).get("return") is Post and name[0] != "_":
                assert name in {*postings.__all__, *MAKING}


def test_a_movement_has_one_id_however_often_it_is_read() -> None:
    again = MovementKey(cluster="localnet", signature="5sig", outer=2, inner=1, sub=3)
    other = MovementKey(cluster="localnet", signature="5sig", outer=2, inner=1, sub=4)
    assert postings.transaction_id_for(KEY.reference) == postings.transaction_id_for(
        again.reference
    )
    assert postings.transaction_id_for(KEY.reference) != postings.transaction_id_for(
        other.reference
    )


def test_the_day_is_the_blocks_day_in_utc() -> None:
    east = timezone(timedelta(hours=9))
    moment = ChainMoment(slot=Slot(1), block_time=datetime(2026, 11, 3, 8, 30, tzinfo=east))
    post = postings.deposit_suspended(KEY, moment, Vault.TILL, FIVE)
    assert post.effective_on == date(2026, 11, 2)


@pytest.mark.parametrize("amount", [0, -1])
def test_a_movement_has_an_amount(amount: int) -> None:
    with pytest.raises(AssertionError):
        postings.deposit_suspended(KEY, MOMENT, Vault.TILL, MicroUsdc(amount))


def test_no_change_is_no_movement() -> None:
    with pytest.raises(AssertionError):
        postings.quarantined(KEY, MOMENT, Vault.TILL, 0)


def test_what_was_decided_is_named_by_what_it_is_about() -> None:
    post = postings.suspense_assigned(VOUCHER, KEY.reference, USER, FIVE)
    assert post.external_ref == f"assigned:{KEY.reference}"
    assert post.transaction_id == postings.transaction_id_for(f"assigned:{KEY.reference}")
    assert (post.actor, post.reason, post.slot) == ("ada", "found out", None)
    assert (post.event_at, post.effective_on) == (VOUCHER.event_at, date(2026, 11, 2))


def test_the_accounting_day_can_be_another_one() -> None:
    voucher = replace(VOUCHER, effective_on=date(2026, 10, 31))
    post = postings.upstream_paid(voucher, "7", "openai", accounts.external("bank"), FIVE)
    assert post.effective_on == date(2026, 10, 31)


def test_what_excludes_each_other_has_one_name() -> None:
    """The books refuse a second post of the same reference."""
    moved = KEY.reference
    charge = factories.charge(REQUEST, USER, HOST, FIVE)
    assert_same_name(
        postings.suspense_assigned(VOUCHER, moved, USER, FIVE),
        postings.quarantine_assigned(VOUCHER, moved, {USER: FIVE}),
        postings.recovered(VOUCHER, moved, written_off=False, amount_microusdc=FIVE),
    )
    assert_same_name(
        postings.outflow_explained(VOUCHER, moved, HOST, FIVE),
        postings.outflow_written_off(VOUCHER, moved, FIVE),
    )
    assert_same_name(
        postings.late_capture(VOUCHER, charge, accounts.treasury("settlement"), MicroUsdc(0)),
        postings.upstream_served(
            VOUCHER,
            REQUEST,
            USER,
            "openai",
            writer_name="coordinator",
            gross_microusdc=FIVE,
            cost_microusdc=MicroUsdc(0),
        ),
    )


def assert_same_name(*posts: Post) -> None:
    assert len({(post.transaction_id, post.external_ref) for post in posts}) == 1
    assert len({post.kind for post in posts}) == len(posts)


def refund(amount: int, before: int = 0, gross: int = 5) -> Refund:
    return Refund(
        request_id=REQUEST,
        user=USER,
        operator=HOST,
        gross_microusdc=MicroUsdc(gross),
        refunded_before_microusdc=MicroUsdc(before),
        amount_microusdc=MicroUsdc(amount),
    )


@pytest.mark.parametrize(("amount", "before"), [(6, 0), (3, 3), (1, 5)])
def test_no_more_is_refunded_than_was_paid(amount: int, before: int) -> None:
    with pytest.raises(postings.RefundTooLarge):
        postings.request_refunded(VOUCHER, refund(amount, before), accounts.treasury("settlement"))


def test_an_upstream_that_costs_more_than_the_user_pays_is_refused() -> None:
    with pytest.raises(postings.UpstreamTooDear):
        postings.upstream_served(
            VOUCHER,
            REQUEST,
            USER,
            "openai",
            writer_name="coordinator",
            gross_microusdc=FIVE,
            cost_microusdc=MicroUsdc(6),
        )


def test_a_card_company_keeps_no_more_than_it_owed() -> None:
    with pytest.raises(postings.CardFeeTooLarge):
        postings.card_settled(VOUCHER, "1", accounts.external("bank"), FIVE, MicroUsdc(6))


def test_what_was_seen_on_chain_is_not_undone() -> None:
    deposit = postings.deposit_credited(KEY, MOMENT, Vault.TILL, USER, FIVE)
    with pytest.raises(postings.ChainNotCorrected):
        postings.reversal(VOUCHER, deposit.transaction_id, deposit.transfers)
    with pytest.raises(postings.ChainNotCorrected):
        postings.adjustment(VOUCHER, "1", [factories.transfer(SOL, accounts.FUNDING_SOL, 5)])


@pytest.mark.parametrize(
    ("transfer", "refused"),
    [
        (factories.transfer(accounts.RENT, accounts.BAD_DEBT, 5), postings.AssetsMixed),
        (factories.transfer(AccountName("wallet:x"), accounts.BAD_DEBT, 5), InvalidAccount),
    ],
)
def test_an_adjustment_moves_one_asset_between_accounts_there_are(
    transfer: Transfer, refused: type[Exception]
) -> None:
    with pytest.raises(refused):
        postings.adjustment(VOUCHER, "1", [transfer])


def test_a_correction_says_why() -> None:
    silent = replace(VOUCHER, reason=None)
    moved = factories.transfer(USER, accounts.user(uuid4()), 5)
    with pytest.raises(postings.ReasonMissing):
        postings.adjustment(silent, "1", [moved])
    with pytest.raises(postings.ReasonMissing):
        postings.reversal(silent, REQUEST, [moved])


def test_a_child_is_swept_once_a_day() -> None:
    child = accounts.treasury("coordinator")
    tomorrow = replace(VOUCHER, event_at=VOUCHER.event_at + timedelta(days=1))
    first, again, next_day = (
        postings.child_swept(voucher, child, net)
        for voucher, net in ((VOUCHER, 5), (VOUCHER, 4), (tomorrow, 5))
    )
    assert first.transaction_id == again.transaction_id != next_day.transaction_id


def test_only_a_child_is_swept() -> None:
    with pytest.raises(AssertionError):
        postings.child_swept(VOUCHER, accounts.TREASURY, 5)


def test_a_fee_is_the_transactions_and_its_priority_part_is_told() -> None:
    key = MovementKey(cluster="localnet", signature="5sig", outer=-1)
    post = postings.network_fee_paid(key, MOMENT, PAYER, Lamports(7_000), Lamports(2_000))
    assert post.external_ref == "chain:localnet:5sig:-1:-1:0"
    assert post.meta == {"priority_lamports": 2_000}
    with pytest.raises(AssertionError):
        postings.network_fee_paid(key, MOMENT, PAYER, Lamports(1), Lamports(2))
