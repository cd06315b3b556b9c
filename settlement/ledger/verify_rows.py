"""Rows of the journal as the check of the books reads them. Pure.

Each knows the text that its batch's hash was made of, the entries it made in accounts and what it
set aside or gave back, so that the check never has to ask what sort of row it holds.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from settlement.ledger import verify_hash


@dataclass(frozen=True, kw_only=True, slots=True)
class Movement:
    """One entry of one account; amounts in microunits, `balance_after` where the row states it."""

    account: int
    entry: int
    dr: int
    cr: int
    balance_after: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class JournalRow:
    """Where a row stands: in which batch of which writer, and as which of its rows."""

    row_id: UUID
    writer_id: int
    epoch: int
    batch_seq: int
    ord: int
    recorded_at: datetime
    # The hold that it opens or ends; None where there is none, or where it is gone.
    hold_account: int | None
    hold_amount: int | None

    @property
    def stamps(self) -> tuple[object, ...]:
        """What every row's text ends with."""
        moment = verify_hash.epoch_text(self.recorded_at)
        return self.writer_id, self.epoch, self.batch_seq, self.ord, moment

    @property
    def text(self) -> str:
        """What it contributes to its batch's hash: all that stands in it, in a fixed order."""
        raise NotImplementedError

    @property
    def movements(self) -> Iterator[Movement]:
        """The entries it made, in their order."""
        return iter(())

    @property
    def held(self) -> int:
        """By how much it changed what is set aside of `hold_account`, in microunits."""
        return -(self.hold_amount or 0)

    @property
    def available_after(self) -> int | None:
        """What its account could still spend after it, as it states."""
        raise NotImplementedError

    @property
    def treasury(self) -> int | None:
        """The treasury account that it paid into, if it is a charge."""
        return None

    @property
    def broken_rule(self) -> str | None:
        """Which rule the row breaks by itself; None when it breaks none."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True, slots=True)
class ChargeRow(JournalRow):
    """A settled request."""

    user_account: int
    operator_account: int
    treasury_account: int
    gross: int
    operator_share: int
    treasury_share: int
    split_bps: int
    user_entry: int
    operator_entry: int
    treasury_entry: int
    user_balance_after: int
    user_available_after: int

    @property
    def text(self) -> str:
        """All columns, parted by bars."""
        return verify_hash.barred(
            "charge/1",
            self.row_id,
            *(self.user_account, self.operator_account, self.treasury_account),
            *(self.gross, self.operator_share, self.treasury_share, self.split_bps),
            *(self.user_entry, self.operator_entry, self.treasury_entry),
            *(self.user_balance_after, self.user_available_after),
            *self.stamps,
        )

    @property
    def movements(self) -> Iterator[Movement]:
        """The user pays, the operator and the treasury earn."""
        yield Movement(
            account=self.user_account,
            entry=self.user_entry,
            dr=self.gross,
            cr=0,
            balance_after=self.user_balance_after,
        )
        for account, entry, share in (
            (self.operator_account, self.operator_entry, self.operator_share),
            (self.treasury_account, self.treasury_entry, self.treasury_share),
        ):
            yield Movement(account=account, entry=entry, dr=0, cr=share)

    @property
    def available_after(self) -> int | None:
        """Of the user."""
        return self.user_available_after

    @property
    def treasury(self) -> int | None:
        """The one that it paid into."""
        return self.treasury_account

    @property
    def broken_rule(self) -> str | None:
        """The shares are the gross, split as it says; the hold was the user's and large enough."""
        if self.gross != self.operator_share + self.treasury_share or self.gross < 0:
            return "the shares are not the gross"
        if self.treasury_share != self.gross * self.split_bps // 10_000:
            return "the shares are not the split"
        if self.hold_account != self.user_account or self.gross > (self.hold_amount or 0):
            return "the user's hold does not bear it"
        return None


@dataclass(frozen=True, kw_only=True, slots=True)
class HoldRow(JournalRow):
    """A hold that was placed or given back."""

    event: str
    reason: str | None
    purpose: str | None
    left_over: int

    @property
    def text(self) -> str:
        """All columns and the hold's own, parted by bars; a hold that is gone leaves gaps."""
        reason = "-" if self.reason is None else verify_hash.json_text(self.reason)
        return verify_hash.barred(
            *("hold/1", self.row_id, self.event, self.hold_account, self.hold_amount),
            *(self.purpose, reason, self.left_over),
            *self.stamps,
        )

    @property
    def held(self) -> int:
        """The amount when it was placed, less the amount when it was given back."""
        amount = self.hold_amount or 0
        return amount if self.event == "placed" else -amount

    @property
    def available_after(self) -> int | None:
        """Of the hold's account."""
        return self.left_over

    @property
    def broken_rule(self) -> str | None:
        """The hold exists."""
        return "its hold is gone" if self.hold_amount is None else None


@dataclass(frozen=True, kw_only=True, slots=True)
class TxnRow(JournalRow):
    """Any other business event with its transfers: (debit, credit, amount, their two entries)."""

    kind: str
    slot: int | None
    event_at: datetime
    effective_on: date
    external_ref: str | None
    reverses: UUID | None
    hold_id: UUID | None
    hold_captured: int | None
    left_over: int | None
    actor: str
    reason: str | None
    meta: str  # JSON as the database writes it, which is one text for one content
    content_sha256: bytes
    transfers: tuple[tuple[int, int, int, int, int], ...]

    @property
    def text(self) -> str:
        """A JSON array of all columns and of all transfers."""
        as_json = verify_hash.json_text
        parts = (
            *('"txn/1"', as_json(self.row_id), as_json(self.kind), as_json(self.slot)),
            verify_hash.epoch_text(self.event_at),
            verify_hash.epoch_text(self.recorded_at),
            *(as_json(self.effective_on.isoformat()), as_json(self.external_ref)),
            *(as_json(self.reverses), as_json(self.hold_id), as_json(self.hold_captured)),
            *(as_json(self.left_over), as_json(self.actor), as_json(self.reason), self.meta),
            *(as_json(self.content_sha256.hex()), as_json(self.writer_id), as_json(self.epoch)),
            *(as_json(self.batch_seq), as_json(self.ord)),
            as_json([list(transfer) for transfer in self.transfers] or None),
        )
        return f"[{', '.join(parts)}]"

    @property
    def movements(self) -> Iterator[Movement]:
        """Two for each transfer."""
        for debit, credit, amount, debit_entry, credit_entry in self.transfers:
            yield Movement(account=debit, entry=debit_entry, dr=amount, cr=0)
            yield Movement(account=credit, entry=credit_entry, dr=0, cr=amount)

    @property
    def available_after(self) -> int | None:
        """Of the hold's account, where it captured one."""
        return self.left_over

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
