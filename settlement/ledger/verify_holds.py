"""What history says of each hold: placed, spent once or in parts, given back. Pure.

Only holds that are open are remembered: one that has ended is compared with what the books keep of
it and forgotten. The books may already have told it when its first row was read; if not, it is
looked up (`Holds.ended`). Those still open are compared at a cut, as balances are.

Its own writer's rows come in their order. Another writer may end a hold for money on its way out,
or a lease whose writer is gone; such rows come roughly in the order of time, so one may come before
the row that placed the hold, and a lease's last charges after the row that ended it. Which of these
were really so is known when all writers stand at one cut.
"""

from dataclasses import dataclass, field
from typing import Final, NamedTuple
from uuid import UUID

from settlement.ledger.verify_chain import Where, Wrong, at, where
from settlement.ledger.verify_rows import NO_HOLD, ChargeRow, HoldRow, JournalRow, TxnRow

# State, spent, given back: as a hold says of itself.
Standing = tuple[str, int, int]
RULE: Final = "hold is its events"
_UNBORNE: Final = "its hold does not bear it"
_LEASE: Final = "lease"


@dataclass(kw_only=True, slots=True)
class Held:
    """A hold as its rows made it; until the one that placed it came, only what was done to it."""

    last: Where
    writer: int | None = None  # who placed it
    account: int = 0
    amount: int = 0
    purpose: str = ""
    captured: int = 0
    spends: int = 0
    voided: bool = False
    by_another: bool = False  # it was voided by another writer: its own may still have rows
    told: Standing | None = None  # how it ended, as the books keep it
    began_before: bool = False  # before what is checked: what was spent of it then is not known

    @property
    def ended(self) -> bool:
        """Whether nothing is set aside any more: only a lease is spent in parts."""
        return self.voided or (self.spends > 0 and self.purpose != _LEASE)

    @property
    def closed(self) -> bool:
        """Whether no row may spend it any more, for all that is known."""
        return self.ended and not self.by_another

    @property
    def set_aside(self) -> int:
        """What of the account may not be spent otherwise, in microunits."""
        return 0 if self.writer is None or self.ended else self.amount - self.captured

    @property
    def standing(self) -> Standing:
        """What the hold should say."""
        if not self.ended:
            return "open", self.captured, 0
        state = "voided" if self.voided and not self.captured else "captured"
        return state, self.captured, self.amount - self.captured


class Effect(NamedTuple):
    """What a row did to what is set aside of an account; or what is wrong with it."""

    account: int = 0
    held: int = 0
    broken_rule: str | None = None


_NOTHING: Final = Effect()
_BROKEN: Final = Effect(broken_rule=_UNBORNE)


@dataclass(kw_only=True)
class Holds:
    """All holds that history left open up to now."""

    open: dict[UUID, Held] = field(default_factory=dict[UUID, Held])
    # Named by other writers' rows: not placed yet, or a lease whose own rows may still come.
    unsure: set[UUID] = field(default_factory=set[UUID])
    # Ended when the books had not told how yet; to be looked up.
    ended: dict[UUID, Standing] = field(default_factory=dict[UUID, Standing])
    # What an ended hold says otherwise.
    wrong: Wrong | None = None

    def take(self, row: JournalRow) -> Effect:
        """Follow the holds by one row."""
        if isinstance(row, ChargeRow):
            return self._charge(row)
        if isinstance(row, HoldRow):
            return self._place(row) if row.event == "placed" else self._void(row)
        if isinstance(row, TxnRow) and row.hold_id is not None:
            return self._capture(row, row.hold_id, row.hold_captured or 0)
        return _NOTHING

    def at_cut(self) -> Wrong | None:
        """All writers stand at one cut: what has not come by now does not come."""
        for hold_id in sorted(self.unsure):
            held = self.open[hold_id]
            if held.writer is None:
                return at(held.last, "row", "its hold was not open")
            self._end(hold_id, held)
        self.unsure.clear()
        return self.wrong

    def remember(  # one parameter per thing that is known of it
        self, hold_id: UUID, *, writer: int, account: int, amount: int, purpose: str
    ) -> None:
        """A hold that was placed before what is checked, and is spent or ended in it."""
        self.open[hold_id] = Held(
            last=(writer, 0, 0, str(hold_id)),
            writer=writer,
            account=account,
            amount=amount,
            purpose=purpose,
            began_before=True,
        )

    def unknown(self, row: JournalRow) -> UUID | None:
        """The hold that a row spends or ends, when it is none that is open here."""
        hold_id: UUID | None = None
        if isinstance(row, ChargeRow | TxnRow):
            hold_id = row.hold_id
        elif isinstance(row, HoldRow) and row.event != "placed":
            hold_id = row.row_id
        return None if hold_id in (NO_HOLD, None) or hold_id in self.open else hold_id

    def _place(self, row: HoldRow) -> Effect:
        held = self.open.setdefault(row.row_id, Held(last=where(row)))
        self.unsure.discard(row.row_id)
        held.writer, held.account = row.writer_id, row.account or 0
        held.amount, held.purpose = row.amount or 0, row.purpose or ""
        if (row.hold_writer, row.hold_epoch) != (row.writer_id, row.epoch):
            self._disagree(row.row_id, "it says another writer or epoch than who placed it")
        held.told = _told(row) or held.told
        if held.voided and held.purpose == _LEASE:
            self._may_go_on(row.row_id, held)
        if held.captured > held.amount or held.spends > 1:
            return _BROKEN
        return self._changed(row.row_id, held, 0)

    def _charge(self, row: ChargeRow) -> Effect:
        held = self.open.get(row.hold_id)
        if held is None:
            return _NOTHING if row.hold_id == NO_HOLD else _BROKEN
        if held.writer != row.writer_id or held.account != row.user_account:
            return _BROKEN
        if held.closed or held.purpose == "payout":
            return _BROKEN
        return self._spend(row.hold_id, held, row.gross)

    def _capture(self, row: TxnRow, hold_id: UUID, amount: int) -> Effect:
        held = self._of_any_writer(row, hold_id, row.hold_writer)
        if held is None or held.closed:
            return _BROKEN
        if held.purpose != "payout" and held.writer not in (None, row.writer_id):
            return _BROKEN
        return self._spend(hold_id, held, amount)

    def _spend(self, hold_id: UUID, held: Held, amount: int) -> Effect:
        before = held.set_aside
        held.captured += amount
        held.spends += 1
        if held.writer is not None and held.captured > held.amount:
            return _BROKEN
        if held.purpose == _LEASE and not held.voided:
            return Effect(held.account, -amount)  # nothing ends by it
        return self._changed(hold_id, held, before)

    def _void(self, row: HoldRow) -> Effect:
        held = self._of_any_writer(row, row.row_id, row.hold_writer)
        if held is None or held.ended:
            return _BROKEN
        told = _told(row)
        if told is not None:
            _adopt(held, told)
        before = held.set_aside
        held.voided, held.told = True, told
        if held.purpose == _LEASE and held.writer != row.writer_id:
            self._may_go_on(row.row_id, held)
        return self._changed(row.row_id, held, before)

    def _may_go_on(self, hold_id: UUID, held: Held) -> None:
        """Another writer ended a lease: those of its own rows that came before may come later."""
        held.by_another = True
        self.unsure.add(hold_id)

    def _of_any_writer(self, row: JournalRow, hold_id: UUID, writer: int | None) -> Held | None:
        """The hold; for another writer's row also one that nobody placed yet."""
        held = self.open.get(hold_id)
        if held is None and writer != row.writer_id:
            held = self.open[hold_id] = Held(last=where(row))
            self.unsure.add(hold_id)
        return held

    def _changed(self, hold_id: UUID, held: Held, before: int) -> Effect:
        effect = Effect(held.account, held.set_aside - before)
        if held.ended and held.writer is not None and hold_id not in self.unsure:
            self._end(hold_id, held)
        return effect

    def _end(self, hold_id: UUID, held: Held) -> None:
        del self.open[hold_id]
        if held.told is None:
            self.ended[hold_id] = held.standing
        else:
            self.compare(hold_id, held.standing, held.told)

    def compare_open(self, hold_id: UUID, told: Standing | None) -> None:
        """Hold what the books keep of a hold that is open here against what history says."""
        held = self.open[hold_id]
        if told is not None:
            _adopt(held, told)
        self.compare(hold_id, held.standing, told)

    def compare(self, hold_id: UUID, standing: Standing, told: Standing | None) -> None:
        """Hold what the books keep of a hold against what history says; see `wrong`."""
        if told is None:
            self._disagree(hold_id, "it is gone")
        elif told != standing:
            detail = "it says {} ({} spent, {} given back), its events say {} ({}, {})"
            self._disagree(hold_id, detail.format(*told, *standing))

    def _disagree(self, hold_id: UUID, detail: str) -> None:
        self.wrong = self.wrong or Wrong(rule=RULE, detail=detail, row_id=str(hold_id))


def _adopt(held: Held, told: Standing) -> None:
    """What was spent of a lease before what is checked is taken from the books."""
    if held.began_before and held.purpose == _LEASE:
        held.captured = max(held.captured, told[1])


def _told(row: HoldRow) -> Standing | None:
    """How the hold ended, where it had when the row was read: that never changes again."""
    if row.state is None or row.state == "open":
        return None
    return row.state, row.captured or 0, row.released or 0
