"""The check of the books, without a database: its hashes, what it folds, and the state it keeps."""

import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.ledger import verify_hash, verify_state
from settlement.ledger.verify_fold import Account, Batch, Fold, Head, Place
from settlement.ledger.verify_rows import TxnRow
from settlement.ledger.verify_state import Progress, StateOfOtherBooks, StateUnreadable

NOW = datetime(2026, 11, 2, 12, 0, 0, 5, tzinfo=UTC)
HEAD = Head(
    writer_id=1, name="one", epoch=1, head_seq=9, head_hash=b"", treasury_account=9
)  # fmt: skip


def test_a_moment_has_six_places() -> None:
    zero = datetime(1970, 1, 1, tzinfo=UTC)
    assert verify_hash.epoch_text(zero) == "0.000000"
    assert verify_hash.epoch_text(zero + timedelta(seconds=12, microseconds=30)) == "12.000030"
    assert verify_hash.epoch_text(zero - timedelta(seconds=1, microseconds=500_000)) == "-1.500000"


def test_bars_leave_out_what_is_null() -> None:
    assert verify_hash.barred("a", None, 0, "") == "a|0|"


@given(st.lists(st.binary(min_size=1, max_size=4), min_size=1, max_size=40))
def test_the_root_is_also_found_by_pairing_neighbours(texts: list[bytes]) -> None:
    level: list[bytes] = [sha256(text).digest() for text in texts]
    root = verify_hash.merkle_root(level)
    while len(level) > 1:
        odd = level[-1:] if len(level) % 2 else []
        pairs = zip(level[::2], level[1::2], strict=False)
        level = [sha256(b"\x01" + left + right).digest() for left, right in pairs] + odd
    assert root == level[0]


def moved(*, seq: int, amount: int, entry: int, debit: int = 1, credit: int = 2) -> TxnRow:
    """A transaction of one transfer, alone in its batch."""
    return TxnRow(
        row_id=UUID(int=seq),
        writer_id=1,
        epoch=1,
        batch_seq=seq,
        ord=1,
        recorded_at=NOW,
        hold_account=None,
        hold_amount=None,
        kind="adjustment",
        slot=None,
        event_at=NOW,
        effective_on=NOW.date(),
        external_ref=None,
        reverses=None,
        hold_id=None,
        hold_captured=None,
        left_over=None,
        actor="test",
        reason=None,
        meta="{}",
        content_sha256=b"",
        transfers=((debit, credit, amount, entry, entry),),
    )


def batch_of(fold: Fold, head: Head, row: TxnRow) -> Batch:
    """The right batch for this row after what was folded."""
    root = verify_hash.leaf(row.text)
    before = fold.place(head).hash
    return Batch(
        writer_id=head.writer_id,
        seq=row.batch_seq,
        epoch=1,
        n=1,
        root=root,
        prev_hash=before,
        hash=verify_hash.batch_hash(
            writer_id=head.writer_id, epoch=1, seq=row.batch_seq, n=1, prev_hash=before, root=root
        ),
        created_at=NOW,
    )


def folded(*rows: TxnRow) -> Fold:
    """Right batches, one row each."""
    fold = Fold()
    for row in rows:
        assert fold.take(HEAD, batch_of(fold, HEAD, row), [row]) is None
    return fold


def test_history_adds_up() -> None:
    fold = folded(moved(seq=1, amount=5, entry=1), moved(seq=2, amount=7, entry=2))
    assert fold.accounts == {1: Account(dr=12, entries=2), 2: Account(cr=12, entries=2)}
    assert (fold.batches, fold.rows, fold.gap()) == (2, 2, None)


def test_an_entry_waits_for_the_one_before_it() -> None:
    fold = folded(moved(seq=1, amount=5, entry=2))
    assert (fold.account(1).dr, fold.account(1).entries) == (0, 0)
    gap = fold.gap()
    assert gap is not None
    assert (gap.rule, gap.row_id) == ("entries are numbered", str(UUID(int=1)))
    late = moved(seq=2, amount=7, entry=1)
    assert fold.take(HEAD, batch_of(fold, HEAD, late), [late]) is None
    assert (fold.account(1).dr, fold.account(1).entries, fold.gap()) == (12, 2, None)


def test_two_entries_of_one_number_are_wrong() -> None:
    fold = folded(moved(seq=1, amount=5, entry=1))
    twice = moved(seq=2, amount=5, entry=1)
    wrong = fold.take(HEAD, batch_of(fold, HEAD, twice), [twice])
    assert wrong is not None
    assert (wrong.rule, wrong.batch, wrong.ord) == ("entries are numbered", 2, 1)


def test_a_rewritten_chain_is_still_held_to_its_rules() -> None:
    """Whoever hashes everything anew cannot make money move by nothing."""
    nothing = moved(seq=1, amount=0, entry=1)
    wrong = Fold().take(HEAD, batch_of(Fold(), HEAD, nothing), [nothing])
    assert wrong is not None
    assert (wrong.rule, wrong.detail) == ("row", "it moves nothing")


amounts = st.integers(min_value=0, max_value=2**63)
parked = st.dictionaries(
    st.integers(2, 9),
    st.tuples(amounts, amounts, st.none() | amounts, st.just((1, 2, 3, "id"))),
    max_size=2,
)
account = st.builds(
    Account, dr=amounts, cr=amounts, held=amounts, entries=amounts,
    asset=st.none() | st.just("SOL"), parked=parked,
)  # fmt: skip
state = st.builds(
    Progress, books=st.just("b"), history_done=st.booleans(), last_hold=st.none() | st.just("x"),
    holds=amounts, last_account=amounts, accounts=amounts,
)  # fmt: skip


@given(state, st.dictionaries(amounts, account, max_size=3), amounts, st.binary(min_size=32))
def test_a_state_reads_back_as_it_was(
    progress: Progress, found: dict[int, Account], seq: int, link: bytes
) -> None:
    progress.fold.accounts = found
    progress.fold.places[4] = Place(seq=seq, hash=link)
    again = verify_state.load(verify_state.dump(progress), books="b")
    assert again.fold.accounts == found
    assert again.fold.places == progress.fold.places
    assert verify_state.dump(again) == verify_state.dump(progress)


def test_a_state_that_is_none_is_refused() -> None:
    text = verify_state.dump(Progress(books="b"))
    for bad in (
        *("", "{}", "[]", "null", text[:-1], text.replace('"version": 1', '"version": 2')),
        json.dumps({**json.loads(text), "places": [[1, 2]]}),
        json.dumps({**json.loads(text), "balances": [[1, "x", 0, 0, 0, None, []]]}),
        json.dumps({**json.loads(text), "holds": None}),
    ):
        with pytest.raises(StateUnreadable):
            verify_state.load(bad, books="b")
    with pytest.raises(StateOfOtherBooks):
        verify_state.load(text, books="others")
