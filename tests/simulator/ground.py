"""What every simulated story begins with: a chain and its books, made once and copied.

The program is set up, a user has paid in, and two operators have earned some of it.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

import asyncpg

from localnet import postgres
from localnet.adversary.faults import Script
from localnet.adversary.manual import manual_chain
from localnet.records import Genesis
from localnet.seed import Keys, genesis, load_or_create_keys
from localnet.settings import Settings
from settlement import deposits
from settlement.chain.program import Deployment, deposit_usdc
from settlement.clock import SystemClock
from settlement.db.pool import reading, transaction
from settlement.ledger import accounts, store
from settlement.ledger.operations import Post, TransactionKind, Transfer
from settlement.money import MicroUsdc
from tests.chain.indexer.seeded_ground import Pools, pools_of
from tests.chain.indexer.seeded_story import Senders, Step, beginning
from tests.chain.localnet.manual import manual_settings
from tests.conftest import _database
from tests.simulator.death import Fuse
from tests.simulator.indexing import Indexing
from tests.simulator.people import USDC

USER: Final = UUID(int=1)
OPERATORS: Final = (UUID(int=2), UUID(int=3))
EARNED: Final = 10_000 * USDC
PAID_IN: Final = 25_000 * USDC


@dataclass(frozen=True, kw_only=True)
class Ground:
    """The wallets, the program, and where the chain and the books to be copied are."""

    settings: Settings
    keyring: Keys
    deployment: Deployment
    chain: Path
    database: str
    cluster: postgres.Cluster

    def start(self) -> Genesis:
        """A copy begins where the first one ended, never at its genesis."""
        raise AssertionError("the chain was copied")


async def made(cluster: postgres.Cluster, template: str, directory: Path) -> Ground:
    """The ground of all stories of this process; its database stays until the cluster goes."""
    settings = manual_settings()
    assert settings.program is not None
    keyring = load_or_create_keys(directory / "keys", settings)
    ground = Ground(
        settings=settings,
        keyring=keyring,
        deployment=Deployment(settings.program.id, settings.mint.address),
        chain=directory / "chain",
        database=f"ground_{directory.name.replace('-', '_')}",
        cluster=cluster,
    )
    postgres.create_database(cluster, ground.database)
    async for database in _database(cluster, template=template):
        async with pools_of(database.dsn) as pools:
            await _grow(ground, pools, genesis(settings, keyring))
        await _keep(cluster, database.name, ground.database)
    return ground


async def _keep(cluster: postgres.Cluster, name: str, kept: str) -> None:
    admin = await asyncpg.connect(cluster.dsn())
    try:
        await admin.execute(f'drop database "{kept}"')
        await admin.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1", name
        )
        await admin.execute(f'create database "{kept}" template "{name}" strategy file_copy')
    finally:
        await admin.close()


async def _grow(ground: Ground, pools: Pools, first: Genesis) -> None:
    wallets, deployment = ground.keyring.wallets, ground.deployment
    async with transaction(pools.coordinator) as tx:
        code = await deposits.enroll_user(tx, USER)
        for operator in OPERATORS:
            await deposits.enroll_operator(tx, operator, str(wallets["operator"].pubkey()))
    with manual_chain(
        ground.settings, Script(), data=ground.chain, keyring=ground.keyring, start=lambda: first
    ) as chain:
        senders = Senders(chain=chain, keyring=ground.keyring)
        senders.send(beginning(deployment, wallets))
        paid_in = deposit_usdc(
            deployment,
            depositor=wallets["user"].pubkey(),
            code=code,
            amount_microusdc=MicroUsdc(PAID_IN),
        )
        while senders.waiting:
            await chain.end_slots()
            senders.tick()
        senders.send(Step(label="deposit", at=0, instructions=[paid_in]))
        while senders.waiting:
            await chain.end_slots()
            senders.tick()
        indexing = Indexing(
            deployment=deployment,
            payer=wallets["payer"].pubkey(),
            pool=pools.indexer,
            session=chain.session,
            genesis_hash=chain.cluster.timeline.genesis_hash,
            fuse=Fuse(),
        )
        for _ in range(20):
            await indexing.step()
            await chain.end_slots()
    async with reading(pools.coordinator) as conn:
        found = await store.balance(conn, accounts.user(USER))
    assert found.net_microusdc == PAID_IN, "the deposit is in the books"
    await _earn(pools)


async def _earn(pools: Pools) -> None:
    writer = await store.open_writer(pools.coordinator, "coordinator")
    now = SystemClock().now()
    posts = [
        Post(
            transaction_id=UUID(int=100 + n),
            kind=TransactionKind.ADJUSTMENT,
            transfers=(
                Transfer(
                    debit=accounts.user(USER),
                    credit=accounts.host(operator),
                    amount_microusdc=MicroUsdc(EARNED),
                ),
            ),
            event_at=now,
            effective_on=now.date(),
            actor="test",
        )
        for n, operator in enumerate(OPERATORS)
    ]
    async with transaction(pools.coordinator) as tx:
        assert all(done.done for done in await store.apply(tx, writer, posts))


def copied(ground: Ground, path: Path) -> Path:
    """The chain's directory for one story."""
    shutil.copytree(ground.chain, path)
    return path
