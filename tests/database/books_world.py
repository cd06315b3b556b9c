"""What the property machine of the books plays with: a small world, and a session on a database."""

import asyncio
import time
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar
from uuid import UUID, uuid5

import asyncpg

from settlement.chain.movement import Vault
from settlement.db.pool import Pool, calling, open_pool, transaction
from settlement.ledger import accounts, store
from settlement.ledger.everyday import EverydayRoad
from settlement.ledger.operations import AccountName, Operation, Outcome, Writer
from tests.conftest import Database

T = TypeVar("T")
_BEGUN_MS = time.time_ns() // 10**6
_EMPTY_BOOKS = """
set session_replication_role = replica;
delete from settlement.charge; delete from settlement.transfer; delete from settlement.txn;
delete from settlement.hold_event; delete from settlement.hold; delete from settlement.batch;
delete from settlement.refund; delete from settlement.chain_before; delete from settlement.writer;
delete from settlement.balance b using settlement.account a
 where a.account_id = b.account_id and a.name ~ ':[0-9a-z]' and a.name !~ '^chain:';
delete from settlement.account where name ~ ':[0-9a-z]' and name !~ '^chain:';
update settlement.balance set dr = 0, cr = 0, held = 0, version = 0;
reset session_replication_role;
"""
_STANDINGS = """
select a.name, b.dr, b.cr, b.held, b.version
  from settlement.balance b join settlement.account a using (account_id)
"""


class World:
    """The accounts and ids an example works with: always the same, on books that start empty."""

    def __init__(self) -> None:
        self.space = UUID(int=7)
        self.users = [accounts.user(self.id("user", n)) for n in range(2)]
        self.hosts = [accounts.host(self.id("host", n)) for n in range(2)]
        self.closed = accounts.user(self.id("closed", 0))
        self.missing = accounts.user(self.id("missing", 0))
        self.bond = accounts.bond(self.id("host", 0))
        # There from the beginning: one without a floor, one with.
        self.common = [accounts.chain_vault(Vault.TILL), accounts.SUSPENSE]
        self.opened = [*self.users, *self.hosts, self.closed, self.bond]

    def id(self, kind: str, number: int) -> UUID:
        """The same id for the same kind and number."""
        return uuid5(self.space, f"{kind}{number}")

    def request(self, number: int) -> UUID:
        """The same version-7 id, of about now, for the same number."""
        return UUID(int=(_BEGUN_MS << 80) | (0x7 << 76) | (0b10 << 62) | number)

    @property
    def names(self) -> list[AccountName]:
        """Everything a transfer may name."""
        return [*self.opened, *self.common, self.missing]


class Session:
    """Connections for the whole test, and the loop they live on."""

    def __init__(self, database: Database) -> None:
        self._runner = asyncio.Runner()
        self.pool: Pool = self.run(
            open_pool(database.dsn, role="pod_coordinator", application="machine", size=1)
        )
        self._superuser: asyncpg.Connection[asyncpg.Record] = self.run(
            asyncpg.connect(database.dsn)
        )

    def run(self, step: Coroutine[Any, Any, T]) -> T:
        """Run one coroutine to its end."""
        return self._runner.run(step)

    def close(self) -> None:
        """Give the connections back."""
        self.run(self._superuser.close())
        self.run(self.pool.close())
        self._runner.close()

    def begin(self, world: World, writers: Sequence[str]) -> list[Writer]:
        """Empty books with the world's accounts, and these writers."""

        async def step() -> list[Writer]:
            await self._superuser.execute(_EMPTY_BOOKS)
            async with transaction(self.pool) as tx:
                for name in world.opened:
                    await store.open_account(tx, name)
            await self._superuser.execute(
                "update settlement.account set closed_at = now() where name = $1", world.closed
            )
            return [await store.open_writer(self.pool, name) for name in writers]

        return self.run(step())

    def apply(
        self, writer: Writer, operations: Sequence[Operation], road: EverydayRoad | None = None
    ) -> list[Outcome]:
        """One transaction, by the road for everything or, if given, the one group commit takes."""

        async def step() -> list[Outcome]:
            if road is not None:
                async with calling(self.pool) as conn:
                    return await road.apply(conn, operations)
            async with transaction(self.pool) as tx:
                return await store.apply(tx, writer, operations)

        return self.run(step())

    def standings(self) -> dict[str, tuple[int, int, int, int]]:
        """Where every account stands."""
        rows = self.run(self._superuser.fetch(_STANDINGS))
        return {row["name"]: (row["dr"], row["cr"], row["held"], row["version"]) for row in rows}
