"""The embedded chain and an indexer, an operator, users who paid, and people who open cases."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest

from settlement.bonds.rules import SeizureStep
from settlement.cases.reading import Case
from settlement.db import pool as db
from settlement.db.pool import transaction
from settlement.ledger import accounts, store
from settlement.ledger.accounts import REFUND_POOL
from settlement.ledger.operations import AccountName
from settlement.payouts.halt import halted
from settlement.reconcile.compare import Verdict
from tests.chain.indexer.conftest import World, following, uninitialized, world
from tests.chain.indexer.test_bond_program import Life, compared
from tests.database.cases.world import Accused
from tests.database.cases.world import World as People
from tests.database.conftest import Books
from tests.database.words import Answer, typed

__all__ = ["uninitialized", "world"]


@dataclass(kw_only=True)
class Court:
    """Everybody, over one chain and one set of books."""

    world: World
    life: Life
    people: People
    accused: Accused
    keys: Path

    async def user(self, amount: int) -> AccountName:
        """A user who deposited on chain."""
        user_id, code = await self.world.user()
        await self.world.deposit(code, amount)
        name = accounts.user(user_id)
        await self.world.credited(name, amount)
        return name

    async def reviewed(self, user: AccountName, *gross: int) -> Case:
        """A case about requests that the user paid this for."""
        requests = await self.people.paid(user, self.accused, *gross)
        return await self.people.reviewed(self.accused, requests)

    async def propose(self, case: Case) -> Answer:
        """`pod case propose`, typed by the proposer."""
        where = ("--rpc", self.world.chain.rpc_url, "--program", str(self.world.chain.program_id))
        who = ("--keypair", str(self.keys / "proposer.json"), "--yes", "--json")
        words = ("propose", str(case.case_id), *where, *who)
        return await typed(*words, dsn=self.world.database.dsn, noun="case")

    async def stands(self, case: Case, step: SeizureStep) -> None:
        """Return when the books have read that the chain did this; they equal it."""

        async def holds() -> bool:
            return (await self.people.case(case)).state.value == step.value

        await self.world.eventually(holds)
        await self.equal()

    async def equal(self) -> None:
        """Everything is read, books and vaults are equal, nothing waits for a person."""
        await self.world.settled()
        assert (await compared(self.world)).verdict is Verdict.EQUAL
        assert await self.world.rows("select * from indexer.incident") == []
        async with db.reading(self.world.pool) as conn:
            assert await halted(conn) == ()

    async def pool(self) -> int:
        """What is in the refund pool."""
        return await self.world.balance(REFUND_POOL)


async def people_of(world: World, stack: AsyncExitStack, provider_id: UUID) -> People:
    """Who opens, reviews and credits; the coordinator books what users pay."""
    host = accounts.host(provider_id)
    books = Books(
        database=world.database,
        pool=world.pool,
        writer=await store.open_writer(world.pool, "coordinator"),
        user=host,
        host=host,
    )
    async with transaction(world.pool) as tx:
        await store.open_account(tx, host)
    finance = await db.open_pool(
        world.database.dsn, role="pod_settlement", application="test", size=2
    )
    stack.push_async_callback(finance.close)
    return People(books=books, finance=finance, indexer=world.pool, indexing=books.writer)


@pytest.fixture
async def court(world: World, tmp_path: Path) -> AsyncGenerator[Court]:
    """An operator whose bond is not posted yet; the indexer follows."""
    provider_id, code = await world.operator()
    life = Life(world, provider_id, code)
    accused = Accused(
        provider_id=provider_id,
        wallet=str(life.operator.pubkey()),
        code=code.decode(),
        bond=str(life.address),
    )
    async with AsyncExitStack() as stack:
        people = await people_of(world, stack, provider_id)
        await stack.enter_async_context(following(world.settings()))
        yield Court(world=world, life=life, people=people, accused=accused, keys=tmp_path / "keys")
