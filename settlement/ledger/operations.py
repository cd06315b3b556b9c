"""What one can ask of the books, and what they answer. Pure.

Four verbs move money: `Post` moves it at once, `Hold` sets some aside, `Capture` (or `Charge`, its
compact form for a paid request) spends what was set aside, `Void` gives it back. The caller names
each operation; the same name with the same content again is `REPLAYED`, with other content
`CONFLICT`. Everything a caller can cause is an answer (`Outcome`), never an exception, so that one
bad operation does not take down the batch it travels in.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import NewType
from uuid import UUID

from settlement.money import TREASURY_SPLIT_BPS, MicroUsdc, Slot

AccountName = NewType("AccountName", str)


class TransactionKind(StrEnum):
    """What happened, in the words of the business."""

    DEPOSIT_CREDITED = "deposit_credited"
    DEPOSIT_SUSPENDED = "deposit_suspended"
    MOVEMENT_QUARANTINED = "movement_quarantined"
    BOND_RECEIVED = "bond_received"  # a bond-coded deposit, still in the till
    BOND_POSTED = "bond_posted"
    BOND_FUNDED = "bond_funded"
    BOND_RELEASED = "bond_released"
    BOND_HANDED_OVER = "bond_handed_over"  # from or to the operator it counts for
    BOND_SEIZED = "bond_seized"
    VAULTS_MOVED = "vaults_moved"  # from one of our vaults to the other; nobody is owed less
    WITHDRAWAL_PAID = "withdrawal_paid"
    OUTFLOW_UNEXPLAINED = "outflow_unexplained"
    ADJUSTMENT = "adjustment"
    SUSPENSE_ASSIGNED = "suspense_assigned"
    QUARANTINE_ASSIGNED = "quarantine_assigned"
    CARD_TOPPED_UP = "card_topped_up"
    CARD_SETTLED = "card_settled"  # what the card company owed us is in the bank
    REFUND_POOL_PAID = "refund_pool_paid"
    REFUND_POOL_BACKED = "refund_pool_backed"  # the treasury pays what seizures do not cover
    DRAWINGS_PAID = "drawings_paid"
    OUTFLOW_EXPLAINED = "outflow_explained"
    OUTFLOW_WRITTEN_OFF = "outflow_written_off"
    RECOVERED = "recovered"
    DEBT_COLLECTED = "debt_collected"
    LATE_CAPTURE = "late_capture"  # a request settled after its hold was given back
    REQUEST_REFUNDED = "request_refunded"
    UPSTREAM_SERVED = "upstream_served"  # a request that no operator served
    UPSTREAM_PAID = "upstream_paid"
    UPSTREAM_COST_CORRECTED = "upstream_cost_corrected"
    CHILD_SWEPT = "child_swept"  # one writer's part, moved into the account it is a part of
    PAYER_FUNDED = "payer_funded"  # lamports into a fee payer
    PAYER_DRAWN = "payer_drawn"  # lamports taken out of one again
    NETWORK_FEE_PAID = "network_fee_paid"
    RENT_PAID = "rent_paid"
    RENT_RETURNED = "rent_returned"
    REVERSAL = "reversal"


class HoldPurpose(StrEnum):
    """Why money is set aside: for one request, for many of one user, or for a payout asked for.

    Only a lease is spent in parts, and only a lease expires: once its time is over and its writer
    is fenced, anybody may give back what is left of it.
    """

    REQUEST = "request"
    LEASE = "lease"
    PAYOUT = "payout"


@dataclass(frozen=True, kw_only=True, slots=True)
class Transfer:
    """An amount from one account to another; balanced by its very shape."""

    debit: AccountName
    credit: AccountName
    amount_microusdc: MicroUsdc


@dataclass(frozen=True, kw_only=True)
class Post:
    """Move money at once: all transfers of one business event, or none."""

    transaction_id: UUID
    kind: TransactionKind
    transfers: tuple[Transfer, ...]
    event_at: datetime
    effective_on: date
    actor: str
    slot: Slot | None = None
    external_ref: str | None = None  # unique in the books: a movement key, an invoice number
    reverses: UUID | None = None  # the transaction that this one undoes; at most once
    refunds: UUID | None = None  # the request whose price this gives back to its user, or a part
    reason: str | None = None
    meta: Mapping[str, str | int] = field(default_factory=dict[str, str | int])


@dataclass(frozen=True, kw_only=True, slots=True)
class Hold:
    """Set money of an account aside until it is captured or voided; a lease has an end in time."""

    hold_id: UUID
    account: AccountName
    amount_microusdc: MicroUsdc
    purpose: HoldPurpose
    expires_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Capture:
    """Spend a hold by a post that debits its account; what the post does not use is given back.

    Of a lease the rest stays set aside.
    """

    hold_id: UUID
    post: Post


@dataclass(frozen=True, kw_only=True, slots=True)
class Charge:
    """Settle one paid request against a hold: user pays gross, operator and treasury share it.

    `request_id` is a version-7 UUID: its time must lie within the days the books keep at hand. With
    `hold_id` None it is paid from what the user has available. A gross of 0 settles as a row of 0.
    """

    request_id: UUID
    hold_id: UUID | None
    user: AccountName
    operator: AccountName
    gross_microusdc: MicroUsdc
    split_bps: int = TREASURY_SPLIT_BPS


@dataclass(frozen=True, kw_only=True, slots=True)
class Void:
    """Give back what a hold still sets aside, and end it."""

    hold_id: UUID
    reason: str


Operation = Post | Hold | Capture | Charge | Void


class Code(StrEnum):
    """How an operation ended."""

    APPLIED = "applied"
    REPLAYED = "replayed"  # the same operation had been applied before: success
    CONFLICT = "conflict"  # the name was used for something else
    INSUFFICIENT = "insufficient"  # a floored account would fall below zero, holds included
    ACCOUNT_UNKNOWN = "account_unknown"
    ACCOUNT_CLOSED = "account_closed"
    HOLD_UNKNOWN = "hold_unknown"
    HOLD_CLOSED = "hold_closed"  # captured or voided before, by another operation
    HOLD_EXCEEDED = "hold_exceeded"  # the capture is larger than what was set aside
    OVERFLOW = "overflow"  # a turnover would pass 2^63 - 1
    ASSET_MISMATCH = "asset_mismatch"  # a transfer between accounts of two assets
    OUTSIDE_WINDOW = "outside_window"  # not a version-7 id, or of a day that is not kept at hand
    META_TOO_LARGE = "meta_too_large"
    REQUEST_UNKNOWN = "request_unknown"  # nobody paid for what is to be refunded, or long ago
    REFUND_EXCEEDED = "refund_exceeded"  # all refunds together would pass what was paid
    MALFORMED = "malformed"  # `encode.check` refuses it before it gets there


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """The answer to one operation, in the order asked.

    `available_microusdc` is what the paying account had left after it (credits − debits − holds),
    for `Hold`, `Capture` and `Void`; None for the others and for failures, but for what is
    `INSUFFICIENT`: then it is what there was. `balance_microusdc` is what the user of a `Charge`
    had after it (credits − debits). A replay tells what was told the first time.
    """

    code: Code
    available_microusdc: int | None = None
    balance_microusdc: int | None = None

    @property
    def done(self) -> bool:
        """Whether the operation's effect is in the books, now or from before."""
        return self.code in (Code.APPLIED, Code.REPLAYED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """The last batch of a writer's chain: its number, and the hash that the next one builds on."""

    seq: int
    hash: bytes


@dataclass(frozen=True, kw_only=True)
class Writer:
    """A posting process: its id, the epoch that fences older lives of it, its treasury child.

    The head is the last batch of its chain when it was opened.
    """

    writer_id: int
    name: str
    epoch: int
    treasury: AccountName
    head: Head


@dataclass(frozen=True, kw_only=True)
class Balance:
    """Turnovers and holds of an account, in microunits."""

    account: AccountName
    debits_microusdc: int
    credits_microusdc: int
    held_microusdc: int
    version: int

    @property
    def net_microusdc(self) -> int:
        """Credits − debits: what a liability account owes; negative for an asset that holds."""
        return self.credits_microusdc - self.debits_microusdc

    @property
    def available_microusdc(self) -> int:
        """What may still be spent: credits − debits − holds."""
        return self.net_microusdc - self.held_microusdc
