"""What the check of the books makes of holds, without a database: whichever order rows come in."""

from collections import Counter
from datetime import UTC, datetime
from random import Random
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.ledger.verify_holds import Holds, Standing
from settlement.ledger.verify_rows import NO_HOLD, ChargeRow, HoldRow, JournalRow, TxnRow

NOW = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)
OWN, OTHER, USER = 1, 2, 7


def event(
    what: str, hold: int, amount: int, purpose: str, *, writer: int = OWN, now: Standing
) -> HoldRow:
    """A hold that was placed or voided; `now` is how it stood when that was read."""
    state, captured, released = now
    return HoldRow(
        row_id=UUID(int=hold), writer_id=writer, batch_seq=1, ord=1, epoch=1, recorded_at=NOW,
        event=what, reason=None, left_over=0, account=USER, amount=amount, purpose=purpose,
        expires_at=None, hold_writer=OWN, hold_epoch=1, state=state, captured=captured,
        released=released,
    )  # fmt: skip


def charge(hold: UUID, gross: int, *, user: int = USER, writer: int = OWN) -> ChargeRow:
    """A paid request."""
    return ChargeRow(
        row_id=UUID(int=0), writer_id=writer, batch_seq=1, ord=1, hold_id=hold, user_account=user,
        operator_account=8, gross=gross, operator_share=gross, treasury_share=0, split_bps=0,
        user_entry=1, operator_entry=1, treasury_entry=1, user_balance_after=0,
    )  # fmt: skip


def capture(hold: int, amount: int, *, writer: int) -> TxnRow:
    """A transaction that spends of a hold."""
    return TxnRow(
        row_id=UUID(int=0), writer_id=writer, batch_seq=1, ord=1, epoch=1, recorded_at=NOW,
        kind="x", slot=None, event_at=NOW, effective_on=NOW.date(), external_ref=None,
        reverses=None, refunds=None, hold_id=UUID(int=hold), hold_captured=amount, left_over=0,
        actor="x", reason=None, meta="{}", content_sha256=b"", hold_account=USER, hold_amount=99,
        hold_writer=OWN,
    )  # fmt: skip


def life(hold: int, random: Random) -> tuple[list[JournalRow], int]:
    """The rows of one hold in their true order, and what is set aside after them."""
    amount, purpose = random.randrange(1, 50), random.choice(("request", "lease", "payout"))
    spent: list[int] = []
    if purpose == "lease":
        left = amount
        while left and random.random() < 0.6:
            spent.append(random.randrange(left + 1))
            left -= spent[-1]
    elif random.random() < 0.5:
        spent.append(random.randrange(amount + 1))
    ended = bool(spent) and purpose != "lease"
    voided = not ended and random.random() < 0.5
    total = sum(spent)
    now: Standing = ("open", total, 0)
    if ended or voided:
        state = "captured" if ended or total else "voided"
        now = (state, total, amount - total)
    # What was not at its end yet when the row that placed it was read is looked up later.
    first = now if random.random() < 0.5 else ("open", 0, 0)
    rows: list[JournalRow] = [event("placed", hold, amount, purpose, now=first)]
    for part in spent:
        if purpose == "payout":
            rows.append(capture(hold, part, writer=random.choice((OWN, OTHER))))
        else:
            rows.append(charge(UUID(int=hold), part))
    if voided:
        by = OWN if purpose == "request" else random.choice((OWN, OTHER))
        rows.append(event("voided", hold, amount, purpose, writer=by, now=now))
    return rows, 0 if ended or voided else amount - total


def interleaved(rows: list[JournalRow], random: Random) -> list[JournalRow]:
    """Each writer's rows in their order, those of different writers in any."""
    queues = [[row for row in rows if row.writer_id == writer] for writer in (OWN, OTHER)]
    mixed: list[JournalRow] = []
    while any(queues):
        mixed.append(random.choice([queue for queue in queues if queue]).pop(0))
    return mixed


def folded(rows: list[JournalRow]) -> tuple[Holds, Counter[int]]:
    """Right rows."""
    holds, held = Holds(), Counter[int]()
    for row in rows:
        effect = holds.take(row)
        assert effect.broken_rule is None, row
        held[effect.account] += effect.held
    return holds, held


@given(st.integers(0, 2**32))
def test_the_order_of_writers_does_not_matter(seed: int) -> None:
    random = Random(seed)
    lives = [life(number, random) for number in range(1, 6)]
    rows = [row for one, _ in lives for row in one]
    holds, held = folded(interleaved(rows, random))
    assert holds.at_cut() is None
    assert held[USER] == sum(left for _, left in lives)
    assert holds.unsure == set()
    for hold_id, standing in holds.ended.items():  # what is looked up is found as it should be
        told = [row for row in rows if isinstance(row, HoldRow) and row.row_id == hold_id]
        assert standing[0] != "open"
        assert told[0].state == "open"
    open_ = {UUID(int=number) for number, (_, left) in enumerate(lives, 1) if left}
    assert open_ <= set(holds.open)


def placed(purpose: str = "lease", amount: int = 10) -> Holds:
    """One open hold, number 1."""
    holds, _ = folded([event("placed", 1, amount, purpose, now=("open", 0, 0))])
    return holds


@pytest.mark.parametrize(
    "row",
    [
        charge(UUID(int=1), 11),
        charge(UUID(int=1), 1, user=USER + 1),
        charge(UUID(int=1), 1, writer=OTHER),
        charge(UUID(int=2), 1),
        capture(1, 1, writer=OTHER),
        capture(2, 1, writer=OWN),
    ],
)
def test_a_lease_does_not_bear_everything(row: JournalRow) -> None:
    assert placed().take(row).broken_rule is not None


def test_a_lease_is_spent_in_parts_and_anything_else_once() -> None:
    part = charge(UUID(int=1), 4)
    lease = placed()
    assert [lease.take(part).held, lease.take(part).held] == [-4, -4]
    assert lease.take(part).broken_rule is not None
    once = placed("request")
    assert once.take(part).held == -10
    assert once.take(part).broken_rule is not None
    assert placed("payout").take(part).broken_rule is not None


def test_nothing_is_held_for_what_is_paid_without_a_hold() -> None:
    assert Holds().take(charge(NO_HOLD, 5)).held == 0


def test_what_was_never_placed_is_named_at_the_cut() -> None:
    holds, _ = folded([capture(3, 1, writer=OTHER)])
    wrong = holds.at_cut()
    assert wrong is not None
    assert (wrong.rule, wrong.writer) == ("row", OTHER)


def test_a_hold_that_ended_otherwise_is_named() -> None:
    now = ("captured", 3, 7)
    holds = placed()
    holds.take(charge(UUID(int=1), 4))
    holds.take(event("voided", 1, 10, "lease", now=now))
    assert holds.wrong is not None
    assert (holds.wrong.rule, holds.wrong.row_id) == ("hold is its events", str(UUID(int=1)))
