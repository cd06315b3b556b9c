"""Proofs as JSON: what was written is read, and nothing else."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.ledger.merkle import MAX_SIZE
from settlement.ledger.merkle_json import Consistency, Inclusion, ProofUnreadable
from tests.pure.merkle_reference import LEAVES, mth, path, proof

HEX = LEAVES[0].hex()
READERS: list[Callable[[object], object]] = [Inclusion.from_json, Consistency.from_json]
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(st.integers(1, 600), st.data())
def test_an_inclusion_is_read_as_it_was_written(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    made = Inclusion(index=index, size=size, path=tuple(path(index, 0, size)))
    read = Inclusion.from_json(json.loads(json.dumps(made.as_json())))
    assert read == made
    assert read.proves(LEAVES[index], mth(0, size))
    assert not read.proves(LEAVES[index + 1], mth(0, size))


@given(st.integers(1, 600), st.data())
def test_a_consistency_is_read_as_it_was_written(new: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, new))
    made = Consistency(old=old, new=new, path=tuple(proof(old, new)))
    read = Consistency.from_json(json.loads(json.dumps(made.as_json())))
    assert read == made
    assert read.proves(mth(0, old), mth(0, new))
    assert not read.proves(mth(0, old), mth(0, new + 1))


def test_how_proofs_are_written() -> None:
    inclusion = Inclusion(index=1, size=2, path=(LEAVES[0],))
    assert inclusion.as_json() == {"index": 1, "size": 2, "path": [HEX]}
    consistency = Consistency(old=0, new=MAX_SIZE, path=())
    assert consistency.as_json() == {"old": 0, "new": MAX_SIZE, "path": []}
    assert Consistency.from_json(consistency.as_json()) == consistency


@pytest.mark.parametrize("wrong", [True, False, -1, MAX_SIZE + 1, 1.0, "1", None, [1]])
def test_sizes_are_whole_numbers(wrong: object) -> None:
    for name in ("index", "size"):
        with pytest.raises(ProofUnreadable):
            Inclusion.from_json({"index": 0, "size": 1, "path": [], name: wrong})
    for name in ("old", "new"):
        with pytest.raises(ProofUnreadable):
            Consistency.from_json({"old": 0, "new": 1, "path": [], name: wrong})


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        HEX,
        {"0": HEX},
        [HEX.upper()],
        [HEX[:-1]],
        [HEX[:-2]],
        [HEX + "00"],
        [HEX + "\n"],
        [f" {HEX[1:]}"],
        ["0x" + HEX[2:]],
        ["g" * 64],
        ["\u0661" * 64],
        [None],
        [1],
        [[HEX]],
        [HEX] * 65,
    ],
    ids=repr,
)
def test_a_path_is_a_list_of_hashes(wrong: object) -> None:
    with pytest.raises(ProofUnreadable):
        Inclusion.from_json({"index": 0, "size": 1, "path": wrong})
    with pytest.raises(ProofUnreadable):
        Consistency.from_json({"old": 0, "new": 1, "path": wrong})


def test_sizes_have_an_order() -> None:
    for index, size in [(1, 1), (0, 0), (2, 1)]:
        with pytest.raises(ProofUnreadable):
            Inclusion.from_json({"index": index, "size": size, "path": []})
    with pytest.raises(ProofUnreadable):
        Consistency.from_json({"old": 2, "new": 1, "path": []})
    assert Consistency.from_json({"old": 1, "new": 1, "path": []}).proves(LEAVES[0], LEAVES[0])


@given(anything)
def test_anything_else_is_unreadable(value: object) -> None:
    for read in READERS:
        with pytest.raises(ProofUnreadable):
            read(value)


def test_names_are_exact() -> None:
    inclusion: dict[str, object] = {"index": 0, "size": 1, "path": []}
    with pytest.raises(ProofUnreadable):
        Inclusion.from_json({"old": 0, "new": 1, "path": []})
    with pytest.raises(ProofUnreadable):
        Inclusion.from_json({**inclusion, "root": HEX})
    with pytest.raises(ProofUnreadable):
        Inclusion.from_json({"index": 0, "size": 1})
    with pytest.raises(ProofUnreadable):
        Consistency.from_json(inclusion)
