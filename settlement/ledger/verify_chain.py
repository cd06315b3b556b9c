"""A writer's chain, batch by batch: what links one to the next, and what of it is wrong. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from settlement.ledger import verify_hash
from settlement.ledger.verify_rows import JournalRow

# A row: writer, batch, ord, id.
Where = tuple[int, int, int, str]


@dataclass(frozen=True, kw_only=True)
class Wrong:
    """The first thing found wrong: a row, a batch, an account or a seal, as far as named."""

    rule: str
    detail: str
    writer: int | None = None
    batch: int | None = None
    ord: int | None = None
    row_id: str | None = None
    account: str | None = None
    seal: int | None = None


@dataclass(frozen=True, kw_only=True)
class Head:
    """A writer, and how far it is: as one snapshot showed it, or as a seal says."""

    writer_id: int
    name: str
    era: int
    treasury_account: int
    head_seq: int
    head_hash: bytes
    head_rows: int


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One commit of a writer, without its rows."""

    writer_id: int
    seq: int
    epoch: int
    n: int
    rows_before: int
    root: bytes
    prev_hash: bytes
    hash: bytes
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class FullBatch:
    """A batch with all rows that say they are of it, in their order, and their hashes."""

    head: Head
    batch: Batch
    rows: Sequence[JournalRow]
    leaves: Sequence[bytes]

    @classmethod
    def of(cls, head: Head, batch: Batch, rows: Sequence[JournalRow]) -> "FullBatch":
        """Order the rows, and hash them."""
        ordered = sorted(rows, key=lambda row: row.ord)
        leaves = [verify_hash.leaf(row.text) for row in ordered]
        return cls(head=head, batch=batch, rows=ordered, leaves=leaves)


@dataclass(kw_only=True)
class Place:
    """How far a writer's chain has been followed: its last link, and the rows up to there."""

    seq: int
    hash: bytes
    rows: int

    @classmethod
    def first(cls, head: Head) -> "Place":
        """Before the first batch of the writer's era."""
        return cls(seq=0, hash=verify_hash.first_link(head.name, head.era), rows=0)

    def follow(self, batch: Batch) -> None:
        """Stand after this batch."""
        self.seq, self.hash = batch.seq, batch.hash
        self.rows += batch.n

    def unlike(self, head: Head) -> str | None:
        """In what the writer's head says otherwise; None when both say the same."""
        if (self.seq, self.hash) != (head.head_seq, head.head_hash):
            return f"{head.name} says it is at {head.head_seq}, its chain ends at {self.seq}"
        if self.rows != head.head_rows:
            return f"{head.name} says it has {head.head_rows} rows, its chain has {self.rows}"
        return None


def where(row: JournalRow) -> Where:
    """Where a row stands."""
    return row.writer_id, row.batch_seq, row.ord, str(row.row_id)


def at(place: Where, rule: str, detail: str) -> Wrong:
    """A wrong row."""
    writer, batch, order, row_id = place
    return Wrong(rule=rule, detail=detail, writer=writer, batch=batch, ord=order, row_id=row_id)


def of_batch(batch: Batch, rule: str, detail: str, order: int | None = None) -> Wrong:
    """A wrong batch, or a row that it lacks."""
    return Wrong(rule=rule, detail=detail, writer=batch.writer_id, batch=batch.seq, ord=order)


def unlinked(batch: Batch, place: Place) -> Wrong | None:
    """What is wrong with where a batch stands in its chain."""
    if batch.seq != place.seq + 1:
        told = f"batch {place.seq + 1} is missing, {batch.seq} comes next"
        return Wrong(rule="chain", detail=told, writer=batch.writer_id, batch=place.seq + 1)
    if batch.prev_hash != place.hash:
        return of_batch(batch, "chain", "it does not follow the hash of the batch before it")
    if batch.rows_before != place.rows:
        told = f"it says that {batch.rows_before} rows came before, there were {place.rows}"
        return of_batch(batch, "chain", told)
    return None


def miscounted(batch: Batch, ordered: Sequence[JournalRow]) -> Wrong | None:
    """What is wrong unless every row from 1 to n is there once, and none beyond."""
    rule = "rows of a batch"
    for place, row in enumerate(ordered, start=1):
        if row.ord > batch.n:
            return at(where(row), rule, f"the batch has {batch.n} rows, this is beyond")
        if row.ord > place:
            return of_batch(batch, rule, "the row is missing", place)
        if row.ord < place:
            return at(where(row), rule, "two rows have this place")
    if len(ordered) < batch.n:
        return of_batch(batch, rule, "the row is missing", len(ordered) + 1)
    return None


def misstamped(batch: Batch, row: JournalRow) -> Wrong | None:
    """What is wrong with a row that says when and in which life of its writer it was written."""
    if row.stamp is None or row.stamp == (batch.epoch, batch.created_at):
        return None
    what = "epoch" if row.stamp[0] != batch.epoch else "time"
    return at(where(row), "row", f"its {what} is not its batch's")


def mishashed(batch: Batch) -> Wrong | None:
    """What is wrong when the batch's hash is not that of what it says."""
    link = verify_hash.batch_hash(
        writer_id=batch.writer_id,
        epoch=batch.epoch,
        seq=batch.seq,
        n=batch.n,
        rows_before=batch.rows_before,
        created_at=batch.created_at,
        prev_hash=batch.prev_hash,
        root=batch.root,
    )
    return None if link == batch.hash else of_batch(batch, "batch hash", "it is not its content's")
