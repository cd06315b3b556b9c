"""Outages, deaths and bad starts of the real process."""

import asyncio
import dataclasses
import os
import random
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from indexer import config
from indexer.__main__ import main
from localnet.embedded import RunningChain, cluster_server, quick_settings
from settlement.chain.program import Deployment
from settlement.db.pool import Pool, open_pool
from settlement.ledger import accounts
from settlement.settings import SettingInvalid, SettingsReader
from tests.chain.indexer.conftest import World, following, initialize
from tests.chain.localnet.calls import Rpc
from tests.conftest import Database, free_port


@asynccontextmanager
async def chain_on(port: int, path: Path) -> AsyncGenerator[RunningChain]:
    """The chain of this directory, on a port of our choice."""
    settings = quick_settings(Path("localnet.toml"))
    embedded = dataclasses.replace(settings.embedded, rpc_port=port)
    settings = dataclasses.replace(settings, embedded=embedded)
    async with cluster_server(settings, data=path / "chain", keys=path / "keys") as chain:
        yield chain


def world_on(chain: RunningChain, rpc: Rpc, database: Database, pool: Pool) -> World:
    assert chain.program_id is not None
    deployment = Deployment(chain.program_id, chain.mint)
    return World(chain=chain, rpc=rpc, deployment=deployment, database=database, pool=pool)


async def test_the_node_goes_away_and_comes_back(database: Database, tmp_path: Path) -> None:
    port = free_port()
    async with AsyncExitStack() as stack:
        pool = await open_pool(database.dsn, role="pod_coordinator", application="test", size=2)
        stack.push_async_callback(pool.close)
        async with chain_on(port, tmp_path) as chain:
            rpc = await stack.enter_async_context(Rpc(chain.rpc_url))
            world = world_on(chain, rpc, database, pool)
            await initialize(world)
            user_id, code = await world.user()
            await stack.enter_async_context(following(world.settings()))
            await world.deposit(code, 5)
            await world.credited(accounts.user(user_id), 5)
            await world.deposit(code, 6)
        async with asyncio.timeout(20):
            status, line = await world.health()
            while "RpcUnavailable" not in line:
                status, line = await world.health()  # the chain's slots stand still: just ask
        assert status == 503
        again = await stack.enter_async_context(chain_on(port, tmp_path))
        world.chain = again
        await world.deposit(code, 7)
        await world.credited(accounts.user(user_id), 18)
        await world.settled()
        assert (await world.health())[0] == 200


def environment(world: World) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": world.database.dsn,
        "POD_RPC_URLS": world.chain.rpc_url,
        "POD_WS_URL": world.chain.ws_url,
        "POD_CLUSTER": "localnet",
        "POD_PROGRAM_ID": str(world.deployment.program_id),
        "POD_USDC_MINT": str(world.deployment.mint),
        "POD_PAYER_ADDRESS": str(world.wallet("payer").pubkey()),
        "POD_METRICS_LISTEN": str(world.status),
        "POD_INDEXER_POLL_MS": "50",
        "POD_INDEXER_SETTLE_SLOTS": "1",
        "POD_LOG_LEVEL": "WARNING",
    }


async def process(environ: dict[str, str], *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "indexer",
        *arguments,
        env=environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_killed_again_and_again_it_credits_everything_once(world: World) -> None:
    chance = random.Random(7)
    user_id, code = await world.user()
    total = 0
    for _ in range(4):
        running = await process(environment(world), "follow")
        for _ in range(6):
            amount = chance.randint(1, 1_000)
            await world.deposit(code, amount)
            total += amount
        target = total - chance.randint(0, total)

        async def some_are_credited(least: int = target) -> bool:
            return await world.balance(accounts.user(user_id)) >= least

        await world.eventually(some_are_credited)
        running.kill()
        await running.wait()
    running = await process(environment(world), "follow")
    await world.credited(accounts.user(user_id), total)
    await world.settled()
    running.send_signal(signal.SIGTERM)
    assert await running.wait() == 0
    rows = await world.rows("select count(*) as n from settlement.txn")
    assert rows[0]["n"] == 24


async def test_a_standby_takes_over_within_seconds_of_a_kill(world: World) -> None:
    user_id, code = await world.user()
    first = await process(environment(world), "follow")
    await world.deposit(code, 5)
    await world.credited(accounts.user(user_id), 5)
    world.status = world.another_status()
    second = await process(environment(world), "follow")

    async def stands_by() -> bool:
        try:
            return "standing by" in (await world.health())[1]
        except OSError:
            return False

    await world.eventually(stands_by)
    first.kill()
    await world.deposit(code, 6)
    async with asyncio.timeout(10):
        await world.credited(accounts.user(user_id), 11)
    await first.wait()
    second.send_signal(signal.SIGTERM)
    assert await second.wait() == 0


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT])
async def test_it_ends_well_when_told(world: World, told: signal.Signals) -> None:
    running = await process(environment(world), "follow")

    async def is_well() -> bool:
        try:
            return (await world.health())[0] == 200
        except OSError:
            return False

    await world.eventually(is_well)
    running.send_signal(told)
    assert await running.wait() == 0


SETTINGS = {
    "DATABASE_URL": "postgresql://127.0.0.1:1/none",
    "POD_RPC_URLS": "http://127.0.0.1:1",
    "POD_PROGRAM_ID": "Bond111111111111111111111111111111111111111",
    "POD_USDC_MINT": "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v",
    "POD_PAYER_ADDRESS": "Bond111111111111111111111111111111111111111",
}


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("POD_PROGRAM_ID", "", "POD_PROGRAM_ID"),
        ("POD_PROGRAM_ID", "not a key", "not an address"),
        ("POD_USDC_MINT", "0", "POD_USDC_MINT"),
        ("POD_RPC_URLS", " , ", "empty list"),
        ("POD_INDEXER_POLL_MS", "often", "not a whole number"),
        ("POD_INDEXER_POLL_MS", "0", "less than 1"),
        ("POD_METRICS_LISTEN", "here", "host:port"),
        ("DATABASE_URL", "", "DATABASE_URL"),
        ("POD_RPC_URLS", "http://127.0.0.1:1,http://127.0.0.1:1", "twice"),
        ("POD_RPC_SINGLE_SOURCE", "perhaps", "allow or refuse"),
        ("POD_RPC_SINGLE_SOURCE", "refuse", "one provider is not enough"),
        ("POD_CLUSTER", "mainnet-beta", "POD_RPC_SINGLE_SOURCE=allow"),
        ("POD_RPC_REQUESTS_PER_SECOND", "0", "less than 1"),
        ("POD_INDEXER_QUORUM_USDC", "-1", "less than 0"),
        ("POD_START_SLOT", "soon", "not a whole number"),
    ],
)
def test_a_wrong_setting_is_named(setting: str, value: str, said: str) -> None:
    assert config.read(SettingsReader(SETTINGS, {})).cluster == "localnet"
    with pytest.raises(SettingInvalid, match=said):
        config.read(SettingsReader(SETTINGS | {setting: value}, {}))


def test_one_source_is_enough_where_it_is_allowed() -> None:
    elsewhere = SETTINGS | {"POD_CLUSTER": "mainnet-beta"}
    two = elsewhere | {"POD_RPC_URLS": "https://one.test/key,https://two.test/key"}
    assert not config.read(SettingsReader(two, {})).rules.single_source
    allowed = elsewhere | {"POD_RPC_SINGLE_SOURCE": "allow"}
    assert config.read(SettingsReader(allowed, {})).rules.single_source


def test_how_fast_a_provider_is_asked() -> None:
    usual = config.read(SettingsReader(SETTINGS, {}))
    assert usual.limits_of("http://127.0.0.1:8899").requests_per_second is None
    assert usual.limits_of("http://localhost:8899").requests_per_second is None
    assert usual.limits_of("https://one.test/key").requests_per_second == 10
    chosen = config.read(SettingsReader(SETTINGS | {"POD_RPC_REQUESTS_PER_SECOND": "40"}, {}))
    for url in ("http://127.0.0.1:8899", "https://one.test/key"):
        assert chosen.limits_of(url).requests_per_second == 40


async def test_a_wrong_setting_is_one_clear_line() -> None:
    environ = SETTINGS | {"PATH": os.environ["PATH"], "POD_USDC_MINT": "0"}
    running = await process(environ, "follow")
    _, told = await running.communicate()
    assert running.returncode == 1
    assert told.decode().count("\n") == 1
    assert "POD_USDC_MINT" in told.decode()


async def test_a_database_that_is_away_is_waited_for(world: World) -> None:
    environ = environment(world) | {"DATABASE_URL": "postgresql://postgres@127.0.0.1:1/none"}
    running = await process(environ, "follow")

    async def waits() -> bool:
        try:
            return "DatabaseUnavailable" in (await world.health())[1]
        except OSError:
            return False

    await world.eventually(waits)
    running.send_signal(signal.SIGTERM)
    assert await running.wait() == 0


@pytest.mark.parametrize("arguments", [[], ["watch"], ["follow", "more"]])
def test_an_unknown_command_says_how_it_is_used(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert "usage" in capsys.readouterr().err
