"""Books, enrolled people, and an indexer's pool."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from uuid import UUID, uuid4

import asyncpg
import pytest
from solders.keypair import Keypair

from settlement import deposits
from settlement.db.pool import Pool, open_pool, reading, transaction
from settlement.ledger import accounts, store
from settlement.ledger.operations import AccountName, Writer
from settlement.payouts.halt import halted
from tests.conftest import Database
from tests.database.indexer.node import claim


@dataclass(kw_only=True)
class Desk:
    """One user and one operator, and what the books say of them."""

    database: Database
    front: Pool  # in the coordinator's role
    pool: Pool
    writer: Writer
    user_id: UUID
    user_code: bytes
    provider_id: UUID
    wallet: Keypair
    bond_code: bytes

    @property
    def user(self) -> AccountName:
        """The user's account."""
        return accounts.user(self.user_id)

    async def another_user(self) -> "Desk":
        """The same desk, with a user who has just registered."""
        user_id = uuid4()
        async with transaction(self.front) as tx:
            code = await deposits.enroll_user(tx, user_id)
        return replace(self, user_id=user_id, user_code=code)

    async def another_operator(self) -> "Desk":
        """The same desk, with an operator who has just enrolled."""
        wallet, provider_id = Keypair(), uuid4()
        async with transaction(self.front) as tx:
            code = await deposits.enroll_operator(tx, provider_id, str(wallet.pubkey()))
        return replace(self, provider_id=provider_id, wallet=wallet, bond_code=code.encode())

    async def net(self, name: AccountName) -> int:
        """Credits minus debits; 0 where there is no account."""
        async with reading(self.pool) as conn:
            try:
                return (await store.balance(conn, name)).net_microusdc
            except store.AccountMissing:
                return 0

    async def nets(self) -> dict[str, int]:
        """Every account that is not at zero."""
        rows = await self.rows(
            "select a.name, b.cr - b.dr as net from settlement.balance b"
            " join settlement.account a using (account_id) where b.cr <> b.dr"
        )
        return {row["name"]: row["net"] for row in rows}

    async def rows(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """Any query, as the indexer may ask it."""
        async with reading(self.pool) as conn:
            return await conn.fetch(query, *arguments)

    async def states(self) -> dict[str, int]:
        """How many signatures are in which state."""
        rows = await self.rows("select state, count(*) as n from indexer.signature group by state")
        return {row["state"]: row["n"] for row in rows}

    async def incidents(self) -> list[str]:
        """The kinds of the open incidents."""
        rows = await self.rows("select kind from indexer.incident order by kind")
        return [row["kind"] for row in rows]

    async def halts(self) -> tuple[str, ...]:
        """Why payouts stand still."""
        async with reading(self.pool) as conn:
            return await halted(conn)


@pytest.fixture
async def desk(database: Database) -> AsyncIterator[Desk]:
    """An enrolled user and operator; the pool has the indexer's role."""
    wallet, provider_id, user_id = Keypair(), uuid4(), uuid4()
    front = await open_pool(database.dsn, role="pod_coordinator", application="test", size=1)
    async with transaction(front) as tx:
        user_code = await deposits.enroll_user(tx, user_id)
        bond_code = await deposits.enroll_operator(tx, provider_id, str(wallet.pubkey()))
    pool = await open_pool(database.dsn, role="pod_indexer", application="test", size=3)
    yield Desk(
        database=database,
        front=front,
        pool=pool,
        writer=await claim(pool),
        user_id=user_id,
        user_code=user_code,
        provider_id=provider_id,
        wallet=wallet,
        bond_code=bond_code.encode(),
    )
    await pool.close()
    await front.close()
