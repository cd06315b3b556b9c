"""The ledger's tree as it grows: its roots, its right edge, and what of it is kept."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.ledger.merkle import (
    EMPTY_ROOT,
    Node,
    Range,
    Stored,
    cover,
    edge,
    join,
    perfect,
    stored_under,
)
from tests.pure.merkle_reference import LEAVES, mth

# The tree that Certificate Transparency's implementations are tested with: data, root so far.
CT = [
    ("", "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
    ("00", "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
    ("10", "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"),
    ("2021", "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"),
    ("3031", "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"),
    ("40414243", "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef"),
    ("5051525354555657", "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"),
    (
        "606162636465666768696a6b6c6d6e6f",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ),
]
# Just over one kept node of level 16, and ragged at every level.
MANY = (1 << 16) + 3 * 256 + 77


def test_the_roots_of_certificate_transparency() -> None:
    tree = Range()
    assert tree.root().hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    for data, root in CT:
        tree.append(sha256(b"\x00" + bytes.fromhex(data)).digest())
        assert tree.root().hex() == root


def test_every_root_is_the_definition_s() -> None:
    tree = Range()
    for size in range(601):
        assert (tree.size, tree.root()) == (size, mth(0, size))
        assert tree.peaks == [mth(node.start, node.end) for node in cover(0, size)]
        tree.append(LEAVES[size])


@given(st.lists(st.integers(0, 300), max_size=6))
def test_a_range_goes_on_from_what_was_stored(steps: list[int]) -> None:
    tree, kept, size = Range(), dict[Node, bytes](), 0
    for step in steps:
        tree = Range(size, tree.peaks)
        kept |= tree.extend(LEAVES[size : size + step])
        size += step
    assert (tree.size, tree.root()) == (size, mth(0, size))
    assert kept == Range().extend(LEAVES[:size])
    assert set(kept) == {Node(8, index) for index in range(size // 256)}


@given(st.integers(0, 600), st.integers(1, 3))
def test_a_range_is_refused_with_other_peaks_than_its_size_has(size: int, more: int) -> None:
    peaks = Range()
    peaks.extend(LEAVES[:size])
    for wrong in (peaks.peaks + LEAVES[:more], peaks.peaks[:-more]):
        if len(wrong) != len(peaks.peaks):
            with pytest.raises(ValueError, match="peaks"):
                Range(size, wrong)


@pytest.mark.parametrize("size", [-1, 1 << 63])
def test_a_range_has_a_size(size: int) -> None:
    with pytest.raises(ValueError, match="a tree has no"):
        Range(size, LEAVES[: size.bit_count()])


@pytest.mark.parametrize("digest", [b"", LEAVES[0][:31], LEAVES[0] + b"\x00"])
def test_only_hashes_are_taken(digest: bytes) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Range(1, [digest])
    tree = Range()
    with pytest.raises(ValueError, match="32 bytes"):
        tree.extend([LEAVES[0], digest])
    assert (tree.size, tree.root()) == (1, LEAVES[0])


def test_the_peaks_handed_out_are_a_copy() -> None:
    tree = Range(1, [LEAVES[0]])
    tree.peaks.clear()
    assert tree.root() == LEAVES[0]


def test_what_is_kept_is_each_complete_subtree_of_each_eighth_level() -> None:
    levels = [[sha256(b"\x00%d" % index).digest() for index in range(MANY)]]
    kept = Range().extend(levels[0])
    while len(levels[-1]) > 1:
        below = levels[-1]
        levels.append([join(a, b) for a, b in zip(below[::2], below[1::2], strict=False)])
    wanted = [Node(8, index) for index in range(MANY >> 8)] + [Node(16, 0)]
    assert kept == {node: levels[node.level][node.index] for node in wanted}
    assert list(kept)[255:257] == [Node(8, 255), Node(16, 0)]
    for level in range(17):
        for index in {0, 1, len(levels[level]) // 2, len(levels[level]) - 1}:
            if index < len(levels[level]):
                under = stored_under(Node(level, index))
                assert under.level in (0, 8, 16)
                assert under.end - under.start <= 128
                places = range(under.start, under.end)
                found = [
                    kept[Node(under.level, place)] if under.level else levels[0][place]
                    for place in places
                ]
                assert perfect(found) == levels[level][index]


def test_what_a_node_is_made_of() -> None:
    assert stored_under(Node(0, 9)) == Stored(0, 9, 10)
    assert stored_under(Node(3, 2)) == Stored(0, 16, 24)
    assert stored_under(Node(8, 5)) == Stored(8, 5, 6)
    assert stored_under(Node(15, 1)) == Stored(8, 128, 256)
    assert stored_under(Node(18, 3)) == Stored(16, 12, 16)


@given(st.integers(0, 40), st.integers(0, 1 << 20))
def test_what_a_node_is_made_of_spans_its_leaves(level: int, index: int) -> None:
    node = Node(level, index)
    under = stored_under(node)
    assert Node(under.level, under.start).start == node.start
    assert Node(under.level, under.end).start == node.end
    assert under.level % 8 == 0
    assert under.end - under.start < 256


@given(st.integers(0, 10), st.integers(0, 3), st.integers(0, 1024))
def test_a_subtree_is_the_edge_of_its_cover(level: int, place: int, width: int) -> None:
    start = place << level
    end = min(start + min(width, 1 << level), len(LEAVES))
    if start <= end:
        nodes = cover(start, end)
        assert edge([mth(node.start, node.end) for node in nodes]) == mth(start, end)
        assert nodes == sorted(nodes, key=lambda node: -node.level)


def test_what_is_no_subtree_has_no_cover() -> None:
    for start, end in [(1, 3), (4, 9), (3, 2), (-1, 0)]:
        with pytest.raises(AssertionError):
            cover(start, end)
    assert cover(5, 5) == []
    assert edge([]) == EMPTY_ROOT


@pytest.mark.parametrize("count", [0, 3, 6])
def test_a_perfect_subtree_has_a_power_of_two_of_leaves(count: int) -> None:
    with pytest.raises(AssertionError):
        perfect(LEAVES[:count])


@given(st.integers(0, 600), st.integers(0, 10))
def test_a_subtree_of_which_the_root_is_known_is_grafted_where_it_fits(
    size: int, level: int
) -> None:
    tree = Range()
    tree.extend(LEAVES[:size])
    end = size + (1 << level)
    if size % (1 << level):
        with pytest.raises(ValueError, match="no subtree"):
            tree.graft(level, LEAVES[0])
        assert (tree.size, tree.root()) == (size, mth(0, size))
    elif end <= len(LEAVES):
        tree.graft(level, mth(size, end))
        assert (tree.size, tree.root()) == (end, mth(0, end))
