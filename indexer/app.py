"""The indexer's composition: database, chain, websocket, status address, and the loop around them.

One indexer is active (an advisory lock), others stand by. A database or a node that is away is
waited for, with a line in `/health` that says so; a database that belongs to another chain, or a
program that is not ours, ends the process at once.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import structlog

from indexer import store, wake
from indexer.config import IndexerSettings
from indexer.decode import Watch
from indexer.follow import Follower, Round
from indexer.metrics import Meters
from indexer.source import Watched
from settlement.chain import program
from settlement.chain.rpc import RetryPolicy, RpcClient, RpcRefused, open_rpc
from settlement.db.pool import (
    TRANSIENT,
    AlreadyRunning,
    Pool,
    only_one,
    open_pool,
    transaction,
)
from settlement.errors import Conflict, Unavailable
from settlement.ledger.store import WriterFenced, open_writer
from settlement.observability import Health, status_server
from settlement.reconcile.frontier import FrontierMoved

LOCK: Final = "indexer"
WRITER: Final = "indexer"
# Shorter than the client's own: health should say soon that the node is away.
_RETRY: Final = RetryPolicy(attempts=4, longest_pause_seconds=1.0, total_seconds=5.0)
_PAUSE_SECONDS: Final = 1.0
_STALE_SECONDS: Final = 30.0
_AWAY: Final = (Unavailable, RpcRefused, *TRANSIENT)
_log = structlog.stdlib.get_logger()


class NotInitialized(Unavailable):
    """The program has not been initialized on this chain yet."""


class WrongDeployment(Conflict):
    """The program on this chain has another mint or other vaults than the settings say."""


@dataclass(kw_only=True)
class Status:
    """What `/health` says."""

    line: str = "starting"
    well: bool = False
    last: Round | None = None
    looked_at_seconds: float = 0.0

    def waiting(self, why: str) -> None:
        """Nothing can be done right now."""
        if self.line != why:
            _log.warning("waiting", why=why)
        self.line, self.well = why, False

    def done(self, now: Round) -> None:
        """A round has ended well."""
        self.last = now
        self.looked_at_seconds = asyncio.get_running_loop().time()
        self.line = f"slot {now.slot}, frontier {now.frontier}, {now.behind_slots} behind"
        self.well = now.standing.unreadable == 0
        if not self.well:
            self.line += f"; {now.standing.unreadable} transactions cannot be read"
        if now.standing.wanted:
            self.line += f"; {now.standing.wanted} transactions are not there yet"

    def health(self) -> Health:
        """The answer."""
        silent_seconds = asyncio.get_running_loop().time() - self.looked_at_seconds
        stale = self.last is not None and silent_seconds > _STALE_SECONDS
        facts: dict[str, int | str] = {}
        if self.last is not None:
            standing = self.last.standing
            facts = {
                "slot": self.last.slot,
                "frontier": self.last.frontier,
                "behind_slots": self.last.behind_slots,
                "wanted": standing.wanted,
                "unreadable": standing.unreadable,
                "incidents": standing.incidents,
            }
        line = f"no round for {int(silent_seconds)} s; {self.line}" if stale else self.line
        return Health(well=self.well and not stale, line=line, facts=facts)


async def follow(settings: IndexerSettings) -> None:
    """Follow the chain until cancelled. Raises what waiting cannot mend."""
    meters, status = Meters(), Status()
    async with (
        status_server(settings.status, meters.registry, status.health) as listening,
        open_rpc(settings.rpc_urls, retry=_RETRY) as rpc,
        _pool(settings, status) as pool,
    ):
        _log.info("listening", status=str(listening), cluster=settings.cluster)
        flag = wake.Wake()
        async with _hints(settings, flag, meters):
            while True:
                try:
                    await _active(settings, rpc, pool, flag, meters, status)
                except AlreadyRunning:
                    status.waiting("standing by: another indexer is active")
                except (WriterFenced, FrontierMoved):
                    status.waiting("another indexer has taken over")
                except _AWAY as error:
                    status.waiting(_why(error))
                await asyncio.sleep(_PAUSE_SECONDS)


async def _active(
    settings: IndexerSettings,
    rpc: RpcClient,
    pool: Pool,
    flag: wake.Wake,
    meters: Meters,
    status: Status,
) -> None:
    """Be the active indexer as long as the lock is ours."""
    async with only_one(pool, LOCK) as held:
        watched = watched_by(settings)
        await _check_deployment(settings, rpc)
        await _claim(settings, rpc, pool, watched)
        follower = Follower(
            chain=rpc,
            pool=pool,
            writer=await open_writer(pool, WRITER),
            watch=Watch(cluster=settings.cluster, deployment=settings.deployment),
            watched=watched,
            pace=settings.pace,
            meters=meters,
        )
        _log.info("following", addresses=[str(one.address) for one in watched])
        while held():
            try:
                with meters.round_seconds.time():
                    status.done(await follower.round())
                meters.rounds.labels(ended="well").inc()
            except _AWAY as error:
                meters.rounds.labels(ended="away").inc()
                status.waiting(_why(error))
            await flag.wait(settings.pace.poll_seconds)


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


async def _check_deployment(settings: IndexerSettings, rpc: RpcClient) -> None:
    """Raises `NotInitialized`, which is waited for, or `WrongDeployment`, which ends us."""
    deployment = settings.deployment
    found = (await rpc.account(deployment.config)).account
    if found is None or found.owner != deployment.program_id:
        raise NotInitialized(program_id=deployment.program_id)
    config = program.decode_account(found.data)
    ours = (deployment.mint, deployment.till_vault, deployment.bond_vault)
    if not isinstance(config, program.Config) or (
        (config.mint, config.till_vault, config.bond_vault) != ours
    ):
        raise WrongDeployment(program_id=deployment.program_id, mint=deployment.mint)


async def _claim(
    settings: IndexerSettings, rpc: RpcClient, pool: Pool, watched: tuple[Watched, ...]
) -> None:
    """Bind this database to the chain. Raises `WrongCluster`, which ends us."""
    genesis_hash = await rpc.genesis_hash()
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
                settings.database_url, role="pod_indexer", application="indexer", size=4
            )
            break
        except _AWAY as error:
            status.waiting(_why(error))
            await asyncio.sleep(_PAUSE_SECONDS)
    try:
        yield pool
    finally:
        pool.terminate()


@asynccontextmanager
async def _hints(
    settings: IndexerSettings, flag: wake.Wake, meters: Meters
) -> AsyncGenerator[None]:
    """The websocket's hints, where there is one to listen to."""
    if settings.ws_url is None:
        yield
        return
    deployment = settings.deployment
    listening = asyncio.create_task(
        wake.listen(
            settings.ws_url,
            accounts=(deployment.till_vault, deployment.bond_vault),
            mentions=(deployment.program_id, settings.payer),
            wake=flag,
            connected=meters.awake.set,
        )
    )
    try:
        yield
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


def _why(error: BaseException) -> str:
    return f"waiting: {type(error).__name__}: {error}"
