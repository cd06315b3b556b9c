"""The indexer's composition: database, chain, websocket, status address, and the loop around them.

One indexer is active (an advisory lock), others stand by and try again every second; one that
loses the lock stops in the middle of what it does, which is as good as being killed there. A
database or providers that are away are waited for, with a line in `/health` that says so; a
database that belongs to another chain, providers of different chains, or a program that is not
ours, end the process at once.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import structlog

from indexer import evidence, store, wake
from indexer.audit import Auditor
from indexer.beside import hints, keeper_of, shadowing
from indexer.checkpoint import Keeper
from indexer.config import IndexerSettings
from indexer.decode import Watch
from indexer.follow import Follower, Round
from indexer.glance import Glance
from indexer.hydration import QUORUM
from indexer.metrics import Meters
from indexer.probes import GENESIS_HASHES, Prober
from indexer.providers import Provider, Providers, open_providers
from indexer.recorded import watch_of
from indexer.source import Watched
from indexer.status import Status
from settlement.chain import program
from settlement.chain.rpc import RpcRefused
from settlement.db.pool import (
    TRANSIENT,
    AlreadyRunning,
    Pool,
    only_one,
    open_pool,
    reading,
    transaction,
)
from settlement.errors import Conflict, Unavailable
from settlement.ledger.operations import Writer
from settlement.ledger.store import WriterFenced, open_writer
from settlement.money import Slot
from settlement.observability import status_server
from settlement.process import beside
from settlement.reconcile import frontier
from settlement.reconcile.frontier import WANTED, FrontierMoved

LOCK: Final = "indexer"
WRITER: Final = "indexer"
_PAUSE_SECONDS: Final = 1.0
_REPORT_SECONDS: Final = 5.0
_AUDIT_SECONDS: Final = 30.0
_AWAY: Final = (Unavailable, RpcRefused, *TRANSIENT)
_log = structlog.stdlib.get_logger()


class NotInitialized(Unavailable):
    """The program has not been initialized on this chain yet."""


class WrongDeployment(Conflict):
    """The program on this chain has another mint or other vaults than the settings say."""


class LockLost(Unavailable):
    """The lock of the active indexer is gone, and with it the right to go on."""


@dataclass(kw_only=True)
class _Parts:
    """What one process has for as long as it lives."""

    settings: IndexerSettings
    providers: Providers
    prober: Prober
    pool: Pool
    flag: wake.Wake
    meters: Meters
    status: Status


async def follow(settings: IndexerSettings) -> None:
    """Follow the chain until cancelled. Raises what waiting cannot mend."""
    meters, status = Meters(), Status()
    async with (
        status_server(settings.status, meters.registry, status.health) as listening,
        open_providers(settings.rpc_urls, limits_of=settings.limits_of) as providers,
        _pool(settings, status) as pool,
    ):
        _log.info("listening", status=str(listening), cluster=settings.cluster)
        status.providers = providers
        prober = Prober(
            providers,
            program_id=settings.deployment.program_id,
            genesis_hash=settings.genesis_hash or GENESIS_HASHES.get(settings.cluster),
        )
        parts = _Parts(
            settings=settings,
            providers=providers,
            prober=prober,
            pool=pool,
            flag=wake.Wake(),
            meters=meters,
            status=status,
        )
        mentions = (settings.deployment.program_id, settings.payer)
        async with hints(settings, parts.flag, connected=meters.awake.set, mentions=mentions):
            await _for_ever(parts)


async def _for_ever(parts: _Parts) -> None:
    while True:
        try:
            await _active(parts)
        except AlreadyRunning:
            parts.status.waiting("standing by: another indexer is active")
        except (WriterFenced, FrontierMoved):
            parts.status.waiting("another indexer has taken over")
        except _AWAY as error:
            parts.status.waiting(_why(error))
        await asyncio.sleep(_PAUSE_SECONDS)


async def _active(parts: _Parts) -> None:
    """Be the active indexer as long as the lock is ours. Raises `LockLost` when it is not."""
    parts.meters.active.set(0)
    async with only_one(parts.pool, LOCK) as held, held.hearing(WANTED, parts.flag.set):
        parts.meters.active.set(1)
        following = asyncio.create_task(_follow(parts))
        losing = asyncio.create_task(held.lost())
        try:
            await asyncio.wait({following, losing}, return_when=asyncio.FIRST_COMPLETED)
            if not following.done():
                raise LockLost(lock=LOCK)
        finally:
            for task in (following, losing):
                task.cancel()
            await asyncio.gather(following, losing, return_exceptions=True)
        await following


async def _follow(parts: _Parts) -> None:
    settings, pool = parts.settings, parts.pool
    watched = watched_by(settings)
    if parts.prober.genesis_hash is None:
        async with reading(pool) as conn:
            parts.prober.genesis_hash = await store.genesis_hash_of(conn, settings.cluster)
    genesis_hash = await parts.prober.agree()
    async with beside(parts.prober.watch()):
        await parts.prober.look_once()
        await check_deployment(settings, parts.providers.lead)
        await claim_deployment(settings, genesis_hash, pool, watched)
        writer = await open_writer(pool, WRITER)
        async with reading(pool) as conn:
            watch = await watch_of(conn, settings.cluster)
        keeper = keeper_of(settings, parts.providers, pool, watched, parts.meters)
        follower = Follower(
            providers=parts.providers,
            pool=pool,
            writer=writer,
            watch=watch,
            watched=watched,
            pace=settings.pace,
            rules=settings.rules,
            meters=parts.meters,
            ceilings=keeper.ceilings,
        )
        _log.info("following", addresses=[str(one.address) for one in watched])
        async with (
            beside(_audit(parts, watch, writer)),
            shadowing(settings, parts.providers, pool, parts.meters),
        ):
            await _rounds(parts, follower, keeper)


async def _audit(parts: _Parts, watch: Watch, writer: Writer) -> None:
    """Look at the invariants now and then. Ends only by being cancelled."""
    async with reading(parts.pool) as conn:
        reached = await frontier.read(conn, watch.cluster)
    auditor = Auditor(
        pool=parts.pool,
        watch=watch,
        writer_id=writer.writer_id,
        seen_batch=writer.head.seq,
        seen_slot=max(reached.values(), default=Slot(0)),
    )
    while True:
        await asyncio.sleep(_AUDIT_SECONDS)
        try:
            await auditor.look(parts.meters)
        except TRANSIENT as error:
            _log.info("audit_failed", problem=type(error).__name__)


async def _rounds(parts: _Parts, follower: Follower, keeper: Keeper) -> None:
    meters, status = parts.meters, parts.status
    addresses = [one.address for one in watched_by(parts.settings) if not one.orders]
    glance = Glance(parts.providers, addresses)
    needed = 1 if parts.settings.rules.single_source else QUORUM
    reported_seconds = -_REPORT_SECONDS
    parts.meters.providers.needed.set(needed)
    now: Round | None = None
    while True:
        quiet = False
        try:
            if not parts.flag.listening:
                await glance.remember()
            with meters.round_seconds.time():
                await keeper.step(now and now.slot, now.frontiers if now else {})
                now = await follower.round()
            status.done(now, needed=needed, doubts=keeper.doubts)
            meters.rounds.labels(ended="well").inc()
            meters.last_round.set_to_current_time()
            quiet = now.quiet and not keeper.waits
        except _AWAY as error:
            meters.rounds.labels(ended="away").inc()
            status.waiting(_why(error))
        if time.monotonic() - reported_seconds >= _REPORT_SECONDS:
            reported_seconds = time.monotonic()
            await _report(parts)
        await _wait(parts, glance, quiet=quiet)


async def _wait(parts: _Parts, glance: Glance, *, quiet: bool) -> None:
    """Return when there may be something to do."""
    pace, flag = parts.settings.pace, parts.flag
    if not quiet:
        await flag.wait(pace.poll_seconds)
        return
    until_seconds = time.monotonic() + pace.quiet_poll_seconds
    while time.monotonic() < until_seconds:
        listening = flag.listening
        left_seconds = until_seconds - time.monotonic()
        if await flag.wait(left_seconds if listening else pace.poll_seconds):
            return
        if listening is not flag.listening or (not listening and await glance.changed()):
            return


async def _report(parts: _Parts) -> None:
    """Leave what the providers are like where people can see it without us."""
    leading = parts.status.last.lead if parts.status.last else None
    for one in parts.providers.all:
        parts.meters.providers.take(
            one.name,
            one.experience,
            usable=one.usable,
            leads=one.name == leading,
            lag_slots=one.lag_slots,
        )
    try:
        await evidence.remember_providers(parts.pool, parts.settings.cluster, parts.providers)
    except TRANSIENT as error:
        _log.info("report_failed", problem=type(error).__name__)


def watched_by(settings: IndexerSettings) -> tuple[Watched, ...]:
    """Every address whose signatures are wanted."""
    deployment = settings.deployment
    return (
        Watched(address=deployment.till_vault, purpose="till_vault"),
        Watched(address=deployment.bond_vault, purpose="bond_vault"),
        Watched(address=deployment.payouts, purpose="payouts"),
        Watched(address=settings.payer, purpose="fee_payer"),
        Watched(address=deployment.program_id, purpose="program", orders=True),
    )


async def check_deployment(settings: IndexerSettings, lead: Provider) -> None:
    """Raises `NotInitialized`, which is waited for, or `WrongDeployment`, which ends us."""
    deployment = settings.deployment
    found = (await lead.rpc.account(deployment.config)).account
    if found is None or found.owner != deployment.program_id:
        raise NotInitialized(program_id=deployment.program_id)
    config = program.decode_account(found.data)
    ours = (deployment.mint, deployment.till_vault, deployment.bond_vault)
    if not isinstance(config, program.Config) or (
        (config.mint, config.till_vault, config.bond_vault) != ours
    ):
        raise WrongDeployment(program_id=deployment.program_id, mint=deployment.mint)


async def claim_deployment(
    settings: IndexerSettings, genesis_hash: str, pool: Pool, watched: tuple[Watched, ...]
) -> None:
    """Bind this database to the chain. Raises `WrongCluster`, which ends us."""
    async with transaction(pool) as tx:
        await store.claim_cluster(
            tx,
            settings.cluster,
            genesis_hash=genesis_hash,
            program_id=settings.deployment.program_id,
            mint=settings.deployment.mint,
        )
        addresses = {str(one.address): one.purpose for one in watched}
        await store.watch(tx, settings.cluster, addresses)


@asynccontextmanager
async def _pool(settings: IndexerSettings, status: Status) -> AsyncGenerator[Pool]:
    """The database, as soon as it answers."""
    while True:
        try:
            pool = await open_pool(
                settings.database_url, role="pod_indexer", application="indexer", size=6
            )
            break
        except _AWAY as error:
            status.waiting(_why(error))
            await asyncio.sleep(_PAUSE_SECONDS)
    try:
        yield pool
    finally:
        pool.terminate()


def _why(error: BaseException) -> str:
    return f"waiting: {type(error).__name__}: {error}"
