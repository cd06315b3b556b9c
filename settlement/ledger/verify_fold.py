"""History, folded row by row: what each account must have, and whether each batch is whole. Pure.

Batches of one writer come in the order of their chain; those of different writers come roughly in
the order of time. Nothing depends on that order but how soon a thing is seen: each account numbers
its entries, and an entry that comes before its predecessors waits for them.

A batch's root says that something in it is not what was written, not which row. So rules come
first that point at one row, and only then the root; where the root alone is wrong, the first row
whose account could spend something else than it states is named, or the only one there is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from settlement.ledger import verify_hash
from settlement.ledger.verify_rows import JournalRow, Movement


@dataclass(frozen=True, kw_only=True)
class Wrong:
    """The first thing found wrong: a row, a batch or an account, as far as it can be named."""

    rule: str
    detail: str
    writer: int | None = None
    batch: int | None = None
    ord: int | None = None
    row_id: str | None = None
    account: str | None = None


@dataclass(frozen=True, kw_only=True)
class Head:
    """A writer as one snapshot showed it."""

    writer_id: int
    name: str
    epoch: int
    head_seq: int
    head_hash: bytes
    treasury_account: int


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One commit of a writer, without its rows."""

    writer_id: int
    seq: int
    epoch: int
    n: int
    root: bytes
    prev_hash: bytes
    hash: bytes
    created_at: datetime


@dataclass(kw_only=True)
class Place:
    """How far a writer's chain has been followed, and its last link."""

    seq: int
    hash: bytes


# Balance change (dr, cr), the balance it states, and the row: (writer, batch, ord, id).
Parked = tuple[int, int, int | None, tuple[int, int, int, str]]
Where = tuple[int, int, int, str]


@dataclass(kw_only=True)
class Account:
    """What history says of an account so far; amounts in microunits."""

    dr: int = 0
    cr: int = 0
    held: int = 0
    entries: int = 0
    asset: str | None = None  # known once it was compared with the balance that the books keep
    parked: dict[int, Parked] = field(default_factory=dict[int, Parked])


_NUMBER: Final = "entries are numbered"


class Fold:
    """All of history that was read up to now."""

    def __init__(self) -> None:
        self.accounts: dict[int, Account] = {}
        self.places: dict[int, Place] = {}
        self.batches = 0
        self.rows = 0

    def place(self, head: Head) -> Place:
        """How far this writer's chain has been followed."""
        first = Place(seq=0, hash=verify_hash.first_link(head.name))
        return self.places.setdefault(head.writer_id, first)

    def account(self, account_id: int) -> Account:
        """What history says of this account."""
        return self.accounts.setdefault(account_id, Account())

    def take(self, head: Head, batch: Batch, rows: Sequence[JournalRow]) -> Wrong | None:
        """Follow a writer by one batch, or say what is wrong with it (then this fold is spent)."""
        place = self.place(head)
        ordered = sorted(rows, key=lambda row: row.ord)
        wrong = _linked(batch, place) or _counted(batch, ordered)
        if wrong is not None:
            return wrong
        whole = verify_hash.merkle_root([verify_hash.leaf(r.text) for r in ordered]) == batch.root
        suspect: JournalRow | None = None
        for row in ordered:
            wrong = _stamped(head, batch, row) or self._apply(row)
            if suspect is None and (wrong is not None or not self._could_spend(row)):
                suspect = row
            if wrong is not None and (whole or suspect is row):
                return wrong
            if wrong is not None:
                break
        place.seq, place.hash = batch.seq, batch.hash
        self.batches += 1
        self.rows += len(ordered)
        return _hashed(batch) if whole else _not_whole(batch, ordered, suspect)

    def gap(self) -> Wrong | None:
        """An entry whose predecessors never came; asked when all writers stand at one cut."""
        for account_id, account in sorted(self.accounts.items()):
            for number, (_, _, _, where) in sorted(account.parked.items()):
                told = f"account {account_id} has entry {number} but no {account.entries + 1}"
                return at(where, _NUMBER, told)
        return None

    def _apply(self, row: JournalRow) -> Wrong | None:
        where = (row.writer_id, row.batch_seq, row.ord, str(row.row_id))
        if row.hold_account is not None:
            self.account(row.hold_account).held += row.held
        for movement in row.movements:
            wrong = self._enter(movement, where)
            if wrong is not None:
                return wrong
        return None

    def _enter(self, movement: Movement, where: Where) -> Wrong | None:
        account = self.account(movement.account)
        if movement.entry <= account.entries or movement.entry in account.parked:
            told = f"account {movement.account} has two entries {movement.entry}"
            return at(where, _NUMBER, told)
        parked = (movement.dr, movement.cr, movement.balance_after, where)
        account.parked[movement.entry] = parked
        while account.entries + 1 in account.parked:
            dr, cr, after, origin = account.parked.pop(account.entries + 1)
            account.dr += dr
            account.cr += cr
            account.entries += 1
            balance = account.cr - account.dr
            if after is not None and after != balance:
                told = f"account {movement.account} has {balance}, the row says {after}"
                return at(origin, "balance after", told)
        return None

    def _could_spend(self, row: JournalRow) -> bool:
        """Whether the row states what its account could spend; a hint, for holds have no order."""
        if row.available_after is None or row.hold_account is None:
            return True
        account = self.account(row.hold_account)
        return row.available_after == account.cr - account.dr - account.held


def at(where: Where, rule: str, detail: str) -> Wrong:
    """A wrong row."""
    writer, batch, order, row_id = where
    return Wrong(rule=rule, detail=detail, writer=writer, batch=batch, ord=order, row_id=row_id)


def _of_row(row: JournalRow, rule: str, detail: str) -> Wrong:
    return at((row.writer_id, row.batch_seq, row.ord, str(row.row_id)), rule, detail)


def _of_batch(batch: Batch, rule: str, detail: str, order: int | None = None) -> Wrong:
    return Wrong(rule=rule, detail=detail, writer=batch.writer_id, batch=batch.seq, ord=order)


def _linked(batch: Batch, place: Place) -> Wrong | None:
    if batch.seq != place.seq + 1:
        told = f"batch {place.seq + 1} is missing, {batch.seq} comes next"
        return Wrong(rule="chain", detail=told, writer=batch.writer_id, batch=place.seq + 1)
    if batch.prev_hash != place.hash:
        return _of_batch(batch, "chain", "it does not follow the hash of the batch before it")
    return None


def _counted(batch: Batch, ordered: Sequence[JournalRow]) -> Wrong | None:
    """Every row from 1 to n is there once, and none beyond."""
    for place, row in enumerate(ordered, start=1):
        if row.ord > batch.n:
            return _of_row(row, "rows of a batch", f"the batch has {batch.n} rows, this is beyond")
        if row.ord > place:
            return _of_batch(batch, "rows of a batch", "the row is missing", place)
        if row.ord < place:
            return _of_row(row, "rows of a batch", "two rows have this place")
    if len(ordered) < batch.n:
        return _of_batch(batch, "rows of a batch", "the row is missing", len(ordered) + 1)
    return None


def _stamped(head: Head, batch: Batch, row: JournalRow) -> Wrong | None:
    for told, fits in _stamps(head, batch, row):
        if not fits:
            return _of_row(row, "row", told)
    return None


def _stamps(head: Head, batch: Batch, row: JournalRow) -> Iterator[tuple[str, bool]]:
    yield "its epoch is not its batch's", row.epoch == batch.epoch
    yield "its time is not its batch's", row.recorded_at == batch.created_at
    yield "its treasury is not its writer's", row.treasury in (None, head.treasury_account)
    yield row.broken_rule or "", row.broken_rule is None


def _not_whole(batch: Batch, ordered: Sequence[JournalRow], suspect: JournalRow | None) -> Wrong:
    """The root does not fit, and no row breaks a rule before the suspect."""
    named = ordered[0] if len(ordered) == 1 else suspect
    if named is not None:
        return _of_row(named, "batch root", "it is not what was hashed")
    return _of_batch(batch, "batch root", "one of its rows is not what was hashed")


def _hashed(batch: Batch) -> Wrong | None:
    link = verify_hash.batch_hash(
        writer_id=batch.writer_id,
        epoch=batch.epoch,
        seq=batch.seq,
        n=batch.n,
        prev_hash=batch.prev_hash,
        root=batch.root,
    )
    return None if link == batch.hash else _of_batch(batch, "batch hash", "it is not its content's")
