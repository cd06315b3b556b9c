"""What the journal is made of when it is told to others: balanced transactions. Pure.

A transaction is one row of a writer's batch and all its legs. Debits are positive, credits
negative; amounts are whole units of the account's asset.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from settlement.errors import Refused
from settlement.ledger.accounts import Side
from settlement.money import Slot


class NoSuchDays(Refused):
    """The first day is after the last."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """An account, as reports need it."""

    account_id: int
    name: str
    side: Side
    asset: str
    gl_code: str

    def natural(self, dr: int, cr: int) -> int:
        """The balance as the account's side counts it: what is there, owed, or earned."""
        return dr - cr if self.side in (Side.ASSET, Side.EXPENSE) else cr - dr


@dataclass(frozen=True, kw_only=True, slots=True)
class Leg:
    """One account's part in a transaction; `entry` is its number in that account's history."""

    account: Account
    entry: int
    dr: int
    cr: int

    @property
    def units(self) -> int:
        """Debits positive, credits negative."""
        return self.dr - self.cr


@dataclass(frozen=True, kw_only=True, slots=True)
class Transaction:
    """Everything one cause moved. Its place (writer, batch, row) is its name."""

    writer_id: int
    batch_seq: int
    ord: int
    kind: str
    cause_id: UUID
    external_ref: str | None
    slot: Slot | None
    event_at: datetime
    recorded_at: datetime
    effective_on: date
    legs: tuple[Leg, ...]

    @property
    def place(self) -> str:
        """`writer.batch.row`."""
        return f"{self.writer_id}.{self.batch_seq}.{self.ord}"


@dataclass(frozen=True, kw_only=True)
class Head:
    """Up to which of its batches a writer is read."""

    writer_id: int
    name: str
    seq: int


Cut = tuple[Head, ...]


@dataclass(frozen=True, kw_only=True)
class Days:
    """Which accounting days are told, both included; None is without an end."""

    first: date | None = None
    last: date | None = None

    def __post_init__(self) -> None:
        """Raises `NoSuchDays`."""
        if self.first is not None and self.last is not None and self.first > self.last:
            raise NoSuchDays(first=self.first, last=self.last)

    def hold(self, day: date) -> bool:
        """Whether a day is one of them."""
        return (self.first is None or self.first <= day) and (self.last is None or day <= self.last)


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What an account had before the first day that is told; debits positive."""

    account: Account
    units: int


@dataclass(frozen=True, kw_only=True)
class Opening:
    """What a telling of the journal begins with.

    `first_day` is the first of the days told, or else of the books; None when nothing is in them.
    """

    cut: Cut
    days: Days
    first_day: date | None
    accounts: tuple[Account, ...]  # all that are told of, by name
    standings: tuple[Standing, ...]  # those that were not at zero, by name


def sums_by_asset(parts: Sequence[Leg | Standing]) -> dict[str, int]:
    """What the parts add up to; all zeros when they balance."""
    sums: defaultdict[str, int] = defaultdict(int)
    for part in parts:
        sums[part.account.asset] += part.units
    return dict(sums)
