"""A chain with the program initialized, a database, and an indexer between the two."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import aiohttp
import asyncpg
import pytest
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.signature import Signature

from indexer import app
from indexer.config import IndexerSettings
from indexer.follow import Pace
from indexer.hydration import Rules
from localnet.embedded import RunningChain
from settlement import deposits
from settlement.chain import program
from settlement.chain.movement import Vault
from settlement.chain.program import Deployment, InitialParameters, InitialRoles
from settlement.db.pool import Pool, open_pool, reading, transaction
from settlement.ledger import accounts, store
from settlement.ledger.operations import AccountName
from settlement.money import MicroUsdc, Slot
from settlement.reconcile import frontier
from settlement.settings import Address
from tests.chain.localnet.calls import Rpc
from tests.conftest import Database, free_port

CLUSTER = "localnet"
PACE = Pace(
    poll_seconds=0.03,
    quiet_poll_seconds=0.2,
    verify_seconds=0.1,
    overlap_slots=16,
    settle_slots=1,
    unreadable_again_seconds=0.1,
)


@dataclass(kw_only=True)
class World:
    """Everything a story needs; amounts are microunits."""

    chain: RunningChain
    rpc: Rpc
    deployment: Deployment
    database: Database
    pool: Pool
    status: Address = field(default_factory=lambda: Address(host="127.0.0.1", port=free_port()))

    def settings(self, *, ws: bool = True) -> IndexerSettings:
        """What the indexer is started with."""
        return IndexerSettings(
            database_url=self.database.dsn,
            rpc_urls=(self.chain.rpc_url,),
            ws_url=self.chain.ws_url if ws else None,
            cluster=CLUSTER,
            deployment=self.deployment,
            payer=self.wallet("payer").pubkey(),
            status=self.status,
            log_level="WARNING",
            pace=PACE,
            rules=Rules(single_source=True),
        )

    def wallet(self, name: str) -> Keypair:
        """A wallet of localnet.toml."""
        return self.chain.keys[name]

    async def user(self) -> tuple[UUID, bytes]:
        """A registered user and their deposit code."""
        user_id = uuid4()
        async with transaction(self.pool) as tx:
            return user_id, await deposits.enroll_user(tx, user_id)

    async def operator(self) -> tuple[UUID, bytes]:
        """An operator enrolled with the wallet `operator`, and their bond code."""
        provider_id = uuid4()
        wallet = str(self.wallet("operator").pubkey())
        async with transaction(self.pool) as tx:
            return provider_id, (await deposits.enroll_operator(tx, provider_id, wallet)).encode()

    async def send(self, *instructions: Instruction, signers: Sequence[Keypair] = ()) -> Signature:
        """Execute a transaction, signed by `user` unless said otherwise."""
        return await self.rpc.execute(list(instructions), *(signers or (self.wallet("user"),)))

    async def deposit(self, code: bytes, amount: int) -> Signature:
        """A coded deposit by `user`."""
        return await self.send(
            program.deposit_usdc(
                self.deployment,
                depositor=self.wallet("user").pubkey(),
                code=code,
                amount_microusdc=MicroUsdc(amount),
            )
        )

    async def balance(self, name: AccountName) -> int:
        """What an account has (for a vault: what it holds); 0 where there is none."""
        async with reading(self.pool) as conn:
            try:
                found = await store.balance(conn, name)
            except store.AccountMissing:
                return 0
        return abs(found.net_microusdc)

    async def frontiers(self) -> dict[str, Slot]:
        """How far each address has been read."""
        async with reading(self.pool) as conn:
            return dict(await frontier.read(conn, CLUSTER))

    def ata(self, name: str) -> Pubkey:
        """The token account of a wallet."""
        return program.associated_token_address(self.wallet(name).pubkey(), self.deployment.mint)

    async def vault_amount(self, vault: Vault) -> int:
        """What a vault holds on chain, as processed."""
        address = self.deployment.till_vault if vault is Vault.TILL else self.deployment.bond_vault
        value = await self.rpc.value(
            "getTokenAccountBalance", str(address), {"commitment": "processed"}
        )
        return int(value["amount"])

    async def eventually(self, holds: Callable[[], Awaitable[bool]]) -> None:
        """Return when something holds; it is asked again in every slot of the chain."""
        while not await holds():
            await self.chain.advance(1)

    async def credited(self, name: AccountName, amount: int) -> None:
        """Return when an account has this much."""

        async def holds() -> bool:
            return await self.balance(name) == amount

        await self.eventually(holds)

    async def settled(self) -> None:
        """Return when every address has been read up to a slot after now; check the vaults."""
        target = self.chain.cluster.slot

        async def holds() -> bool:
            reached = await self.frontiers()
            return len(reached) == len(app.watched_by(self.settings())) and (
                min(reached.values()) >= target
            )

        await self.eventually(holds)
        for vault in Vault:
            books = await self.balance(accounts.chain_vault(vault))
            assert books == await self.vault_amount(vault), vault

    async def rows(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """Any query, as the superuser."""
        connection = await self.superuser()
        try:
            return await connection.fetch(query, *arguments)
        finally:
            await connection.close()

    def another_status(self) -> Address:
        """Where a second indexer answers."""
        return Address(host="127.0.0.1", port=free_port())

    async def superuser(self) -> "asyncpg.Connection[asyncpg.Record]":
        """A connection nothing but triggers and constraints stops."""
        return await asyncpg.connect(self.database.dsn)

    async def health(self) -> tuple[int, str]:
        """Status and line of the indexer's `/health`."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://{self.status}/health") as response,
        ):
            return response.status, str((await response.json())["line"])


@asynccontextmanager
async def following(settings: IndexerSettings) -> AsyncGenerator["asyncio.Task[None]"]:
    """An indexer inside this event loop."""
    task = asyncio.create_task(app.follow(settings))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def uninitialized(
    localnet: RunningChain, rpc: Rpc, database: Database
) -> AsyncGenerator[World]:
    """A chain whose program nobody has initialized."""
    assert localnet.program_id is not None
    pool = await open_pool(database.dsn, role="pod_coordinator", application="test", size=2)
    yield World(
        chain=localnet,
        rpc=rpc,
        deployment=Deployment(localnet.program_id, localnet.mint),
        database=database,
        pool=pool,
    )
    await pool.close()


async def initialize(world: World) -> None:
    """Set the program up, with short windows so that tests need no patience."""
    authority = world.wallet("upgrade-authority")
    roles = {
        name: world.wallet(name).pubkey()
        for name in ("admin", "proposer", "arbiter", "guardian", "payer")
    }
    await world.send(
        program.initialize(
            world.deployment,
            upgrade_authority=authority.pubkey(),
            funder=authority.pubkey(),
            roles=InitialRoles(**roles),
            parameters=InitialParameters(),
        ),
        signers=[authority],
    )


@pytest.fixture
async def world(uninitialized: World) -> World:
    """A chain whose program is ready."""
    await initialize(uninitialized)
    return uninitialized


def plain_transfer(source: Pubkey, destination: Pubkey, owner: Pubkey, amount: int) -> Instruction:
    """A transfer as old wallets write it, between token accounts."""
    accounts_named = [
        AccountMeta(source, is_signer=False, is_writable=True),
        AccountMeta(destination, is_signer=False, is_writable=True),
        AccountMeta(owner, is_signer=True, is_writable=False),
    ]
    data = bytes([3]) + amount.to_bytes(8, "little")
    return Instruction(program.TOKEN_PROGRAM, data, accounts_named)


def batch(*parts: Instruction) -> Instruction:
    """Token instructions in one Batch."""
    data = bytes([255])
    named: list[AccountMeta] = []
    for part in parts:
        data += bytes([len(part.accounts), len(part.data)]) + bytes(part.data)
        named += part.accounts
    return Instruction(program.TOKEN_PROGRAM, data, named)


def memo(text: str, signer: Pubkey) -> Instruction:
    """A memo."""
    account = AccountMeta(signer, is_signer=True, is_writable=False)
    return Instruction(program.MEMO_PROGRAM, text.encode(), [account])
