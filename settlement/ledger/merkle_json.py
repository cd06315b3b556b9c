"""Proofs of the ledger's tree as JSON: written one way, read strictly. Pure.

A proof says where and of what size, and the path; the leaf hash and the roots it is held against
are not part of it: who checks makes the leaf from the row, and has the root from a seal.
"""

import re
from dataclasses import dataclass
from typing import Final, cast

from settlement.errors import Refused
from settlement.ledger.merkle import MAX_SIZE
from settlement.ledger.merkle_proof import verify_consistency, verify_inclusion

# A tree of MAX_SIZE leaves is 63 levels high; a consistency proof may name the old edge besides.
_LONGEST: Final = 64
_HEX: Final = re.compile(r"[0-9a-f]{64}")


class ProofUnreadable(Refused):
    """The proof is not one: its shape, a size or a hash is not what a proof has."""


@dataclass(frozen=True, kw_only=True)
class Inclusion:
    """That a leaf is in the tree of `size` leaves."""

    index: int
    size: int
    path: tuple[bytes, ...]

    def proves(self, leaf: bytes, root: bytes) -> bool:
        """Whether it is the proof of this leaf hash under this root."""
        return verify_inclusion(leaf, self.index, self.size, self.path, root)

    def as_json(self) -> dict[str, object]:
        """The proof for `json.dumps`."""
        return {"index": self.index, "size": self.size, "path": [h.hex() for h in self.path]}

    @classmethod
    def from_json(cls, value: object) -> "Inclusion":
        """The proof that `as_json` wrote; ProofUnreadable for anything else."""
        index, size, path = _read(value, "index", "size")
        if index >= size:
            raise ProofUnreadable(index=index, size=size)
        return cls(index=index, size=size, path=path)


@dataclass(frozen=True, kw_only=True)
class Consistency:
    """That the tree of `new` leaves begins with that of `old` leaves."""

    old: int
    new: int
    path: tuple[bytes, ...]

    def proves(self, old_root: bytes, new_root: bytes) -> bool:
        """Whether it is the proof between these two roots."""
        return verify_consistency(self.old, old_root, self.new, new_root, self.path)

    def as_json(self) -> dict[str, object]:
        """The proof for `json.dumps`."""
        return {"old": self.old, "new": self.new, "path": [h.hex() for h in self.path]}

    @classmethod
    def from_json(cls, value: object) -> "Consistency":
        """The proof that `as_json` wrote; ProofUnreadable for anything else."""
        old, new, path = _read(value, "old", "new")
        if old > new:
            raise ProofUnreadable(old=old, new=new)
        return cls(old=old, new=new, path=path)


def _read(value: object, first: str, second: str) -> tuple[int, int, tuple[bytes, ...]]:
    """An object of exactly two sizes and a path."""
    if not isinstance(value, dict):
        raise ProofUnreadable(given=type(value).__name__)
    proof = cast("dict[object, object]", value)
    if proof.keys() != {first, second, "path"}:
        raise ProofUnreadable(wanted=f"{first}, {second}, path")
    return _size(proof, first), _size(proof, second), _path(proof["path"])


def _size(proof: dict[object, object], name: str) -> int:
    found = proof[name]
    if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found <= MAX_SIZE:
        raise ProofUnreadable(wrong=name)
    return found


def _path(value: object) -> tuple[bytes, ...]:
    if not isinstance(value, list) or len(cast("list[object]", value)) > _LONGEST:
        raise ProofUnreadable(wrong="path")
    hashes: list[bytes] = []
    for text in cast("list[object]", value):
        if not isinstance(text, str) or _HEX.fullmatch(text) is None:
            raise ProofUnreadable(wrong="path")
        hashes.append(bytes.fromhex(text))
    return tuple(hashes)
