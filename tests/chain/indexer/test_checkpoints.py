"""Checkpoints on a real chain: nodes that hide or lie, rows that are lost, yesterday's backup."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import asyncpg
import pytest

from indexer.checkpoint import CheckpointPace
from indexer.config import IndexerSettings
from localnet import postgres
from settlement.db.pool import open_pool, reading
from settlement.ledger import accounts
from settlement.payouts.halt import halted
from tests.chain.indexer.conftest import World, following
from tests.chain.indexer.twisting import Twist, twisted

OFTEN = CheckpointPace(every_seconds=0.1, again_seconds=0.05)
GOOD = "select count(*) as n from settlement.checkpoint where verdict = 'equal' and agreeing = $1"
STOPS = "select * from settlement.crediting_stop order by stop_id"


def through(world: World, *nodes: Twist) -> IndexerSettings:
    """The indexer asks these nodes, the first of which leads."""
    return replace(world.settings(), rpc_urls=tuple(node.url for node in nodes), checkpoints=OFTEN)


@asynccontextmanager
async def watched_by(world: World, number: int) -> AsyncGenerator[list[Twist]]:
    """An indexer over so many nodes of the one chain."""
    async with AsyncExitStack() as stack:
        nodes = [
            await stack.enter_async_context(twisted(world.chain.rpc_url)) for _ in range(number)
        ]
        await stack.enter_async_context(following(through(world, *nodes)))
        yield nodes


async def proven(world: World, agreeing: int) -> None:
    """Return when both vaults have been compared once more, by so many nodes that agree."""
    before = (await world.rows(GOOD, agreeing))[0]["n"]

    async def holds() -> bool:
        return (await world.rows(GOOD, agreeing))[0]["n"] >= before + 4

    await world.eventually(holds)


async def stopped(world: World) -> asyncpg.Record:
    """The stop, as soon as there is one."""

    async def holds() -> bool:
        return bool(await world.rows(STOPS + " limit 1"))

    await world.eventually(holds)
    return (await world.rows(STOPS))[0]


async def says(world: World, words: str) -> bool:
    """Whether the indexer's health says this."""
    try:
        return words in (await world.health())[1]
    except OSError:  # it does not listen yet
        return False


async def lifted(world: World) -> None:
    """Return when nothing is stopped, halted or open."""

    async def holds() -> bool:
        rows = await world.rows("select from settlement.crediting_stop where lifted_at is null")
        rows += await world.rows("select from indexer.incident where closed_at is null")
        async with reading(world.pool) as conn:
            return not rows and not await halted(conn)

    await world.eventually(holds)


async def test_balances_are_proven_by_two_nodes(world: World) -> None:
    user_id, code = await world.user()
    await world.deposit(code, 1_000)
    async with watched_by(world, 2):
        await world.credited(accounts.user(user_id), 1_000)
        await proven(world, 2)
    rows = await world.rows("select max(balance) as held from settlement.checkpoint_reading")
    assert rows[0]["held"] == 1_000
    assert await world.rows(STOPS) == []


async def test_a_deposit_that_the_only_listing_hides_is_found_in_its_block(world: World) -> None:
    user_id, code = await world.user()
    async with watched_by(world, 1) as (node,):
        await world.deposit(code, 5)
        await world.credited(accounts.user(user_id), 5)
        await proven(world, 1)
        signature = await world.deposit(code, 70)
        node.hidden.add(str(signature))
        if await world.balance(accounts.user(user_id)) == 75:
            pytest.skip("it was listed before it could be hidden")
        stop = await stopped(world)
        assert stop["difference"] == 70
        await world.credited(accounts.user(user_id), 75)
        await lifted(world)
        await world.deposit(code, 100)
        await world.credited(accounts.user(user_id), 175)
    rows = await world.rows("select distinct found_in from settlement.hidden_signature")
    assert [row["found_in"].split()[0] for row in rows] == ["blocks"]
    assert node.asked["getBlock"] > 0


async def test_a_balance_that_is_off_by_one_stops_crediting_and_payouts(world: World) -> None:
    user_id, code = await world.user()
    vault = str(world.deployment.till_vault)
    async with watched_by(world, 1) as (node,):
        await world.deposit(code, 5)
        await world.credited(accounts.user(user_id), 5)
        await proven(world, 1)
        node.lies[vault] = 1
        stop = await stopped(world)
        assert stop["difference"] == 1
        async with reading(world.pool) as conn:
            assert [reason.split(":")[0] for reason in await halted(conn)] == [
                "checkpoint of till vault"
            ]
        signature = await world.deposit(code, 7)
        await world.chain.until_finalized(signature)
        await world.chain.advance(20)
        assert await world.balance(accounts.user(user_id)) == 5
        await world.eventually(lambda: says(world, "till vault is stopped, +1 microunits"))
        node.lies.clear()
        await world.credited(accounts.user(user_id), 12)
        await lifted(world)
        await world.settled()


async def test_one_of_two_nodes_that_lies_is_only_reported(world: World) -> None:
    user_id, code = await world.user()
    async with watched_by(world, 2) as (lead, _):
        lead.lies[str(world.deployment.till_vault)] = -1
        await world.deposit(code, 9)
        await world.credited(accounts.user(user_id), 9)
        await proven(world, 1)
    assert await world.rows(STOPS) == []
    rows = await world.rows("select kind from indexer.incident")
    assert [row["kind"] for row in rows] == ["a provider's balance is not that of the others"]


async def test_without_balances_nothing_is_credited(world: World) -> None:
    user_id, code = await world.user()
    signature = await world.deposit(code, 9)
    await world.chain.until_finalized(signature)
    async with twisted(world.chain.rpc_url) as node:
        vault = str(world.deployment.till_vault)
        node.gone.add(vault)
        async with following(through(world, node)):
            await world.eventually(lambda: says(world, "till vault could not be compared"))
            await world.chain.advance(20)
            assert await world.balance(accounts.user(user_id)) == 0
            rows = await world.rows("select distinct problem from settlement.checkpoint")
            assert [row["problem"] for row in rows] == ["no provider says what it holds"]
            node.gone.clear()
            await world.credited(accounts.user(user_id), 9)


async def test_a_movement_a_superuser_removes_stops_until_it_is_back(world: World) -> None:
    user_id, code = await world.user()
    async with watched_by(world, 1):
        await world.deposit(code, 5)
        await world.credited(accounts.user(user_id), 5)
        await proven(world, 1)
        connection = await world.superuser()
        await connection.execute("set session_replication_role = replica")
        await connection.execute("create table kept as table indexer.movement")
        await connection.execute("delete from indexer.movement")
        assert (await stopped(world))["difference"] == 5
        await connection.execute("insert into indexer.movement table kept")
        await connection.close()
        await lifted(world)
    rows = await world.rows(STOPS)
    assert rows[0]["lifted_by"] == "indexer"


async def test_yesterdays_backup_catches_up_and_proves_it(
    world: World, postgres_cluster: postgres.Cluster
) -> None:
    user_id, code = await world.user()
    async with watched_by(world, 2):
        await world.deposit(code, 5)
        await world.credited(accounts.user(user_id), 5)
        await proven(world, 2)
    await world.pool.close()
    admin = await asyncpg.connect(postgres_cluster.dsn())
    yesterday = f"{world.database.name}_yesterday"
    await admin.execute(f'create database "{yesterday}" template "{world.database.name}"')
    world.pool = await open_pool(
        world.database.dsn, role="pod_coordinator", application="test", size=2
    )
    async with watched_by(world, 2):
        for amount in (10, 20, 40):
            await world.deposit(code, amount)
        await world.credited(accounts.user(user_id), 75)
    await world.pool.close()
    await admin.execute(f'drop database "{world.database.name}" with (force)')
    await admin.execute(f'alter database "{yesterday}" rename to "{world.database.name}"')
    await admin.close()
    world.pool = await open_pool(
        world.database.dsn, role="pod_coordinator", application="test", size=2
    )
    assert await world.balance(accounts.user(user_id)) == 5
    async with watched_by(world, 2):
        await world.credited(accounts.user(user_id), 75)
        await proven(world, 2)
        await world.settled()
    assert await world.rows(STOPS) == []
