"""Crank rows as what they mean, and the one way their state changes."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg
from solders.pubkey import Pubkey

from settlement.bonds.rules import BondState, SeizureState
from settlement.cranks.states import CrankEvent, CrankState, after
from settlement.cranks.step import BookedBond, CrankKind
from settlement.db.pool import Tx
from settlement.db.sql import load

_SQL = load("settlement.cranks", "cranks.sql")


@dataclass(frozen=True, kw_only=True)
class Crank:
    """One crank that is not over, with its bond; `due_at` in chain time."""

    crank_id: UUID
    kind: CrankKind
    state: CrankState
    due_at: datetime
    put_off: int
    retry_at: datetime | None
    problem: str | None
    bond: BookedBond


def crank_of(row: asyncpg.Record) -> Crank:
    """A row of `open_cranks`."""
    return Crank(
        crank_id=row["crank_id"],
        kind=CrankKind(row["kind"]),
        state=CrankState(row["crank_state"]),
        due_at=row["due_at"],
        put_off=row["put_off"],
        retry_at=row["retry_at"],
        problem=row["problem"],
        bond=bond_of(row),
    )


def bond_of(row: asyncpg.Record) -> BookedBond:
    """A bond as the books know it."""
    return BookedBond(
        address=Pubkey.from_string(row["address"]),
        code=bytes(row["code"]),
        state=BondState(row["state"]),
        provider_id=row["provider_id"],
        beneficiary=Pubkey.from_string(row["beneficiary"]),
        first_beneficiary=Pubkey.from_string(row["first_beneficiary"]),
        rent_payer=Pubkey.from_string(row["rent_payer"]),
        release_at=row["release_at"],
        seizure=SeizureState(row["seizure_state"]),
        execute_after=row["seizure_execute_after"],
        decide_by=row["seizure_decide_by"],
        dies_at=row["seizure_dies_at"],
    )


async def locked(tx: Tx, crank_id: UUID) -> CrankState | None:
    """The state of a crank, locked until the transaction ends."""
    row = await tx.fetchrow(_SQL["lock_crank"], crank_id)
    return None if row is None else CrankState(row["state"])


async def move(tx: Tx, crank_id: UUID, state: CrankState, event: CrankEvent) -> CrankState:
    """Change the state of a crank the caller has locked. Raises `WrongCrankState`."""
    following = after(state, event)
    if following is not state:
        moved = await tx.fetchval(_SQL["set_state"], crank_id, state, following)
        assert moved == following, "the caller has locked the crank and knows its state"
    return following
