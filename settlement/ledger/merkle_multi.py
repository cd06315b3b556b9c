"""One proof for many leaves: all those of an archived day, say. Pure.

Whoever has the leaves needs only the roots of the subtrees between them to make the root of the
tree anew. Leaves come as runs of neighbours, in order; a proof is the hashes of the fewest subtrees
that stand where no run does, from left to right. Which those are follows from the size and where
the runs stand, so nothing but hashes is told.

The check goes once from left to right and holds one run and one right edge: runs may be read as
they come. As with all proofs, the root must be known to be that of `size` leaves.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from settlement.ledger.merkle import HASH_BYTES, MAX_SIZE, Node, Range, edge
from settlement.ledger.merkle_proof import Span, assemble, needs

# A run of known leaves: the index of the first, and their hashes.
Run = tuple[int, Sequence[bytes]]


def multi_needs(runs: Iterable[Span], size: int) -> list[Node]:
    """The perfect subtrees that the proof of the leaves [start, end) of each run is made of."""
    return needs(_between(runs, size))


def multi_hashes(runs: Iterable[Span], size: int, hashes: Mapping[Node, bytes]) -> list[bytes]:
    """The proof of the leaves [start, end) of each run, from the hashes of what it needs."""
    return assemble(_between(runs, size), hashes)


def _between(runs: Iterable[Span], size: int) -> list[Span]:
    """The fewest subtrees that hold every leaf that no run has, and no other."""
    assert 0 <= size <= MAX_SIZE, f"a tree has no {size} leaves"
    spans: list[Span] = []
    known = 0
    for start, end in runs:
        assert known <= start < end <= size, f"no run in order is [{start}, {end})"
        spans += _gap(known, start, size)
        known = end
    return [*spans, *_gap(known, size, size)]


def _gap(start: int, end: int, size: int) -> Iterator[Span]:
    """The largest subtrees of the tree that fill [start, end)."""
    while start < end:
        # The largest that starts here, then the largest of those that stays inside the gap.
        level = (start & -start).bit_length() - 1 if start else (size - 1).bit_length()
        while min(start + (1 << level), size) > end:
            level -= 1
        stop = min(start + (1 << level), size)
        yield start, stop
        start = stop


def verify_multi(runs: Iterable[Run], size: int, hashes: Iterable[bytes], root: bytes) -> bool:
    """Whether the tree of `size` leaves under `root` has every leaf hash of the runs at its place.

    Runs in no order, beyond the size or without a leaf, and hashes that are too few, too many or
    no hashes are False.
    """
    if not 0 <= size <= MAX_SIZE:
        return False
    tree, given = Range(), iter(hashes)
    for start, leaves in runs:
        if not tree.size <= start <= size - len(leaves) or not _sound(leaves):
            return False
        if _fill(tree, start, size, given) != []:
            return False
        tree.extend(leaves)
    ragged = _fill(tree, size, size, given)
    if ragged is None or next(given, None) is not None:
        return False
    return edge([*tree.peaks, *ragged]) == root


def _fill(tree: Range, end: int, size: int, given: Iterator[bytes]) -> list[bytes] | None:
    """The tree goes on to `end` by the hashes given; None where they are not there.

    A subtree at the ragged edge of the tree, which can only be the last, is handed back: it joins
    the others at the very end.
    """
    for start, stop in _gap(tree.size, end, size):
        root = next(given, b"")
        if len(root) != HASH_BYTES:
            return None
        width = stop - start
        if width & (width - 1):
            return [root]
        tree.graft(width.bit_length() - 1, root)
    return []


def _sound(leaves: Sequence[bytes]) -> bool:
    """Whether a run has leaves, and all are hashes by their length."""
    return set(map(len, leaves)) == {HASH_BYTES}
