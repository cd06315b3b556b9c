"""Proofs of one leaf and of two sizes: made as the definition says, and nothing else holds."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.ledger.merkle import MAX_SIZE, Node, Range, join, stored_under
from settlement.ledger.merkle_proof import (
    consistency_needs,
    consistency_path,
    inclusion_needs,
    inclusion_path,
    verify_consistency,
    verify_inclusion,
)
from tests.pure.merkle_reference import LEAVES, fetch, flipped, mth, path, proof, turns

CT = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657"]
CT_LEAVES = [
    sha256(b"\x00" + bytes.fromhex(data)).digest()
    for data in [*CT, "606162636465666768696a6b6c6d6e6f"]
]
L0 = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
L1 = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
L4 = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
N01 = "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"
N23 = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
N45 = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"
N67 = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
N0123 = "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"
N4567 = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"

sizes = st.integers(1, 600)
bits = st.integers(0, 255)


def made_inclusion(index: int, size: int, leaves: list[bytes] = LEAVES) -> list[bytes]:
    kept = Range().extend(leaves[:size])
    found = fetch(inclusion_needs(index, size), leaves[:size], kept)
    return inclusion_path(index, size, found)


def made_consistency(old: int, new: int, leaves: list[bytes] = LEAVES) -> list[bytes]:
    kept = Range().extend(leaves[:new])
    return consistency_path(old, new, fetch(consistency_needs(old, new), leaves[:new], kept))


def root_of(leaves: list[bytes]) -> bytes:
    tree = Range()
    tree.extend(leaves)
    return tree.root()


@pytest.mark.parametrize(
    ("index", "size", "wanted"),
    [
        (0, 1, []),
        (0, 8, [L1, N23, N4567]),
        (5, 8, [L4, N67, N0123]),
        (2, 3, [N01]),
        (1, 5, [L0, N23, L4]),
    ],
)
def test_inclusion_of_certificate_transparency(index: int, size: int, wanted: list[str]) -> None:
    hashes = made_inclusion(index, size, CT_LEAVES)
    assert [h.hex() for h in hashes] == wanted
    assert verify_inclusion(CT_LEAVES[index], index, size, hashes, root_of(CT_LEAVES[:size]))


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        (1, 1, []),
        (1, 8, [L1, N23, N4567]),
        (6, 8, [N45, N67, N0123]),
        (2, 5, [N23, L4]),
    ],
)
def test_consistency_of_certificate_transparency(old: int, new: int, wanted: list[str]) -> None:
    hashes = made_consistency(old, new, CT_LEAVES)
    assert [h.hex() for h in hashes] == wanted
    roots = root_of(CT_LEAVES[:old]), root_of(CT_LEAVES[:new])
    assert verify_consistency(old, roots[0], new, roots[1], hashes)


def test_every_proof_of_small_trees() -> None:
    for size in range(1, 70):
        whole = {node: mth(node.start, node.end) for node in nodes_of(size)}
        for other in range(size + 1):
            if other < size:
                made = inclusion_path(other, size, whole)
                assert made == path(other, 0, size)
                assert verify_inclusion(LEAVES[other], other, size, made, mth(0, size))
            made = consistency_path(other, size, whole)
            assert made == (proof(other, size) if other else [])
            assert verify_consistency(other, mth(0, other), size, mth(0, size), made)


def nodes_of(size: int) -> list[Node]:
    levels = range(size.bit_length())
    return [Node(level, index) for level in levels for index in range(size >> level)]


@given(sizes, st.data())
def test_an_inclusion_is_the_definition_s_and_holds(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    made = made_inclusion(index, size)
    assert made == path(index, 0, size)
    assert verify_inclusion(LEAVES[index], index, size, made, mth(0, size))


@given(sizes, st.data())
def test_a_consistency_is_the_definition_s_and_holds(new: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, new))
    made = made_consistency(old, new)
    assert made == proof(old, new)
    assert verify_consistency(old, mth(0, old), new, mth(0, new), made)


@given(sizes, bits, st.data())
def test_no_other_inclusion_holds(size: int, bit: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    leaf, root, made = LEAVES[index], mth(0, size), path(index, 0, size)
    assert not verify_inclusion(flipped(leaf, bit), index, size, made, root)
    assert not verify_inclusion(leaf, index, size, made, flipped(root, bit))
    for wrong in spoilt(made, bit):
        assert not verify_inclusion(leaf, index, size, wrong, root)
    for beyond in (join(LEAVES[0], root), join(root, LEAVES[0])):
        assert not verify_inclusion(leaf, index, size, [*made, LEAVES[0]], beyond)
    for other in {*range(min(size, 40)), size - 1, size, -1, MAX_SIZE} - {index}:
        assert not verify_inclusion(leaf, other, size, made, root)
    for other in {*range(40), size - 1, size + 1, 2 * size, -size, MAX_SIZE + size} - {size}:
        # A path is held against turns; what tells two sizes of the same turns apart is the root.
        same = index < other <= MAX_SIZE and turns(index, other) == turns(index, size)
        assert verify_inclusion(leaf, index, other, made, root) == same
        if 0 <= other <= len(LEAVES):
            assert not verify_inclusion(leaf, index, other, made, mth(0, other))


@given(st.integers(2, 600), bits, st.data())
def test_no_other_consistency_holds(new: int, bit: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, new - 1))
    roots, made = (mth(0, old), mth(0, new)), proof(old, new)
    assert not verify_consistency(old, flipped(roots[0], bit), new, roots[1], made)
    assert not verify_consistency(old, roots[0], new, flipped(roots[1], bit), made)
    assert not verify_consistency(old, roots[1], new, roots[0], made)
    assert not verify_consistency(new, roots[1], old, roots[0], made)
    for wrong in spoilt(made, bit):
        assert not verify_consistency(old, roots[0], new, roots[1], wrong)
    longer = [*made, LEAVES[0]]
    for beyond in (join(LEAVES[0], roots[1]), join(roots[1], LEAVES[0])):
        for before in (roots[0], join(LEAVES[0], roots[0])):
            assert not verify_consistency(old, before, new, beyond, longer)
    for other in {*range(40), old - 1, old + 1, new, new + 1, 2 * new} - {old}:
        assert not verify_consistency(other, mth(0, other), new, roots[1], made)
        assert other == 0 or not verify_consistency(other, roots[0], new, roots[1], made)
    for other in {*range(40), new - 1, new + 1, 2 * new} - {new}:
        assert not verify_consistency(old, roots[0], other, mth(0, other), made)


def spoilt(made: list[bytes], bit: int) -> list[list[bytes]]:
    """Paths that are not the one given: a bit, a length, a hash more or less, another order."""
    wrong = [[], made[:-1], made[1:], [*made, LEAVES[0]], [LEAVES[0], *made], made * 2]
    wrong += [[*made, made[-1] if made else b""], made[::-1], [*made, *LEAVES]]
    for place, digest in enumerate(made):
        for other in (flipped(digest, bit), digest[:-1], digest + b"\x00", b""):
            wrong.append([*made[:place], other, *made[place + 1 :]])
    return [candidate for candidate in wrong if candidate != made]


def test_what_needs_no_path() -> None:
    empty, one, two = mth(0, 0), mth(0, 1), mth(0, 2)
    assert verify_consistency(0, empty, 0, empty, [])
    assert verify_consistency(0, empty, 2, two, [])
    assert verify_consistency(2, two, 2, two, [])
    assert not verify_consistency(0, one, 0, one, [])
    assert not verify_consistency(0, one, 2, two, [])
    assert not verify_consistency(0, empty, 0, one, [])
    assert not verify_consistency(0, empty, 2, two, [LEAVES[1]])
    assert not verify_consistency(2, two, 2, two, [LEAVES[1]])
    assert not verify_consistency(2, two, 2, one, [])
    assert not verify_consistency(1, one, 2, two, [])
    assert (consistency_needs(0, 9), consistency_needs(9, 9)) == ([], [])


def test_sizes_that_are_none_are_false() -> None:
    root = mth(0, 1)
    for index, size in [(-1, 1), (0, 0), (0, -1), (1, 1), (0, 1 << 63), (1 << 70, 1 << 80)]:
        assert not verify_inclusion(root, index, size, [], root)
    for old, new in [(-1, 1), (2, 1), (1, 1 << 63), (1 << 63, 1 << 63), (-1, -1)]:
        assert not verify_consistency(old, root, new, root, [])
        assert not verify_consistency(old, root, new, root, [root])
    made = root
    for _ in range(63):
        made = join(made, root)
    assert not verify_inclusion(root, 0, MAX_SIZE + 1, [root] * 63, made)
    assert not verify_consistency(1, root, MAX_SIZE + 1, made, [root] * 63)


@pytest.mark.parametrize("wrong", [b"", LEAVES[0][:31], LEAVES[0] + b"\x00"])
def test_what_is_no_hash_is_false_though_it_fits(wrong: bytes) -> None:
    leaf = LEAVES[0]
    assert not verify_inclusion(wrong, 0, 1, [], wrong)
    assert not verify_inclusion(leaf, 0, 2, [wrong], join(leaf, wrong))
    assert not verify_consistency(1, wrong, 1, wrong, [])
    assert not verify_consistency(1, wrong, 2, join(wrong, leaf), [leaf])
    assert not verify_consistency(1, leaf, 2, join(leaf, wrong), [wrong])
    path = [wrong, leaf, leaf]
    roots = join(leaf, wrong), join(leaf, join(wrong, leaf))
    assert not verify_consistency(3, roots[0], 4, roots[1], path)


def test_a_path_through_a_tree_of_the_largest_size() -> None:
    for index in (0, 1 << 62, MAX_SIZE - 1, MAX_SIZE // 3):
        needed = inclusion_needs(index, MAX_SIZE)
        made = inclusion_path(index, MAX_SIZE, {node: LEAVES[node.level] for node in needed})
        assert len(made) in (62, 63)
        assert all(stored_under(node).end - stored_under(node).start <= 128 for node in needed)
        assert not verify_inclusion(LEAVES[0], index, MAX_SIZE, made, LEAVES[1])


def test_what_is_not_in_the_tree_has_no_path() -> None:
    for index, size in [(5, 5), (-1, 5), (0, 0)]:
        with pytest.raises(AssertionError):
            inclusion_needs(index, size)
    for old, new in [(6, 5), (-1, 5)]:
        with pytest.raises(AssertionError):
            consistency_needs(old, new)
    with pytest.raises(KeyError):
        inclusion_path(0, 2, {})
