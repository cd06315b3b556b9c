"""Proofs about one leaf and about two sizes of the tree: made and checked. Pure.

A proof is a path of subtree hashes as RFC 9162 orders them. It is made in two steps, for what it
needs has to be read: `…_needs` names perfect subtrees (`merkle.stored_under` says how each is had),
`…_path` joins them. Subtrees at the ragged right edge are the only ones that are joined of several.

Checks follow RFC 9162 §2.1.3.2 and §2.1.4.2 step by step; whatever does not fit is False. They hold
a path against a size *and* a root: a root alone does not say how many leaves it is of, and some
paths fit two sizes. Who signs a root signs the size with it.
"""

from collections.abc import Mapping, Sequence

from settlement.ledger.merkle import EMPTY_ROOT, HASH_BYTES, MAX_SIZE, Node, cover, edge, join

# Leaves of a subtree: from the first to before the last.
Span = tuple[int, int]


def inclusion_needs(index: int, size: int) -> list[Node]:
    """The perfect subtrees that the path of a leaf is made of."""
    return needs(_inclusion_spans(index, size))


def inclusion_path(index: int, size: int, hashes: Mapping[Node, bytes]) -> list[bytes]:
    """The path of a leaf, its sibling first, from the hashes of what it needs."""
    return assemble(_inclusion_spans(index, size), hashes)


def consistency_needs(old: int, new: int) -> list[Node]:
    """The perfect subtrees that the path from an older size to a newer one is made of."""
    return needs(_consistency_spans(old, new))


def consistency_path(old: int, new: int, hashes: Mapping[Node, bytes]) -> list[bytes]:
    """The path from an older size to a newer one, from the hashes of what it needs."""
    return assemble(_consistency_spans(old, new), hashes)


def needs(spans: Sequence[Span]) -> list[Node]:
    """The perfect subtrees that subtrees are joined of."""
    return [node for start, end in spans for node in cover(start, end)]


def assemble(spans: Sequence[Span], hashes: Mapping[Node, bytes]) -> list[bytes]:
    """The hash of each subtree."""
    return [edge([hashes[node] for node in cover(start, end)]) for start, end in spans]


def _inclusion_spans(index: int, size: int) -> list[Span]:
    """What stands beside the way from a leaf up to the root."""
    assert 0 <= index < size <= MAX_SIZE, f"{size} leaves have no leaf {index}"
    start, end = 0, size
    spans: list[Span] = []
    while end - start > 1:
        middle = _middle(start, end)
        if index < middle:
            spans.append((middle, end))
            end = middle
        else:
            spans.append((start, middle))
            start = middle
    return spans[::-1]


def _consistency_spans(old: int, new: int) -> list[Span]:
    """What stands beside the way from the old right edge up to the new root, and that edge.

    No path is needed from nothing, nor from a size to itself.
    """
    assert 0 <= old <= new <= MAX_SIZE, f"{new} leaves are no later tree than {old}"
    if old == 0:
        return []
    start, end = 0, new
    spans: list[Span] = []
    while old != end:
        middle = _middle(start, end)
        if old <= middle:
            spans.append((middle, end))
            end = middle
        else:
            spans.append((start, middle))
            start = middle
    if start > 0:  # else the old tree is a subtree of the new one, and its root is known
        spans.append((start, end))
    return spans[::-1]


def _middle(start: int, end: int) -> int:
    """Where a subtree of two leaves or more parts: at the largest power of two below its width."""
    return start + (1 << ((end - start - 1).bit_length() - 1))


def verify_inclusion(
    leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes
) -> bool:
    """Whether the tree of `size` leaves under `root` has this leaf hash at `index`."""
    if not 0 <= index < size <= MAX_SIZE or not _sound([leaf, *path]):
        return False
    at, last, made = index, size - 1, leaf
    for beside in path:
        if last == 0:
            return False
        if at & 1 or at == last:
            made = join(beside, made)
            at, last = _skip(at, last)
        else:
            made = join(made, beside)
        at, last = at >> 1, last >> 1
    return last == 0 and made == root


def verify_consistency(
    old_size: int, old_root: bytes, new_size: int, new_root: bytes, path: Sequence[bytes]
) -> bool:
    """Whether the tree of `new_size` leaves begins with the tree of `old_size` leaves.

    The RFC leaves open what needs no path: from nothing to anything, and from a size to itself.
    """
    if not 0 <= old_size <= new_size <= MAX_SIZE or not _sound([*path, old_root]):
        return False
    if old_size == new_size:
        return not path and old_root == new_root and (old_size > 0 or old_root == EMPTY_ROOT)
    if old_size == 0:
        return not path and old_root == EMPTY_ROOT
    return bool(path) and _extends(old_size, old_root, new_size, new_root, path)


def _extends(
    old_size: int, old_root: bytes, new_size: int, new_root: bytes, path: Sequence[bytes]
) -> bool:
    """The RFC's steps, for 0 < old < new and a path that is not empty."""
    if old_size & (old_size - 1) == 0:
        first, rest = old_root, path
    else:
        first, rest = path[0], path[1:]
    at, last = old_size - 1, new_size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old = new = first
    for beside in rest:
        if last == 0:
            return False
        if at & 1 or at == last:
            old, new = join(beside, old), join(beside, new)
            at, last = _skip(at, last)
        else:
            new = join(new, beside)
        at, last = at >> 1, last >> 1
    return last == 0 and old == old_root and new == new_root


def _sound(hashes: Sequence[bytes]) -> bool:
    """Whether a path and what it starts from are hashes by their length."""
    return all(len(digest) == HASH_BYTES for digest in hashes)


def _skip(at: int, last: int) -> tuple[int, int]:
    """Over the levels at which a subtree of the ragged edge has nothing beside it."""
    while at and not at & 1:
        at, last = at >> 1, last >> 1
    return at, last
