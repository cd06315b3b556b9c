"""What goes on beside the rounds: the websocket's hints, the checkpoints, the shadow."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager

from solders.pubkey import Pubkey

from indexer import wake
from indexer.checkpoint import Keeper
from indexer.config import IndexerSettings
from indexer.decode import Watch
from indexer.hydration import Hydrator
from indexer.metrics import Meters
from indexer.providers import Providers
from indexer.rescan import Rescan
from indexer.shadow import Shadow
from indexer.source import Watched
from indexer.trust import Ceilings
from settlement.chain.answers import Commitment
from settlement.chain.movement import Vault
from settlement.db.pool import Pool, reading
from settlement.process import beside
from settlement.reconcile import checkpoint


def keeper_of(
    settings: IndexerSettings,
    providers: Providers,
    pool: Pool,
    watched: Sequence[Watched],
    meters: Meters,
) -> Keeper:
    """Who compares balances with movements between the rounds; the follower gets its ceilings."""
    watch = _watch(settings)
    node = Hydrator(providers, pool, watch, settings.rules)
    return Keeper(
        providers=providers,
        node=node,
        pool=pool,
        watch=watch,
        ceilings=_ceilings(watch, watched),
        rescan=Rescan(providers=providers, node=node, pool=pool, watched=watched),
        meters=meters,
        pace=settings.checkpoints,
    )


async def ceilings_of_stops(
    settings: IndexerSettings, pool: Pool, watched: Sequence[Watched]
) -> Ceilings:
    """What somebody who books without a keeper must not go beyond: the stops of this moment."""
    ceilings = _ceilings(_watch(settings), watched)
    async with reading(pool) as conn:
        for stop in await checkpoint.open_stops(conn):
            if stop.cluster == settings.cluster:
                ceilings.put(stop.address, stop.above_slot)
    return ceilings


def _ceilings(watch: Watch, watched: Sequence[Watched]) -> Ceilings:
    vaults = [str(watch.address(vault)) for vault in Vault]
    return Ceilings(vaults, [str(one.address) for one in watched if one.orders])


@asynccontextmanager
async def shadowing(
    settings: IndexerSettings, providers: Providers, pool: Pool, meters: Meters
) -> AsyncGenerator[None]:
    """What is confirmed is watched as long as the block lasts, with hints of its own."""
    flag = wake.Wake()
    shadow = Shadow(
        providers=providers,
        pool=pool,
        watch=_watch(settings),
        meters=meters,
        pace=settings.shadow,
        verify_signatures=settings.rules.verify_signatures,
    )
    async with (
        hints(settings, flag, connected=_ignored, mentions=(), commitment=Commitment.CONFIRMED),
        beside(shadow.run(flag)),
    ):
        yield


@asynccontextmanager
async def hints(
    settings: IndexerSettings,
    flag: wake.Wake,
    *,
    connected: Callable[[bool], None],
    mentions: Sequence[Pubkey],
    commitment: Commitment = Commitment.FINALIZED,
) -> AsyncGenerator[None]:
    """The websocket's hints set the flag, where there is a websocket to listen to."""
    if settings.ws_url is None:
        yield
        return
    deployment = settings.deployment
    listening = wake.listen(
        settings.ws_url,
        accounts=(deployment.till_vault, deployment.bond_vault),
        mentions=mentions,
        wake=flag,
        connected=connected,
        commitment=commitment,
    )
    async with beside(listening):
        yield


def _watch(settings: IndexerSettings) -> Watch:
    return Watch(cluster=settings.cluster, deployment=settings.deployment)


def _ignored(_is_connected: bool) -> None:
    """The shadow goes on by its timer, and nobody has to know."""
