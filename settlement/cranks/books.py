"""Cranks against the books: opened when their time has come, closed by what the indexer wrote."""

from datetime import datetime
from typing import Final, assert_never

import structlog

from settlement.clock import Clock, new_id
from settlement.cranks import store
from settlement.cranks.states import FINAL, CrankEvent, after
from settlement.cranks.step import CrankKind, due
from settlement.cranks.store import Crank, bond_of, crank_of
from settlement.db.pool import Pool, Tx, reading, transaction
from settlement.db.sql import load

_SQL = load("settlement.cranks", "cranks.sql")
_BATCH: Final = 200
_log = structlog.stdlib.get_logger()


async def anything_to_do(pool: Pool) -> bool:
    """Whether any bond has a time that matters: only then need the chain be asked for its own."""
    async with reading(pool) as conn:
        return bool(await conn.fetchval(_SQL["clocks_run"]))


async def open_due(pool: Pool, *, now: datetime, clock: Clock) -> int:
    """Open a crank for every bond whose time has come (`now` in chain time); says how many."""
    async with reading(pool) as conn:
        rows = await conn.fetch(_SQL["bonds_with_a_time"], now, _BATCH)
    opened = 0
    for row in rows:
        bond = bond_of(row)
        step = due(bond, now)
        if step is None:
            continue
        crank_id = new_id(clock)
        async with transaction(pool) as tx:
            added = await tx.fetchval(
                _SQL["open_crank"], crank_id, step.kind, str(bond.address), step.since, clock.now()
            )
        if added is not None:
            opened += 1
            _log.info("crank_opened", crank=str(crank_id), kind=step.kind, bond=str(bond.address))
    return opened


async def open_cranks(pool: Pool) -> list[Crank]:
    """Every crank that is not over."""
    async with reading(pool) as conn:
        return [crank_of(row) for row in await conn.fetch(_SQL["open_cranks"])]


async def close_over(
    pool: Pool, cranks: list[Crank], *, now: datetime, clock: Clock
) -> list[Crank]:
    """Close the cranks whose bond has gone on, whoever made it; returns those that are left."""
    left: list[Crank] = []
    for crank in cranks:
        step = due(crank.bond, now)
        if step is not None and step.kind is crank.kind:
            left.append(crank)
            continue
        async with transaction(pool) as tx:
            await _close(tx, crank, clock.now())
    return left


async def _close(tx: Tx, crank: Crank, now: datetime) -> None:
    state = await store.locked(tx, crank.crank_id)
    if state is None or state in FINAL:
        return
    seen = await _seen(tx, crank)
    event = CrankEvent.OVERTAKEN if seen is None else CrankEvent.DONE
    ended = after(state, event)
    await tx.execute(_SQL["close_attempts"], crank.crank_id, now)
    closed = await tx.fetchval(_SQL["close_crank"], crank.crank_id, state, ended, seen, now)
    assert closed == ended, "the crank is locked"
    _log.info("crank_over", crank=str(crank.crank_id), kind=crank.kind, ended=ended, seen=seen)


async def _seen(tx: Tx, crank: Crank) -> str | None:
    """The finalized instruction that took this step; None when the bond went on by another."""
    address = str(crank.bond.address)
    match crank.kind:
        case CrankKind.RELEASE:
            return await tx.fetchval(_SQL["seen_of_bond"], address, "released")
        case CrankKind.EXECUTE_SEIZURE:
            return await tx.fetchval(_SQL["seen_of_bond"], address, "seized")
        case CrankKind.LAPSE:
            row = await tx.fetchrow(_SQL["newest_step"], address)
            return row["external_ref"] if row is not None and row["step"] == "lapsed" else None
        case _:
            assert_never(crank.kind)
