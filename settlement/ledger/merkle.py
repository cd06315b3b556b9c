"""The tree over the leaves of the ledger: how it grows, and what of it is kept. Pure.

Hashing is RFC 9162's (the same as RFC 6962's) over SHA-256: a leaf is `sha256(0x00 || data)`, made
elsewhere; two subtrees join as `sha256(0x01 || left || right)`; the tree of no leaves has the hash
of nothing as its root.

A tree only grows at its right edge, so `Range` knows just the perfect subtrees that stand side by
side there: one per bit of the size. Of all the others only each eighth level is kept, where it is
complete: one hash per 256 leaves, and one per 256 of those. Whatever else a proof needs is a
perfect subtree over at most 128 hashes of a kept level or of leaves: `stored_under` says which,
`perfect` joins them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = sha256(b"").digest()
# From one kept level to the next: a node of a kept level stands over 256 of the one below.
TILE_LEVELS: Final = 8
# Sizes are Postgres's bigint; what claims more is no tree of ours.
MAX_SIZE: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True, order=True)
class Node:
    """A perfect subtree: the `index`-th of those with 2^level leaves, from the left."""

    level: int
    index: int

    @property
    def start(self) -> int:
        """Its first leaf."""
        return self.index << self.level

    @property
    def end(self) -> int:
        """One past its last leaf."""
        return (self.index + 1) << self.level


@dataclass(frozen=True, slots=True)
class Stored:
    """Neighbours of a kept level, `start` to before `end`; those of level 0 are leaf hashes."""

    level: int
    start: int
    end: int


def join(left: bytes, right: bytes) -> bytes:
    """The hash of a subtree from its two halves."""
    return sha256(b"\x01" + left + right).digest()


def perfect(hashes: Sequence[bytes]) -> bytes:
    """The root of the perfect subtree over hashes of one level: 1, 2, 4, 8… of them."""
    assert hashes, "a subtree has a leaf"
    assert len(hashes) & (len(hashes) - 1) == 0, "a perfect subtree has a power of two of leaves"
    while len(hashes) > 1:
        hashes = [join(hashes[i], hashes[i + 1]) for i in range(0, len(hashes), 2)]
    return hashes[0]


def edge(peaks: Sequence[bytes]) -> bytes:
    """The root over subtrees that stand side by side, each smaller than the one left of it."""
    if not peaks:
        return EMPTY_ROOT
    *others, root = peaks
    for peak in reversed(others):
        root = join(peak, root)
    return root


def cover(start: int, end: int) -> list[Node]:
    """The perfect subtrees whose `edge` is the subtree over [start, end): largest first.

    A subtree of the tree starts at a multiple of the power of two that it fits in.
    """
    width = end - start
    assert 0 <= start <= end, f"no leaves are [{start}, {end})"
    assert width == 0 or start % (1 << (width - 1).bit_length()) == 0, "no subtree starts there"
    nodes: list[Node] = []
    for level in range(width.bit_length() - 1, -1, -1):
        if width >> level & 1:
            nodes.append(Node(level, start >> level))
            start += 1 << level
    return nodes


def stored_under(node: Node) -> Stored:
    """What is kept of a subtree that may not be: its hash is `perfect` of these."""
    above = node.level % TILE_LEVELS
    return Stored(node.level - above, node.index << above, (node.index + 1) << above)


class Range:
    """A tree from its first leaf on, as the perfect subtrees along its right edge."""

    def __init__(self, size: int = 0, peaks: Iterable[bytes] = ()) -> None:
        self._size = size
        self._peaks = list(peaks)
        if not 0 <= size <= MAX_SIZE:
            raise ValueError(f"a tree has no {size} leaves")
        if len(self._peaks) != size.bit_count():
            raise ValueError(f"{len(self._peaks)} peaks are not those of {size} leaves")
        for peak in self._peaks:
            _check(peak)

    @property
    def size(self) -> int:
        """How many leaves there are."""
        return self._size

    @property
    def peaks(self) -> list[bytes]:
        """What to store to go on from here: the roots of `cover(0, size)`."""
        return list(self._peaks)

    def root(self) -> bytes:
        """The root of the tree as it is now."""
        return edge(self._peaks)

    def append(self, leaf: bytes) -> dict[Node, bytes]:
        """One leaf more; the answer is what has now to be kept."""
        return self.extend((leaf,))

    def extend(self, leaves: Iterable[bytes]) -> dict[Node, bytes]:
        """More leaves, in order; the answer is what has now to be kept: complete subtrees."""
        kept: dict[Node, bytes] = {}
        for leaf in leaves:
            self._push(0, leaf, kept)
        return kept

    def graft(self, level: int, root: bytes) -> None:
        """2^level leaves of which only the root is known, where a subtree of that size starts."""
        if self._size % (1 << level):
            raise ValueError(f"no subtree of level {level} starts at leaf {self._size}")
        self._push(level, root, {})

    def _push(self, level: int, root: bytes, kept: dict[Node, bytes]) -> None:
        """A subtree at the right edge: it joins the peaks of its size, as a sum carries ones."""
        _check(root)
        index = self._size >> level
        self._size += 1 << level
        while index & 1:
            root = join(self._peaks.pop(), root)
            index >>= 1
            level += 1
            if level % TILE_LEVELS == 0:
                kept[Node(level, index)] = root
        self._peaks.append(root)


def _check(digest: bytes) -> None:
    if len(digest) != HASH_BYTES:
        raise ValueError(f"a hash has {HASH_BYTES} bytes, not {len(digest)}")
