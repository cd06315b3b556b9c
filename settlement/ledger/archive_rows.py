"""Charges as they are kept in files: what columns there are, and rows made of them again. Pure.

A file has every column of the journal's rows, the account that the treasury's share went to, when a
row was recorded, and where it stands in the tree of the seals. Rows stand in the order of the tree.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from settlement.ledger import verify_hash
from settlement.ledger.parquet import Column, Kind
from settlement.ledger.verify_rows import ChargeRow

# Those of a `ChargeRow`, then the others of an `Archived`.
COLUMNS: Final = (
    Column("request_id", Kind.ID),
    Column("writer_id", Kind.SMALL, repeats=True),
    Column("batch_seq", Kind.NUMBER),
    Column("ord", Kind.SMALL),
    Column("hold_id", Kind.ID, repeats=True),
    Column("user_account", Kind.NUMBER, repeats=True),
    Column("operator_account", Kind.NUMBER, repeats=True),
    Column("gross", Kind.AMOUNT),
    Column("operator_share", Kind.AMOUNT),
    Column("treasury_share", Kind.AMOUNT),
    Column("split_bps", Kind.SMALL, repeats=True),
    Column("user_entry", Kind.NUMBER),
    Column("operator_entry", Kind.NUMBER),
    Column("treasury_entry", Kind.NUMBER),
    Column("user_balance_after", Kind.AMOUNT),
    Column("treasury_account", Kind.NUMBER, repeats=True),
    Column("recorded_at", Kind.MOMENT, repeats=True),
    Column("leaf_index", Kind.NUMBER),
    Column("leaf", Kind.HASH),
)
_OF_CHARGE: Final = len(ChargeRow._fields)


class Archived(NamedTuple):
    """A settled request as it is kept in a file."""

    charge: ChargeRow
    treasury_account: int
    recorded_at: datetime
    leaf_index: int
    leaf: bytes

    @property
    def leaf_fits(self) -> bool:
        """Whether the leaf is the hash of what stands in the row."""
        return self.leaf == verify_hash.leaf(self.charge.text)


def columns_of(rows: Sequence[Archived]) -> list[tuple[Any, ...]]:
    """Rows turned into columns."""
    return list(zip(*((*row.charge, *row[1:]) for row in rows), strict=True))


def rows_of(columns: Sequence[Sequence[Any]]) -> Iterator[Archived]:
    """Columns turned back into rows."""
    for row in zip(*columns, strict=True):
        yield Archived(ChargeRow(*row[:_OF_CHARGE]), *row[_OF_CHARGE:])
