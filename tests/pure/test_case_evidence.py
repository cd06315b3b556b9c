"""The manifest: one text for one accusation, whoever packs it, and its hash."""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from random import Random
from uuid import UUID

import pytest

from settlement.cases.evidence import (
    Accusation,
    Claim,
    EvidenceMissing,
    EvidenceNameInvalid,
    EvidenceTwice,
    evidence_hash,
    manifest,
    packed,
    request_lines,
)
from settlement.money import MicroUsdc

FIRST, SECOND = UUID(int=1), UUID(int=2)


def claim(request_id: UUID, amount: int = 5) -> Claim:
    return Claim(request_id=request_id, claimed_microusdc=MicroUsdc(amount))


ACCUSATION = Accusation(
    case_id=UUID(int=9),
    provider_id=UUID(int=8),
    bond="So11111111111111111111111111111111111111112",
    reason_code=3,
    reason="answers of another model",
    claims=[claim(SECOND, 7), claim(FIRST)],
    files=[packed("b.txt", b"second", kept=True), packed("a/c.txt", b"", kept=False)],
)


def digest(content: bytes) -> str:
    return sha256(content).hexdigest()


def test_the_text_is_as_its_page_shows_it() -> None:
    requests = f"{FIRST} 5\n{SECOND} 7\n"
    assert request_lines(ACCUSATION.claims) == requests
    assert manifest(ACCUSATION) == (
        "podledger evidence 1\n"
        f"case {UUID(int=9)}\n"
        f"operator {UUID(int=8)}\n"
        "bond So11111111111111111111111111111111111111112\n"
        f"reason 3 {digest(b'answers of another model')}\n"
        f"requests 2 {digest(requests.encode())}\n"
        f"file {digest(b'')} 0 a/c.txt\n"
        f"file {digest(b'second')} 6 b.txt\n"
    )
    assert evidence_hash("x") == sha256(b"x").digest()
    assert "bond none\n" in manifest(replace(ACCUSATION, bond=None))


def test_neither_order_nor_keeping_changes_it() -> None:
    names = ["Z", "a", "é", "a/b", "a.b", "10", "9"]
    files = [packed(name, name.encode(), kept=True) for name in names]
    text = manifest(replace(ACCUSATION, files=files))
    shuffled = [replace(one, content=None) for one in files]
    Random(1).shuffle(shuffled)
    claims = list(reversed(ACCUSATION.claims))
    assert manifest(replace(ACCUSATION, files=shuffled, claims=claims)) == text
    lines = [line.rsplit(" ", 1)[1] for line in text.splitlines() if line.startswith("file ")]
    assert lines == sorted(names, key=str.encode)


def test_whatever_is_said_changes_the_hash() -> None:
    others: Sequence[Accusation] = [
        replace(ACCUSATION, case_id=UUID(int=7)),
        replace(ACCUSATION, provider_id=UUID(int=7)),
        replace(ACCUSATION, bond=None),
        replace(ACCUSATION, reason_code=4),
        replace(ACCUSATION, reason="answers of another model."),
        replace(ACCUSATION, claims=ACCUSATION.claims[:1]),
        replace(ACCUSATION, claims=[claim(FIRST), claim(SECOND, 8)]),
        replace(ACCUSATION, files=ACCUSATION.files[:1]),
        replace(ACCUSATION, files=[packed("b.txt", b"other", kept=True)]),
        replace(ACCUSATION, files=[packed("c.txt", b"second", kept=True)]),
    ]
    texts = {manifest(one) for one in (ACCUSATION, *others)}
    assert len(texts) == 1 + len(others)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/etc/passwd",
        "../up",
        "a/../b",
        "a//b",
        "./a",
        "a/",
        "line\nfile 00 0 forged",
        "bell\a",
        "back\\slash",
        "e\u0301",  # not composed: another spelling of what may be there
        "x" * 256,
        "\ud800",
    ],
)
def test_a_name_is_plain(name: str) -> None:
    with pytest.raises(EvidenceNameInvalid) as refused:
        packed(name, b"", kept=True)
    assert refused.value.details["field"] == "evidence"
    unchecked = replace(ACCUSATION.files[0], name=name)
    with pytest.raises(EvidenceNameInvalid):
        manifest(replace(ACCUSATION, files=[unchecked]))


def test_evidence_is_there_and_each_file_once() -> None:
    with pytest.raises(EvidenceMissing):
        manifest(replace(ACCUSATION, files=[]))
    many = [packed(str(number), b"", kept=False) for number in range(1_001)]
    with pytest.raises(EvidenceMissing):
        manifest(replace(ACCUSATION, files=many))
    with pytest.raises(EvidenceTwice) as refused:
        manifest(replace(ACCUSATION, files=[ACCUSATION.files[0]] * 2))
    assert refused.value.details["got"] == "b.txt"
