"""The accusation as one text: its SHA-256 is the evidence hash that goes on chain. Pure.

    podledger evidence 1
    case 0192f3a4-5b6c-7d8e-9f00-112233445566
    operator 6d0c…
    bond 8fKx…                              or `bond none`
    reason 3 62a1…                          the code, and the SHA-256 of the reason's text
    requests 2 9b41…                        how many, and the SHA-256 of their lines
    file 2c26… 1024 logs/2026-11-02.jsonl   one line a file, by name: SHA-256, bytes, name

Every line ends with a newline. A request's line is its id, a space, and the microunits claimed; the
lines are in the order of the ids. Same case, same files: same text, whoever packs them and where.
The case's own id makes the hash its own, so two cases never share one.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final
from uuid import UUID

from settlement.errors import Refused
from settlement.money import MicroUsdc

_HEAD: Final = "podledger evidence 1"
LONGEST_NAME_BYTES: Final = 255
MOST_FILES: Final = 1_000


class EvidenceNameInvalid(Refused):
    """A file of the evidence has a plain relative name: printable, no empty, `.` or `..` part, at
    most 255 bytes."""


class EvidenceTwice(Refused):
    """Two files of the evidence have the same name."""


class EvidenceMissing(Refused):
    """A case has evidence: at least one file, at most 1000."""


@dataclass(frozen=True, kw_only=True)
class EvidenceFile:
    """One file; `content` is None where only its hash is kept."""

    name: str
    size_bytes: int
    digest: bytes
    content: bytes | None = None


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One request somebody was harmed by, and how much of its price is claimed back."""

    request_id: UUID
    claimed_microusdc: MicroUsdc


@dataclass(frozen=True, kw_only=True)
class Accusation:
    """Everything the manifest is made of."""

    case_id: UUID
    provider_id: UUID
    bond: str | None
    reason_code: int
    reason: str
    claims: Sequence[Claim]
    files: Sequence[EvidenceFile]


def packed(name: str, content: bytes, *, kept: bool) -> EvidenceFile:
    """A file as the evidence has it. Raises `EvidenceNameInvalid`."""
    check_name(name)
    return EvidenceFile(
        name=name,
        size_bytes=len(content),
        digest=sha256(content).digest(),
        content=content if kept else None,
    )


def check_name(name: str) -> None:
    """Raise `EvidenceNameInvalid` unless the name is plain everywhere."""
    plain = (
        name.isprintable()
        and unicodedata.is_normalized("NFC", name)
        and "\\" not in name
        and len(name.encode(errors="replace")) <= LONGEST_NAME_BYTES
        and all(part not in ("", ".", "..") for part in name.split("/"))
    )
    if not plain:
        raise EvidenceNameInvalid(field="evidence", got=name)


def manifest(accusation: Accusation) -> str:
    """The text. Raises `EvidenceMissing`, `EvidenceTwice` or `EvidenceNameInvalid`."""
    names = [one.name for one in accusation.files]
    if not 0 < len(names) <= MOST_FILES:
        raise EvidenceMissing(field="evidence", got=len(names))
    for name in names:
        check_name(name)
    files = sorted(accusation.files, key=lambda one: one.name.encode())
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise EvidenceTwice(field="evidence", got=twice)
    reason = sha256(accusation.reason.encode()).hexdigest()
    requests = request_lines(accusation.claims)
    lines = [
        _HEAD,
        f"case {accusation.case_id}",
        f"operator {accusation.provider_id}",
        f"bond {accusation.bond or 'none'}",
        f"reason {accusation.reason_code} {reason}",
        f"requests {len(accusation.claims)} {sha256(requests.encode()).hexdigest()}",
        *(f"file {one.digest.hex()} {one.size_bytes} {one.name}" for one in files),
    ]
    return "".join(f"{line}\n" for line in lines)


def request_lines(claims: Iterable[Claim]) -> str:
    """The lines that the manifest's `requests` is the hash of."""
    ordered = sorted(claims, key=lambda one: one.request_id)
    return "".join(f"{one.request_id} {one.claimed_microusdc}\n" for one in ordered)


def evidence_hash(text: str) -> bytes:
    """The 32 bytes that go on chain for a manifest."""
    return sha256(text.encode()).digest()
