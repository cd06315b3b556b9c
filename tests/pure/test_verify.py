"""The check of the books, without a database: its hashes, what it folds, and the state it keeps."""

import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.ledger import verify_hash, verify_state
from settlement.ledger.verify_chain import Batch, FullBatch, Head, Place, Wrong
from settlement.ledger.verify_fold import Account, Fold
from settlement.ledger.verify_holds import Held, Holds
from settlement.ledger.verify_rows import JournalRow, TxnRow
from settlement.ledger.verify_state import Progress, StateOfOtherBooks, StateUnreadable

NOW = datetime(2026, 11, 2, 12, 0, 0, 5, tzinfo=UTC)
HEAD = Head(
    writer_id=1, name="one", era=1, treasury_account=9, head_seq=9, head_hash=b"", head_rows=9
)  # fmt: skip


def test_a_moment_has_six_places() -> None:
    zero = datetime(1970, 1, 1, tzinfo=UTC)
    assert verify_hash.epoch_text(zero) == "0.000000"
    assert verify_hash.epoch_text(zero + timedelta(seconds=12, microseconds=30)) == "12.000030"
    assert verify_hash.epoch_text(zero - timedelta(seconds=1, microseconds=500_000)) == "-1.500000"


def test_bars_leave_out_what_is_null() -> None:
    assert verify_hash.barred("a", None, 0, "") == "a|0|"


def test_a_root_is_the_hash_of_the_leaves_in_their_order() -> None:
    leaves = [verify_hash.leaf("a"), verify_hash.leaf("b")]
    assert verify_hash.batch_root(leaves) == sha256(b"\x02" + leaves[0] + leaves[1]).digest()
    assert verify_hash.batch_root(leaves) != verify_hash.batch_root(leaves[::-1])


def moved(*, seq: int, amount: int, entry: int, debit: int = 1, credit: int = 2) -> TxnRow:
    """A transaction of one transfer, alone in its batch."""
    return TxnRow(
        row_id=UUID(int=seq),
        writer_id=1,
        epoch=1,
        batch_seq=seq,
        ord=1,
        recorded_at=NOW,
        kind="adjustment",
        slot=None,
        event_at=NOW,
        effective_on=NOW.date(),
        external_ref=None,
        reverses=None,
        refunds=None,
        hold_id=None,
        hold_captured=None,
        left_over=None,
        actor="test",
        reason=None,
        meta="{}",
        content_sha256=b"",
        hold_account=None,
        hold_amount=None,
        hold_writer=None,
        transfers=((debit, credit, amount, entry, entry),),
    )


def take(fold: Fold, *rows: JournalRow, head: Head = HEAD) -> Wrong | None:
    """Fold a batch of these rows, hashed as it should be."""
    place = fold.place(head)
    root = verify_hash.batch_root([verify_hash.leaf(row.text) for row in rows])
    header = {"writer_id": head.writer_id, "epoch": 1, "seq": place.seq + 1, "n": len(rows)}
    link = verify_hash.batch_hash(
        **header, rows_before=place.rows, created_at=NOW, prev_hash=place.hash, root=root
    )
    batch = Batch(
        **header, rows_before=place.rows, created_at=NOW, prev_hash=place.hash, root=root, hash=link
    )
    return fold.take(FullBatch.of(head, batch, rows))


def folded(*rows: TxnRow) -> Fold:
    """Right batches, one row each."""
    fold = Fold()
    for row in rows:
        assert take(fold, row) is None
    return fold


def test_history_adds_up() -> None:
    fold = folded(moved(seq=1, amount=5, entry=1), moved(seq=2, amount=7, entry=2))
    assert fold.accounts == {1: Account(dr=12, entries=2), 2: Account(cr=12, entries=2)}
    assert (fold.batches, fold.rows, fold.at_cut()) == (2, 2, None)


def test_an_entry_waits_for_the_one_before_it() -> None:
    fold = folded(moved(seq=1, amount=5, entry=2))
    assert (fold.account(1).dr, fold.account(1).entries) == (0, 0)
    gap = fold.at_cut()
    assert gap is not None
    assert (gap.rule, gap.row_id) == ("entries are numbered", str(UUID(int=1)))
    late = moved(seq=2, amount=7, entry=1)
    assert take(fold, late) is None
    assert (fold.account(1).dr, fold.account(1).entries, fold.at_cut()) == (12, 2, None)


def test_two_entries_of_one_number_are_wrong() -> None:
    fold = folded(moved(seq=1, amount=5, entry=1))
    twice = moved(seq=2, amount=5, entry=1)
    wrong = take(fold, twice)
    assert wrong is not None
    assert (wrong.rule, wrong.batch, wrong.ord) == ("entries are numbered", 2, 1)


def test_a_rewritten_chain_is_still_held_to_its_rules() -> None:
    """Whoever hashes everything anew cannot make money move by nothing."""
    nothing = moved(seq=1, amount=0, entry=1)
    wrong = take(Fold(), nothing)
    assert wrong is not None
    assert (wrong.rule, wrong.detail) == ("row", "it moves nothing")


def test_rows_say_how_many_came_before_them() -> None:
    fold = folded(moved(seq=1, amount=5, entry=1))
    fold.places[1].rows = 7  # as if the chain had said so
    right = moved(seq=2, amount=5, entry=2)
    assert take(fold, right) is None
    head = Head(
        writer_id=1, name="one", era=1, treasury_account=9, head_seq=2,
        head_hash=fold.places[1].hash, head_rows=2,
    )  # fmt: skip
    assert fold.places[1].unlike(head) == "one says it has 2 rows, its chain has 8"


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
standing = st.tuples(st.sampled_from(["open", "voided"]), amounts, amounts)
held = st.builds(
    Held, last=st.just((1, 2, 3, "id")), writer=st.none() | amounts, account=amounts,
    amount=amounts, purpose=st.just("lease"), captured=amounts, spends=amounts,
    voided=st.booleans(), by_another=st.booleans(), told=st.none() | standing,
)  # fmt: skip
ids = st.uuids()
holds = st.builds(
    Holds, open=st.dictionaries(ids, held, max_size=2), unsure=st.sets(ids, max_size=2),
    ended=st.dictionaries(ids, standing, max_size=2),
)  # fmt: skip
state = st.builds(
    Progress, books=st.just("b"), history_done=st.booleans(), last_hold=st.none() | st.just("x"),
    holds=amounts, last_account=amounts, accounts=amounts,
)  # fmt: skip


@given(state, st.dictionaries(amounts, account, max_size=3), holds, amounts, st.binary(min_size=32))
def test_a_state_reads_back_as_it_was(
    progress: Progress, found: dict[int, Account], holds: Holds, seq: int, link: bytes
) -> None:
    progress.fold.accounts, progress.fold.holds = found, holds
    progress.fold.moved = set(found)
    progress.fold.places[4] = Place(seq=seq, hash=link, rows=seq)
    again = verify_state.load(verify_state.dump(progress), books="b")
    assert again.fold.accounts == found
    assert again.fold.places == progress.fold.places
    assert (again.fold.holds, again.fold.moved) == (holds, set(found))
    assert verify_state.dump(again) == verify_state.dump(progress)


def test_a_state_that_is_none_is_refused() -> None:
    text = verify_state.dump(Progress(books="b"))
    for bad in (
        *("", "{}", "[]", "null", text[:-1], text.replace('"version": 2', '"version": 1')),
        json.dumps({**json.loads(text), "places": [[1, 2]]}),
        json.dumps({**json.loads(text), "balances": [[1, "x", 0, 0, 0, None, []]]}),
        json.dumps({**json.loads(text), "holds": None}),
    ):
        with pytest.raises(StateUnreadable):
            verify_state.load(bad, books="b")
    with pytest.raises(StateOfOtherBooks):
        verify_state.load(text, books="others")
