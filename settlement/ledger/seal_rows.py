"""Seals as they are kept, and how they are hashed, made a second time without the database. Pure.

A seal's hash covers all of it: its number and era, the tree (every row of the journal up to its
cut), the cut itself, and where each account stood that had moved; and the seal before it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Final, NamedTuple

from settlement.ledger.seal_tree import Part
from settlement.ledger.verify_hash import barred, epoch_text

FIRST_LINK: Final = sha256(b"seals/1").digest()


class Cut(NamedTuple):
    """Which batches of a writer a seal added; `hash` is the last one's."""

    writer_id: int
    from_seq: int
    to_seq: int
    first_leaf: int
    hash: bytes


class Snapshot(NamedTuple):
    """Where an account stood at a seal, after its entry of this number; amounts in microunits."""

    account_id: int
    entry: int
    dr: int
    cr: int


@dataclass(frozen=True, kw_only=True)
class SealHead:
    """A seal as it is known outside: all that its hash covers, and the hash."""

    seal_no: int
    era: int
    made_at: datetime
    rows: int
    tree_size: int
    root: bytes
    cut_hash: bytes
    balances_hash: bytes
    prev_hash: bytes
    hash: bytes

    @property
    def true_hash(self) -> bytes:
        """What its hash should be."""
        moment = epoch_text(self.made_at)
        header = barred("seal/1", self.seal_no, self.era, self.tree_size, self.rows, moment)
        parts = (self.prev_hash, self.root, self.cut_hash, self.balances_hash)
        return sha256(header.encode() + b"".join(parts)).digest()


@dataclass(frozen=True, kw_only=True)
class Seal(SealHead):
    """A seal as it is kept: with what its tree goes on from."""

    peaks: list[bytes]


@dataclass(kw_only=True)
class Sealed:
    """How far seals were followed: the last one, its tree, and the parts of the one that comes."""

    seal_no: int = 0
    hash: bytes = FIRST_LINK
    tree: Part = field(default_factory=lambda: Part(0))
    parts: dict[int, Part] = field(default_factory=dict[int, Part])  # by writer


def cut_hash(cuts: Iterable[Cut]) -> bytes:
    """The hash of a seal's cut, whose writers come in the order of their ids."""
    lines = (barred(*cut[:-1], cut.hash.hex()) for cut in cuts)
    return sha256("\n".join(lines).encode()).digest()


def balance_line(snapshot: Snapshot) -> bytes:
    """What a snapshot adds to the hash of its seal's balances, which are parted by newlines."""
    return barred(*snapshot).encode()


def balances_hash(snapshots: Iterable[Snapshot]) -> bytes:
    """The hash of a seal's snapshots, whose accounts come in the order of their ids."""
    return sha256(b"\n".join(map(balance_line, snapshots))).digest()
