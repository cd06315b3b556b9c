"""Proofs as files: read back as they were written, and refused where a bit of them is another."""

import json
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, cast
from uuid import UUID

import pytest

from settlement.ledger.merkle_json import Consistency, Inclusion, ProofUnreadable
from settlement.ledger.merkle_proof import (
    consistency_needs,
    consistency_path,
    inclusion_needs,
    inclusion_path,
)
from settlement.ledger.seal_file import GrowthProof, ProofFails, RowProof, read_proof, said
from settlement.ledger.seal_rows import SealHead
from settlement.ledger.seal_tree import Part
from settlement.ledger.verify_hash import leaf
from tests.pure.merkle_reference import fetch

NOW = datetime(2026, 11, 2, 12, 0, 0, 5, tzinfo=UTC)
IDS = [UUID(int=(0x7 << 76) + number) for number in range(40)]
TEXTS = [f"charge/2|{one}|{one}|1|2|100|80|20|2000|1|1|1|900|1|1|{n}" for n, one in enumerate(IDS)]
LEAVES = [leaf(text) for text in TEXTS]


def seal(seal_no: int, size: int) -> SealHead:
    """A seal over the first leaves, whose hash is right."""
    tree = Part(0)
    tree.extend(LEAVES[:size])
    digest = sha256(b"x").digest()
    made = SealHead(
        seal_no=seal_no, era=1, made_at=NOW, rows=size, tree_size=size, root=tree.root(),
        cut_hash=digest, balances_hash=digest, prev_hash=digest, hash=digest,
    )  # fmt: skip
    return replace(made, hash=made.true_hash)


def row_proof(index: int, size: int) -> RowProof:
    """That a row is in a seal."""
    hashes = fetch(inclusion_needs(index, size), LEAVES, {})
    path = tuple(inclusion_path(index, size, hashes))
    return RowProof(
        row_id=IDS[index],
        text=TEXTS[index],
        inclusion=Inclusion(index=index, size=size, path=path),
        seal=seal(2, size),
    )


def growth_proof(old: int, new: int) -> GrowthProof:
    """That one seal goes on from another."""
    hashes = fetch(consistency_needs(old, new), LEAVES, {})
    path = tuple(consistency_path(old, new, hashes))
    consistency = Consistency(old=old, new=new, path=path)
    return GrowthProof(old=seal(1, old), new=seal(2, new), consistency=consistency)


PROOFS = [row_proof(index, size) for size in (1, 7, 33, 40) for index in (0, size // 2, size - 1)]
GROWTHS = [growth_proof(old, new) for new in (7, 33, 40) for old in (1, 6, 7)]


@pytest.mark.parametrize("proof", [*PROOFS, *GROWTHS])
def test_a_proof_reads_back_and_holds(proof: RowProof | GrowthProof) -> None:
    again = read_proof(json.dumps(proof.as_json()))
    assert again == proof
    again.check()


def _changed(value: object) -> list[Any]:
    """Other values in its place, one thing different in each."""
    if isinstance(value, dict):
        fields = cast("dict[str, object]", value)
        return [{**fields, key: other} for key in fields for other in _changed(fields[key])]
    if isinstance(value, list):
        value = cast("list[object]", value)
        changed = [
            [*value[:at], other, *value[at + 1 :]]
            for at, one in enumerate(value)
            for other in _changed(one)
        ]
        return [*changed, *([value[:-1], [*value, value[-1]]] if value else [["00" * 32]])]
    if isinstance(value, int):
        return [value + 1, -value - 1, str(value), None, float(value)]
    assert isinstance(value, str)
    swapped = {"0": "1"}.get(value[-1], "0")
    return [value[:-1] + swapped, value[:-1], None]


@pytest.mark.parametrize("proof", [PROOFS[4], PROOFS[10], GROWTHS[4]])
def test_whatever_is_changed_it_does_not_hold(proof: RowProof | GrowthProof) -> None:
    for other in _changed(deepcopy(proof.as_json())):
        with pytest.raises((ProofFails, ProofUnreadable)):
            read_proof(json.dumps(other)).check()


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", "1", '{"proof": 1}', '{"proof": "x"}'])
def test_what_is_no_proof_is_refused(text: str) -> None:
    with pytest.raises(ProofUnreadable):
        read_proof(text)


def test_a_seal_made_up_for_the_row_shows_by_its_hash() -> None:
    """It holds by itself: who checks must know the seal's hash from elsewhere."""
    forged = TEXTS[0].replace("|100|80|20|", "|10|8|2|")
    proof = row_proof(0, 1)
    tree = Part(0)
    tree.extend([leaf(forged)])
    false = replace(proof.seal, root=tree.root())
    false = replace(false, hash=false.true_hash)
    replace(proof, text=forged, seal=false).check()
    assert false.hash != proof.seal.hash


def test_what_a_row_says() -> None:
    assert said(TEXTS[3])["gross"] == "100"
    assert said("hold/2|x") == {}
    assert said("charge/2|too|short") == {}
