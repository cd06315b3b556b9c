"""What tests of the books share: pools in a role and an open writer."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from uuid import uuid4

import asyncpg
import pytest

from settlement.db.pool import Pool, open_pool, reading, transaction
from settlement.ledger import accounts, store
from settlement.ledger.operations import AccountName, Balance, Operation, Outcome, Writer
from tests import factories
from tests.conftest import Database


@dataclass(frozen=True, kw_only=True)
class Books:
    """A ledger with one writer, a funded user and an operator."""

    database: Database
    pool: Pool
    writer: Writer
    user: AccountName
    host: AccountName

    async def apply(self, *operations: Operation, writer: Writer | None = None) -> list[Outcome]:
        """Apply in a transaction of its own."""
        async with transaction(self.pool) as tx:
            return await store.apply(tx, writer or self.writer, operations)

    async def codes(self, *operations: Operation, writer: Writer | None = None) -> list[str]:
        """The codes `apply` answers."""
        return [outcome.code.value for outcome in await self.apply(*operations, writer=writer)]

    async def balance(self, name: AccountName) -> Balance:
        """Where an account stands."""
        async with reading(self.pool) as conn:
            return await store.balance(conn, name)

    async def open(self, *names: AccountName) -> None:
        """Open accounts."""
        async with transaction(self.pool) as tx:
            for name in names:
                await store.open_account(tx, name)

    async def execute(self, statement: str, *arguments: object, role: str | None = None) -> None:
        """Raw SQL as a role, or as the superuser nothing stops but triggers and constraints."""
        connection = await asyncpg.connect(self.database.dsn)
        try:
            if role:
                await connection.execute(f"set role {role}")
            await connection.execute(statement, *arguments)
        finally:
            await connection.close()

    async def fetchval(self, query: str, *arguments: object) -> object:
        """One value, as the superuser."""
        connection = await asyncpg.connect(self.database.dsn)
        try:
            return await connection.fetchval(query, *arguments)
        finally:
            await connection.close()


@pytest.fixture
async def pool(database: Database) -> AsyncIterator[Pool]:
    """Connections in the coordinator's role."""
    opened = await open_pool(database.dsn, role="pod_coordinator", application="test")
    yield opened
    await opened.close()


async def open_books(database: Database, pool: Pool, deposits: Sequence[int]) -> Books:
    """Books with one user who deposited these amounts."""
    books = Books(
        database=database,
        pool=pool,
        writer=await store.open_writer(pool, "coordinator"),
        user=accounts.user(uuid4()),
        host=accounts.host(uuid4()),
    )
    await books.open(books.user, books.host)
    await books.apply(*(factories.deposit(books.user, amount) for amount in deposits))
    return books


@pytest.fixture
async def books(database: Database, pool: Pool) -> Books:
    """A ledger whose user has 25 USDC."""
    return await open_books(database, pool, [25_000_000])
