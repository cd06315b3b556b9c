"""One proof for many leaves: the fewest hashes, and nothing else holds."""

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.ledger.merkle import Range
from settlement.ledger.merkle_multi import Run, multi_hashes, multi_needs, verify_multi
from settlement.ledger.merkle_proof import Span
from tests.pure.merkle_reference import LEAVES, fetch, fewest, flipped, mth, path

Case = tuple[int, list[Span]]


@st.composite
def cases(draw: st.DrawFn, least_size: int = 0, least_runs: int = 0) -> Case:
    """A size and runs of leaves in it; some are neighbours, some hold one leaf."""
    size = draw(st.integers(least_size, 600))
    cuts = sorted(draw(st.sets(st.integers(0, size), max_size=12)))
    every = list(pairwise(cuts))
    chosen = draw(st.lists(st.booleans(), min_size=len(every), max_size=len(every)))
    spans = [span for span, known in zip(every, chosen, strict=True) if known]
    return size, spans if len(spans) >= least_runs else [(0, size)]


some = cases(1, 1)


def known(spans: list[Span]) -> list[Run]:
    return [(start, LEAVES[start:end]) for start, end in spans]


def made(size: int, spans: list[Span]) -> list[bytes]:
    kept = Range().extend(LEAVES[:size])
    return multi_hashes(spans, size, fetch(multi_needs(spans, size), LEAVES[:size], kept))


@given(cases())
def test_the_fewest_hashes_prove_many_leaves(case: Case) -> None:
    size, spans = case
    hashes = made(size, spans)
    leaves = frozenset(index for start, end in spans for index in range(start, end))
    assert hashes == fewest(leaves, 0, size)
    assert verify_multi(known(spans), size, hashes, mth(0, size))


def test_every_run_of_small_trees() -> None:
    for size in range(20):
        for start in range(size):
            for end in range(start + 1, size + 1):
                hashes = made(size, [(start, end)])
                assert hashes == fewest(frozenset(range(start, end)), 0, size)
                assert verify_multi(known([(start, end)]), size, hashes, mth(0, size))


def test_one_leaf_is_proven_by_its_path() -> None:
    for size in range(1, 40):
        for index in range(size):
            hashes = made(size, [(index, index + 1)])
            assert sorted(hashes) == sorted(path(index, 0, size))


@given(some, st.integers(0, 255), st.data())
def test_no_other_leaf_hash_or_root_holds(case: Case, bit: int, data: st.DataObject) -> None:
    size, spans = case
    hashes, root = made(size, spans), mth(0, size)
    place = data.draw(st.integers(0, len(spans) - 1))
    start, end = spans[place]
    changed = data.draw(st.integers(0, end - start - 1))
    leaves = LEAVES[start:end]
    for wrong in (flipped(leaves[changed], bit), leaves[changed][:31], b""):
        runs = known(spans)
        runs[place] = (start, [*leaves[:changed], wrong, *leaves[changed + 1 :]])
        assert not verify_multi(runs, size, hashes, root)
    assert not verify_multi(known(spans), size, hashes, flipped(root, bit))
    for at, digest in enumerate(hashes):
        for wrong in (flipped(digest, bit), digest[:31], digest + b"\x00"):
            others = [*hashes[:at], wrong, *hashes[at + 1 :]]
            assert not verify_multi(known(spans), size, others, root)
    for others in (hashes[:-1], hashes[1:], [*hashes, LEAVES[0]], [LEAVES[0], *hashes]):
        if others != hashes:
            assert not verify_multi(known(spans), size, others, root)


@given(some, st.sampled_from([-600, -1, 1, 600]), st.data())
def test_no_other_place_or_size_holds(case: Case, by: int, data: st.DataObject) -> None:
    size, spans = case
    hashes, root = made(size, spans), mth(0, size)
    place = data.draw(st.integers(0, len(spans) - 1))
    runs = known(spans)
    runs[place] = (runs[place][0] + by, runs[place][1])
    assert not verify_multi(runs, size, hashes, root)
    other = size + by
    assert not verify_multi(known(spans), other, hashes, mth(0, max(other, 0)))


def test_runs_that_are_none_are_false() -> None:
    root = mth(0, 8)
    whole: list[Run] = [(0, LEAVES[:8])]
    assert verify_multi(whole, 8, [], root)
    assert verify_multi([(0, LEAVES[:3]), (3, LEAVES[3:8])], 8, [], root)
    wrong: list[list[Run]] = [
        [(3, LEAVES[3:8]), (0, LEAVES[:3])],
        [(0, LEAVES[:4]), (3, LEAVES[3:8])],
        [(0, LEAVES[:4]), (4, []), (4, LEAVES[4:8])],
        [*whole, (8, [])],
        [*whole, (8, LEAVES[8:9])],
        [(-1, LEAVES[:9])],
        [*whole, *whole],
    ]
    for runs in wrong:
        assert not verify_multi(runs, 8, [], root)
    assert not verify_multi([(0, LEAVES[:9])], 8, [], mth(0, 9))


def test_no_leaf_proves_the_root_by_itself() -> None:
    assert verify_multi([], 0, [], mth(0, 0))
    assert not verify_multi([], 0, [mth(0, 0)], mth(0, 0))
    assert not verify_multi([], 0, [], mth(0, 1))
    assert made(7, []) == [mth(0, 7)]
    assert verify_multi([], 7, [mth(0, 7)], mth(0, 7))
    assert not verify_multi([], 7, [], mth(0, 7))
    assert not verify_multi([], -1, [], mth(0, 0))
    assert not verify_multi([], 1 << 63, [mth(0, 7)], mth(0, 7))


def test_a_hash_that_is_none_does_not_move_what_follows() -> None:
    root = mth(0, 2)
    assert not verify_multi([(1, LEAVES[:1])], 2, [b"", LEAVES[1]], root)
    assert not verify_multi([(1, LEAVES[:2])], 2, [b""], root)


def test_runs_and_hashes_are_read_once_and_one_at_a_time() -> None:
    size, spans = 600, [(1, 300), (301, 302), (400, 599)]
    read: list[int] = []

    def arriving() -> Iterator[Run]:
        for run in known(spans):
            read.append(run[0])
            yield run

    def told() -> Iterator[bytes]:
        for place, digest in enumerate(made(size, spans)):
            assert read, f"hash {place} is asked for before the first run"
            yield digest

    assert verify_multi(arriving(), size, told(), mth(0, size))
    assert read == [1, 301, 400]


@pytest.mark.parametrize("spans", [[(3, 2)], [(2, 2)], [(4, 6), (5, 7)], [(0, 9)], [(-1, 2)]])
def test_runs_out_of_order_have_no_proof(spans: list[Span]) -> None:
    with pytest.raises(AssertionError):
        multi_needs(spans, 8)
