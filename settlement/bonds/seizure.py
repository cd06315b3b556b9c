"""The indexer's door for the steps of a seizure: what was proposed, contested, decided or dropped.

No step but the last moves money, and that one is `lifecycle.seized`. Every step is kept, also of a
bond we do not know (yet); after each, the open seizure on the bond's row is worked out again from
all steps in the order of the chain. So the same step again changes nothing, and steps read late or
in another order lead to the same row.
"""

from dataclasses import dataclass
from typing import Final

import asyncpg

from settlement.bonds.rules import (
    Seizure,
    SeizureFact,
    SeizureState,
    SeizureStep,
    SeizureTimes,
    seizure_after,
)
from settlement.chain.movement import ChainMoment, MovementKey
from settlement.db import sql
from settlement.db.pool import ReadConn, Tx
from settlement.errors import Conflict

_QUERIES: Final = sql.load("settlement.bonds", "bonds.sql")


class SeizureStepConflict(Conflict):
    """This instruction was taken in before, as another step."""


@dataclass(frozen=True, kw_only=True)
class StepSeen:
    """One step of a seizure; `signer` is None where nobody needs to sign."""

    key: MovementKey
    moment: ChainMoment
    address: str
    step: SeizureStep
    signer: str | None = None
    evidence_hash: bytes | None = None
    reason: int | None = None
    reply_hash: bytes | None = None
    times: SeizureTimes | None = None


async def stepped(tx: Tx, fact: StepSeen) -> None:
    """Take in one step. Raises `SeizureStepConflict`."""
    times = fact.times
    added = await tx.fetchval(
        _QUERIES["add_step"],
        fact.key.reference,
        fact.address,
        fact.step.value,
        fact.signer,
        fact.evidence_hash,
        fact.reason,
        fact.reply_hash,
        times and times.execute_after,
        times and times.decide_by,
        times and times.dies_at,
        fact.moment.slot,
        fact.moment.block_time,
    )
    if added is None:
        row = await tx.fetchrow(_QUERIES["known_step"], fact.key.reference)
        if row is None or (row["address"], row["step"]) != (fact.address, fact.step.value):
            raise SeizureStepConflict(reference=fact.key.reference, address=fact.address)
        return
    await work_out(tx, fact.address)


async def work_out(tx: Tx, address: str) -> None:
    """Write on the bond's row what all its steps led to; nothing for a bond without a row."""
    rows = await tx.fetch(_QUERIES["steps_of"], address)
    found = seizure_after(_fact(row) for row in rows)
    times = found and found.times
    await tx.execute(
        _QUERIES["set_seizure"],
        address,
        found.state.value if found else SeizureState.NONE.value,
        found and found.proposed_at,
        found and found.evidence_hash,
        found.reason if found else None,
        found and found.reply_hash,
        times and times.execute_after,
        times and times.decide_by,
        times and times.dies_at,
    )


async def open_seizure(conn: ReadConn, address: str) -> Seizure | None:
    """The open seizure of the bond at this address; None if there is none, or no such bond."""
    row = await conn.fetchrow(_QUERIES["seizure"], address)
    if row is None:
        return None
    return Seizure(
        state=SeizureState(row["seizure_state"]),
        proposed_at=row["seizure_proposed_at"],
        evidence_hash=row["seizure_evidence"],
        reason=row["seizure_reason"],
        reply_hash=row["seizure_reply"],
        times=_times(row, "seizure_"),
    )


def _fact(row: asyncpg.Record) -> SeizureFact:
    return SeizureFact(
        step=SeizureStep(row["step"]),
        at=row["event_at"],
        evidence_hash=row["evidence"],
        reason=row["reason"],
        reply_hash=row["reply"],
        times=_times(row, ""),
    )


def _times(row: asyncpg.Record, prefix: str) -> SeizureTimes | None:
    if row[f"{prefix}dies_at"] is None:
        return None
    return SeizureTimes(
        execute_after=row[f"{prefix}execute_after"],
        decide_by=row[f"{prefix}decide_by"],
        dies_at=row[f"{prefix}dies_at"],
    )
