"""Rows of the journal as the check of the books reads them. Pure.

Each knows the text that its batch's hash was made of and the entries it made in accounts, so that
the check never has to ask what sort of row it holds; what rows do to holds is `verify_holds`'s.
They are tuples in the order of their queries' columns: there are many of them.
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Final, NamedTuple, Protocol
from uuid import UUID

from settlement.ledger import verify_hash

# A charge that names this hold was paid without one.
NO_HOLD: Final = UUID(int=0)


class Movement(NamedTuple):
    """One entry of one account; amounts in microunits, `balance_after` where the row states it."""

    account: int
    entry: int
    dr: int
    cr: int
    balance_after: int | None = None


class JournalRow(Protocol):
    """Where a row stands, in which batch of which writer and as which of its rows; what it did."""

    @property
    def row_id(self) -> UUID: ...
    @property
    def writer_id(self) -> int: ...
    @property
    def batch_seq(self) -> int: ...
    @property
    def ord(self) -> int: ...

    @property
    def text(self) -> str:
        """What it contributes to its batch's hash: all that stands in it, in a fixed order."""
        ...

    @property
    def stamp(self) -> tuple[int, datetime] | None:
        """The epoch and the time it says it is of; None where only its batch says so."""
        ...

    @property
    def left(self) -> tuple[int, int] | None:
        """An account and what could still be spent of it after the row, where it states that."""
        ...

    @property
    def broken_rule(self) -> str | None:
        """Which rule the row breaks by itself; None when it breaks none."""
        ...

    def movements(self, treasury: int) -> Sequence[Movement]:
        """The entries it made, in their order; `treasury` is its writer's account."""
        ...


class ChargeRow(NamedTuple):
    """A settled request."""

    row_id: UUID
    writer_id: int
    batch_seq: int
    ord: int
    hold_id: UUID
    user_account: int
    operator_account: int
    gross: int
    operator_share: int
    treasury_share: int
    split_bps: int
    user_entry: int
    operator_entry: int
    treasury_entry: int
    user_balance_after: int

    @property
    def text(self) -> str:
        """All columns, parted by bars."""
        return (
            f"charge/2|{self.row_id}|{self.hold_id}|{self.user_account}|{self.operator_account}"
            f"|{self.gross}|{self.operator_share}|{self.treasury_share}|{self.split_bps}"
            f"|{self.user_entry}|{self.operator_entry}|{self.treasury_entry}"
            f"|{self.user_balance_after}|{self.writer_id}|{self.batch_seq}|{self.ord}"
        )

    @property
    def stamp(self) -> tuple[int, datetime] | None:
        """None: both stand in its batch alone."""
        return None

    @property
    def left(self) -> tuple[int, int] | None:
        """None: it states the balance, not what is set aside of it."""
        return None

    @property
    def broken_rule(self) -> str | None:
        """Shares add up and are those of the split."""
        if self.gross != self.operator_share + self.treasury_share or self.gross < 0:
            return "the shares are not the gross"
        if self.treasury_share != self.gross * self.split_bps // 10_000:
            return "the shares are not the split"
        return None

    def movements(self, treasury: int) -> Sequence[Movement]:
        """The user pays, the operator and the writer's treasury earn."""
        paid, after = self.gross, self.user_balance_after
        return (
            Movement(self.user_account, self.user_entry, paid, 0, after),
            Movement(self.operator_account, self.operator_entry, 0, self.operator_share),
            Movement(treasury, self.treasury_entry, 0, self.treasury_share),
        )


class HoldRow(NamedTuple):
    """A hold that was placed or given back; what is the hold's own is None where it is gone."""

    row_id: UUID
    writer_id: int
    batch_seq: int
    ord: int
    epoch: int
    recorded_at: datetime
    event: str
    reason: str | None
    left_over: int
    account: int | None
    amount: int | None
    purpose: str | None
    expires_at: datetime | None
    hold_writer: int | None
    hold_epoch: int | None
    # As the hold stood when this row was read, which may be later.
    state: str | None
    captured: int | None
    released: int | None

    @property
    def text(self) -> str:
        """All columns and the hold's own, parted by bars; a hold that is gone leaves gaps."""
        reason = "-" if self.reason is None else verify_hash.json_text(self.reason)
        expires = "-" if self.expires_at is None else verify_hash.epoch_text(self.expires_at)
        return verify_hash.barred(
            *("hold/2", self.row_id, self.event, self.account, self.amount, self.purpose),
            *(expires, reason, self.left_over),
            *(self.writer_id, self.epoch, self.batch_seq, self.ord),
        )

    @property
    def stamp(self) -> tuple[int, datetime] | None:
        """As it says."""
        return self.epoch, self.recorded_at

    @property
    def left(self) -> tuple[int, int] | None:
        """Of the hold's account."""
        return None if self.account is None else (self.account, self.left_over)

    @property
    def broken_rule(self) -> str | None:
        """The hold exists."""
        return "its hold is gone" if self.amount is None else None

    def movements(self, treasury: int) -> Sequence[Movement]:
        """None: what is set aside is still the account's."""
        return ()


class TxnRow(NamedTuple):
    """Any other business event with its transfers: (debit, credit, amount, their two entries)."""

    row_id: UUID
    writer_id: int
    batch_seq: int
    ord: int
    epoch: int
    recorded_at: datetime
    kind: str
    slot: int | None
    event_at: datetime
    effective_on: date
    external_ref: str | None
    reverses: UUID | None
    refunds: UUID | None
    hold_id: UUID | None
    hold_captured: int | None
    left_over: int | None
    actor: str
    reason: str | None
    meta: str  # JSON as the database writes it, which is one text for one content
    content_sha256: bytes
    # The hold's own, None where there is none or where it is gone.
    hold_account: int | None
    hold_amount: int | None
    hold_writer: int | None
    transfers: tuple[tuple[int, int, int, int, int], ...] = ()

    @property
    def text(self) -> str:
        """A JSON array of all columns and of all transfers."""
        as_json = verify_hash.json_text
        parts = (
            *('"txn/1"', as_json(self.row_id), as_json(self.kind), as_json(self.slot)),
            verify_hash.epoch_text(self.event_at),
            verify_hash.epoch_text(self.recorded_at),
            *(as_json(self.effective_on.isoformat()), as_json(self.external_ref)),
            *(as_json(self.reverses), as_json(self.refunds)),
            *(as_json(self.hold_id), as_json(self.hold_captured)),
            *(as_json(self.left_over), as_json(self.actor), as_json(self.reason), self.meta),
            *(as_json(self.content_sha256.hex()), as_json(self.writer_id), as_json(self.epoch)),
            *(as_json(self.batch_seq), as_json(self.ord)),
            as_json([list(transfer) for transfer in self.transfers] or None),
        )
        return f"[{', '.join(parts)}]"

    @property
    def stamp(self) -> tuple[int, datetime] | None:
        """As it says."""
        return self.epoch, self.recorded_at

    @property
    def left(self) -> tuple[int, int] | None:
        """Of the hold's account, where it captured one."""
        if self.hold_account is None or self.left_over is None:
            return None
        return self.hold_account, self.left_over

    @property
    def broken_rule(self) -> str | None:
        """It moves something, and out of its hold just what it says."""
        if not self.transfers or any(amount <= 0 for _, _, amount, _, _ in self.transfers):
            return "it moves nothing"
        if self.hold_id is None:
            return None
        taken = sum(amount for debit, _, amount, *_ in self.transfers if debit == self.hold_account)
        if taken != self.hold_captured or taken > (self.hold_amount or 0):
            return "its hold does not bear it"
        return None

    def movements(self, treasury: int) -> Sequence[Movement]:
        """Two for each transfer."""
        return [
            movement
            for debit, credit, amount, debit_entry, credit_entry in self.transfers
            for movement in (
                Movement(debit, debit_entry, amount, 0),
                Movement(credit, credit_entry, 0, amount),
            )
        ]
