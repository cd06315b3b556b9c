"""A part of the ledger's tree: some neighbouring leaves, wherever they stand. Pure.

Leaves of a seal are ordered by writer first, but are read as writers wrote, by time. So each writer
grows a part of its own, at the place where its leaves will stand; side by side the parts make the
tree. A part that starts at leaf 0 is a tree. As in `merkle`, what is complete at each eighth level
is handed out to be kept.
"""

from collections.abc import Iterable, Sequence

from settlement.ledger.merkle import TILE_LEVELS, Node, cover, edge, join


class Part:
    """Leaves from `start` to before `end`, as the fewest perfect subtrees over them."""

    def __init__(self, start: int, subtrees: Iterable[tuple[int, bytes]] = ()) -> None:
        self.start = start
        self._subtrees = [(level, root) for level, root in subtrees]
        self.end = start + sum(1 << level for level, _ in self._subtrees)

    @classmethod
    def tree(cls, size: int, peaks: Sequence[bytes]) -> "Part":
        """A whole tree from the roots of its perfect subtrees, largest first."""
        levels = [node.level for node in cover(0, size)]
        return cls(0, zip(levels, peaks, strict=True))

    @property
    def subtrees(self) -> list[tuple[int, bytes]]:
        """Levels and roots, from left to right: what to store to go on from here."""
        return list(self._subtrees)

    @property
    def peaks(self) -> list[bytes]:
        """The roots alone."""
        return [root for _, root in self._subtrees]

    def root(self) -> bytes:
        """Of the whole tree."""
        assert self.start == 0, "only a tree has a root"
        return edge(self.peaks)

    def extend(self, leaves: Iterable[bytes]) -> dict[Node, bytes]:
        """More leaves; the answer is what has now to be kept."""
        kept: dict[Node, bytes] = {}
        for leaf in leaves:
            self._push(0, leaf, kept)
        return kept

    def append(self, other: "Part") -> dict[Node, bytes]:
        """The part that stands right of this one; the answer is what has now to be kept besides."""
        assert other.start == self.end, f"leaf {self.end} comes next, not {other.start}"
        kept: dict[Node, bytes] = {}
        for level, root in other.subtrees:
            self._push(level, root, kept)
        return kept

    def _push(self, level: int, root: bytes, kept: dict[Node, bytes]) -> None:
        """A subtree at the right edge: it joins its left neighbour where that is its sibling."""
        index = self.end >> level
        self.end += 1 << level
        while index & 1 and self._subtrees and self._subtrees[-1][0] == level:
            root = join(self._subtrees.pop()[1], root)
            index >>= 1
            level += 1
            if level % TILE_LEVELS == 0:
                kept[Node(level, index)] = root
        self._subtrees.append((level, root))
