"""Parts of the tree, side by side: the same tree, and the same hashes to keep, as all at once."""

from hypothesis import given
from hypothesis import strategies as st

from settlement.ledger.merkle import Node, Range
from settlement.ledger.seal_tree import Part
from tests.pure.merkle_reference import LEAVES, mth

widths = st.lists(st.integers(0, 700), max_size=6)


@given(widths)
def test_parts_that_grow_in_any_order_make_the_tree(widths: list[int]) -> None:
    """Several seals: each of several writers' parts, which grow as rows of any writer come."""
    tree, kept, size = Part(0), dict[Node, bytes](), 0
    for width in widths:
        if size + width > len(LEAVES):
            break
        bounds = sorted((size, size + width // 3, size + width // 2, size + width))
        parts = [Part(start) for start in bounds[:-1]]
        for part, end in reversed(list(zip(parts, bounds[1:], strict=True))):
            middle = (part.start + end) // 2
            kept.update(part.extend(LEAVES[part.start : middle]))
            again = Part(part.start, part.subtrees)  # as read back from where it was stored
            kept.update(again.extend(LEAVES[middle:end]))
            parts[parts.index(part)] = again
        for part in parts:
            kept.update(tree.append(part))
        size += width
        assert (tree.end, tree.root()) == (size, mth(0, size))
        tree = Part.tree(size, tree.peaks)
    whole = Range()
    assert kept == whole.extend(LEAVES[:size])
    assert tree.peaks == whole.peaks
