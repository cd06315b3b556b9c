"""One business event, one balanced entry, named by what was seen."""

from datetime import UTC, date, datetime, timedelta, timezone
from uuid import uuid4

import pytest

from settlement.chain.movement import ChainMoment, MovementKey, Vault
from settlement.ledger import accounts, postings
from settlement.ledger.operations import AccountName, Post, TransactionKind
from settlement.money import MicroUsdc, Slot

KEY = MovementKey(cluster="localnet", signature="5sig", outer=2, inner=1, sub=3)
MOMENT = ChainMoment(slot=Slot(77), block_time=datetime(2026, 11, 2, 23, 30, tzinfo=UTC))
USER, HOST = accounts.user(uuid4()), accounts.host(uuid4())
BOND, PENDING = accounts.bond(uuid4()), accounts.bond_pending(uuid4())
STRANGERS = accounts.bond_unenrolled("Bond111111111111111111111111111111111111111")
TILL, ESCROW = accounts.chain_vault(Vault.TILL), accounts.chain_vault(Vault.BOND)
FIVE = MicroUsdc(5)
Kind = TransactionKind

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


def test_every_kind_that_the_chain_causes_has_a_worked_entry() -> None:
    assert {kind for _, kind, _ in WORKED} == set(Kind) - {Kind.ADJUSTMENT}


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
