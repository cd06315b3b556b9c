"""Deposits show as arriving while the real chain has only confirmed them."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from indexer.shadow import ShadowPace
from localnet.embedded import cluster_server, quick_settings
from settlement import arrivals
from settlement.chain.program import Deployment
from settlement.db.pool import open_pool, reading
from settlement.ledger import accounts
from tests.chain.indexer.conftest import World, following, initialize
from tests.chain.indexer.twisting import twisted
from tests.chain.localnet.calls import Rpc
from tests.conftest import Database


@asynccontextmanager
async def slow_to_finalize(path: Path, database: Database) -> AsyncGenerator[World]:
    """A chain whose blocks are final only many slots after they are confirmed."""
    quick = quick_settings(Path("localnet.toml"))
    slow = replace(quick, embedded=replace(quick.embedded, finalized_lag_slots=150))
    async with (
        cluster_server(slow, data=path / "chain", keys=path / "keys") as chain,
        Rpc(chain.rpc_url) as rpc,
    ):
        assert chain.program_id is not None
        pool = await open_pool(database.dsn, role="pod_coordinator", application="test", size=2)
        deployment = Deployment(chain.program_id, chain.mint)
        world = World(chain=chain, rpc=rpc, deployment=deployment, database=database, pool=pool)
        await initialize(world)
        yield world
        await pool.close()


@pytest.mark.parametrize("ws", [True, False])
async def test_a_deposit_arrives_before_it_is_final(
    tmp_path: Path, database: Database, ws: bool
) -> None:
    async with slow_to_finalize(tmp_path, database) as world:
        user_id, code = await world.user()
        shadow = ShadowPace(poll_seconds=0.1, awake_poll_seconds=600)  # only a hint is in time
        settings = replace(world.settings(ws=ws), shadow=shadow)

        async def shown() -> list[int]:
            async with reading(world.pool) as conn:
                found = await arrivals.for_user(conn, user_id)
            return [one.amount_microusdc for one in found]

        async def arrives() -> bool:
            return await shown() == [5]

        async with following(settings):
            await world.settled()
            signature = await world.deposit(code, 5)
            await world.eventually(arrives)
            entry = world.chain.cluster.history.get(signature)
            assert entry is not None
            assert world.chain.cluster.tip.finalized < entry.slot
            assert await world.balance(accounts.user(user_id)) == 0
            await world.credited(accounts.user(user_id), 5)
            assert await shown() == []


async def test_what_the_shadow_and_the_checkpoints_ask_in_an_idle_minute(world: World) -> None:
    """Counted on the wire while nothing happens; the docs give the figures of usual paces."""
    async with twisted(world.chain.rpc_url) as node:
        settings = replace(world.settings(), rpc_urls=(node.url,))
        async with following(settings):
            await world.settled()
            node.asked.clear()
            await world.chain.advance(100)
            assert node.asked["getBlock"] == node.asked["getBlocks"] == 0
            assert node.asked["getAccountInfo"] <= 2  # a checkpoint is minutes away
