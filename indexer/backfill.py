"""Reads a chain up to what is finalized now, and ends: a service's first hours as one command.

It is the follower itself, under the same lock, so it can be stopped at any moment and go on later,
here or in the service; what is booked is booked. Only one of the two runs at a time.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from indexer import store
from indexer.app import LOCK, WRITER, check_deployment, claim_deployment, watched_by
from indexer.beside import ceilings_of_stops
from indexer.config import IndexerSettings
from indexer.follow import Follower, Round
from indexer.metrics import Meters
from indexer.probes import GENESIS_HASHES, Prober
from indexer.providers import Providers, open_providers
from indexer.recorded import watch_of
from settlement.chain.rpc import RpcRefused
from settlement.db.pool import (
    TRANSIENT,
    AlreadyRunning,
    DatabaseUnavailable,
    Pool,
    only_one,
    open_pool,
    reading,
)
from settlement.db.sql import load
from settlement.errors import Unavailable
from settlement.ledger.store import open_writer
from settlement.money import Slot
from settlement.process import beside

_SQL: Final = load("indexer", "backfill.sql")
_AWAY: Final = (Unavailable, RpcRefused, *TRANSIENT)
_LOOK_SECONDS: Final = 1.0
# Rounds without news after which it ends: on a chain that stands still no frontier can follow.
_IDLE_ROUNDS: Final = 5
_FAILED_ROUNDS: Final = 10


class IndexerActive(Unavailable):
    """The indexer is running and reads the chain already: stop it first, or let it work."""


@dataclass(frozen=True, kw_only=True)
class Left:
    """What is still to be booked of what has been discovered."""

    signatures: int
    slot: Slot | None  # the lowest one; None when nothing is left


async def backfill(settings: IndexerSettings, told: Callable[[Left], None]) -> Round:
    """Follow until everything finalized now is in the books; `told` hears what is left.

    Ends as well when what is left cannot be booked for now: `Round.standing` says so. Raises
    `IndexerActive`, and what waiting does not mend.
    """
    pool = await open_pool(
        settings.database_url, role="pod_indexer", application="pod index backfill", size=5
    )
    try:
        async with (
            open_providers(settings.rpc_urls, limits_of=settings.limits_of) as providers,
            only_one(pool, LOCK),
        ):
            follower = await _follower(settings, providers, pool)
            try:
                async with beside(_watch(pool, settings.cluster, told)):
                    return await _caught_up(follower, settings.pace.poll_seconds)
            finally:
                told(await _left(pool, settings.cluster))
    except AlreadyRunning:
        raise IndexerActive(holder=await _holder(settings.database_url)) from None
    except TRANSIENT as error:
        raise DatabaseUnavailable(problem=error) from error
    finally:
        pool.terminate()


async def _follower(settings: IndexerSettings, providers: Providers, pool: Pool) -> Follower:
    async with reading(pool) as conn:
        known = await store.genesis_hash_of(conn, settings.cluster)
    prober = Prober(
        providers,
        program_id=settings.deployment.program_id,
        genesis_hash=settings.genesis_hash or GENESIS_HASHES.get(settings.cluster) or known,
    )
    genesis_hash = await prober.agree()
    await prober.look_once()
    watched = watched_by(settings)
    await check_deployment(settings, providers.lead)
    await claim_deployment(settings, genesis_hash, pool, watched)
    async with reading(pool) as conn:
        watch = await watch_of(conn, settings.cluster)
    return Follower(
        providers=providers,
        pool=pool,
        writer=await open_writer(pool, WRITER),
        watch=watch,
        watched=watched,
        pace=settings.pace,
        rules=settings.rules,
        meters=Meters(),
        ceilings=await ceilings_of_stops(settings, pool, watched),
    )


async def _caught_up(follower: Follower, pause_seconds: float) -> Round:
    """Rounds until the frontier has reached the first one's slot, or nothing changes any more."""
    target: Slot | None = None
    before: Round | None = None
    idle = failed = 0
    while True:
        try:
            now = await follower.round()
        except _AWAY:
            failed += 1
            if failed >= _FAILED_ROUNDS:
                raise
            await asyncio.sleep(pause_seconds)
            continue
        failed = 0
        target = now.slot if target is None else target
        changed = before is None or (now.frontier, now.standing) != (
            before.frontier,
            before.standing,
        )
        idle = 0 if changed else idle + 1
        if (now.quiet and now.frontier >= target) or idle >= _IDLE_ROUNDS:
            return now
        before = now
        await asyncio.sleep(pause_seconds)


async def _watch(pool: Pool, cluster: str, told: Callable[[Left], None]) -> None:
    while True:
        told(await _left(pool, cluster))
        await asyncio.sleep(_LOOK_SECONDS)


async def _left(pool: Pool, cluster: str) -> Left:
    async with reading(pool) as conn:
        row = await conn.fetchrow(_SQL["left"], cluster)
    assert row is not None, "a count is one row"
    return Left(signatures=row["signatures"], slot=row["slot"])


async def _holder(dsn: str) -> str:
    """Who has the lock, as far as this login may see."""
    pool = await open_pool(dsn, role="none", application="pod index backfill", size=1)
    try:
        async with reading(pool) as conn:
            row = await conn.fetchrow(_SQL["lock_holder"], LOCK)
    finally:
        await pool.close()
    if row is None:
        return "it has just ended"
    name = row["application_name"] or "another session"
    return f"{name} from {row['address'] or 'this machine'}, database session {row['pid']}"
