"""Case files as they are read: what was said, what the chain did, the evidence.

Where a case stands is told as the chain has it at this moment, whether or not anybody has written
that down yet. Nothing here says whose requests they were: that is the people's who draw up lists.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg

from settlement.bonds.rules import SeizureStep
from settlement.cases.evidence import EvidenceFile
from settlement.cases.states import CaseState, followed
from settlement.db import sql
from settlement.db.pool import ReadConn
from settlement.errors import NotFound
from settlement.money import MicroUsdc, Slot

_QUERIES: Final = sql.load("settlement.cases", "reading.sql")
PAGE: Final = 100
NEWEST: Final = UUID(int=2**128 - 1)


class CaseUnknown(NotFound):
    """There is no case of this id."""


class EvidenceUnknown(NotFound):
    """The case has no file of this name."""


class EvidenceElsewhere(NotFound):
    """Of this file only the hash is kept here; ask who opened the case for the file."""


@dataclass(frozen=True, kw_only=True)
class Signed:
    """A person's decision."""

    actor: str
    at: datetime
    note: str


@dataclass(frozen=True, kw_only=True)
class Case:
    """A case without its parts."""

    case_id: UUID
    provider_id: UUID
    bond: str | None
    reason_code: int
    reason: str
    manifest: str
    evidence: bytes  # the 32 bytes on chain
    state: CaseState  # as the chain has it now
    stored: CaseState  # as was written down last
    opened_at: datetime
    opened_by: str
    review: Signed | None
    review_accepts: bool
    closing: Signed | None


@dataclass(frozen=True, kw_only=True)
class ChainStep:
    """What the chain did; its times, where they were known, are chain time."""

    step: SeizureStep
    reference: str
    signer: str | None
    reply_hash: bytes | None
    execute_after: datetime | None
    decide_by: datetime | None
    dies_at: datetime | None
    slot: Slot
    at: datetime


@dataclass(frozen=True, kw_only=True)
class FileKept:
    """A file of the evidence, and whether its content is here."""

    name: str
    size_bytes: int
    digest: bytes
    kept: bool


@dataclass(frozen=True, kw_only=True)
class Affected:
    """One request of a case."""

    request_id: UUID
    paid_microusdc: MicroUsdc
    claimed_microusdc: MicroUsdc


async def case(conn: ReadConn, case_id: UUID) -> Case:
    """The case of this id. Raises `CaseUnknown`."""
    row = await conn.fetchrow(_QUERIES["case"], case_id)
    if row is None:
        raise CaseUnknown(field="case", got=str(case_id))
    return _case(row)


async def cases(
    conn: ReadConn,
    provider_id: UUID | None = None,
    *,
    before: UUID = NEWEST,
    shown_only: bool = False,
) -> list[Case]:
    """A page of cases, newest first, older than `before`.

    `shown_only`: those the operator may see, which are the ones that a second person agreed to, or
    that the chain knows of.
    """
    rows = await conn.fetch(_QUERIES["cases"], provider_id, before, shown_only, PAGE)
    return [_case(row) for row in rows]


async def steps(conn: ReadConn, case_id: UUID) -> list[ChainStep]:
    """What the chain did about the case, in its order."""
    rows = await conn.fetch(_QUERIES["case_steps"], case_id)
    return [
        ChainStep(
            step=SeizureStep(row["step"]),
            reference=row["external_ref"],
            signer=row["signer"],
            reply_hash=row["reply"],
            execute_after=row["execute_after"],
            decide_by=row["decide_by"],
            dies_at=row["dies_at"],
            slot=Slot(row["slot"]),
            at=row["event_at"],
        )
        for row in rows
    ]


async def files(conn: ReadConn, case_id: UUID) -> list[FileKept]:
    """The files of the evidence, by name."""
    rows = await conn.fetch(_QUERIES["case_files"], case_id)
    return [
        FileKept(name=row["name"], size_bytes=row["size"], digest=row["digest"], kept=row["kept"])
        for row in rows
    ]


async def file(conn: ReadConn, case_id: UUID, name: str) -> EvidenceFile:
    """One file with its content. Raises `EvidenceUnknown` or `EvidenceElsewhere`."""
    # No text of the database's has a zero byte in it.
    row = await conn.fetchrow(_QUERIES["case_file"], case_id, name) if "\0" not in name else None
    if row is None:
        raise EvidenceUnknown(field="name", got=name)
    if row["content"] is None:
        raise EvidenceElsewhere(field="name", got=name)
    return EvidenceFile(
        name=row["name"], size_bytes=row["size"], digest=row["digest"], content=row["content"]
    )


async def requests(conn: ReadConn, case_id: UUID) -> list[Affected]:
    """The requests of the case, by id."""
    rows = await conn.fetch(_QUERIES["case_requests"], case_id)
    return [
        Affected(
            request_id=row["request_id"],
            paid_microusdc=MicroUsdc(row["paid"]),
            claimed_microusdc=MicroUsdc(row["claimed"]),
        )
        for row in rows
    ]


def contestable(taken: Sequence[ChainStep]) -> ChainStep | None:
    """The proposal that can be contested now, by its `execute_after`; None where there is none."""
    newest = taken[-1] if taken else None
    return newest if newest is not None and newest.step is SeizureStep.PROPOSED else None


def _case(row: asyncpg.Record) -> Case:
    stored = CaseState(row["state"])
    return Case(
        case_id=row["case_id"],
        provider_id=row["provider_id"],
        bond=row["bond_address"],
        reason_code=row["reason_code"],
        reason=row["reason"],
        manifest=row["manifest"],
        evidence=row["evidence"],
        state=followed(stored, row["newest_step"]),
        stored=stored,
        opened_at=row["opened_at"],
        opened_by=row["opened_by"],
        review=_signed(row["reviewed_by"], row["reviewed_at"], row["review_note"]),
        review_accepts=row["review_accepts"] is True,
        closing=_signed(row["closed_by"], row["closed_at"], row["close_note"]),
    )


def _signed(actor: str | None, at: datetime | None, note: str | None) -> Signed | None:
    if actor is None or at is None or note is None:
        return None
    return Signed(actor=actor, at=at, note=note)
