"""Comparing the books with the chain: equal, different, and not known are three things."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from uuid import uuid4

import asyncpg
import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from settlement.chain import program
from settlement.chain.answers import Account, AccountAt
from settlement.chain.movement import Vault
from settlement.chain.program import Deployment
from settlement.db.pool import Pool, open_pool, reading, transaction
from settlement.ledger import accounts, store
from settlement.ledger.operations import Post, TransactionKind, Transfer, Writer
from settlement.money import Lamports, MicroUsdc, Slot
from settlement.payouts.halt import halted
from settlement.reconcile import frontier
from settlement.reconcile.compare import (
    NoData,
    Reconciliation,
    Verdict,
    compare,
    record,
    record_no_data,
)
from settlement.reconcile.frontier import FrontierMoved
from tests.conftest import Database
from tests.database.payouts.chain import token_bytes
from tests.database.payouts.world import NOW, HandClock

CLUSTER = "fake"
OPERATOR = accounts.host(uuid4())


@dataclass
class Vaults:
    """What a node says the two vaults hold."""

    deployment: Deployment
    slot: int = 100
    held: dict[Pubkey, int | None] = field(default_factory=dict[Pubkey, int | None])
    sources: int = 1

    async def accounts(self, addresses: Sequence[Pubkey]) -> tuple[AccountAt, ...]:
        return tuple(AccountAt(slot=Slot(self.slot), account=self._of(a)) for a in addresses)

    def _of(self, address: Pubkey) -> Account | None:
        amount = self.held[address]
        if amount is None:
            return None
        data = token_bytes(self.deployment.mint, Pubkey.default(), amount)
        return Account(
            owner=program.TOKEN_PROGRAM, lamports=Lamports(1), data=data, executable=False
        )


@dataclass(kw_only=True)
class Case:
    """Books and a chain that agree: 70 in the till, 50 in the bond vault, at slot 100."""

    dsn: str
    indexer: Pool
    worker: Pool
    writer: Writer
    chain: Vaults
    clock: HandClock

    async def move(self, vault: Vault, amount: int, slot: int) -> None:
        """A movement of a vault in the books."""
        ends = [accounts.chain_vault(vault), OPERATOR]
        debit, credit = ends if amount > 0 else ends[::-1]
        post = Post(
            transaction_id=uuid4(),
            kind=TransactionKind.DEPOSIT_CREDITED,
            transfers=(
                Transfer(debit=debit, credit=credit, amount_microusdc=MicroUsdc(abs(amount))),
            ),
            event_at=NOW,
            effective_on=NOW.date(),
            actor="test",
            slot=Slot(slot),
        )
        async with transaction(self.indexer) as tx:
            (done,) = await store.apply(tx, self.writer, [post])
        assert done.done

    async def read_up_to(self, slot: int, *, but: Pubkey | None = None) -> None:
        """The indexer has read both vaults up to here."""
        async with transaction(self.indexer) as tx:
            reached = await frontier.read(tx, CLUSTER)
            for address in (self.chain.deployment.till_vault, self.chain.deployment.bond_vault):
                if address != but:
                    expected = reached.get(str(address))
                    await frontier.advance(
                        tx, CLUSTER, str(address), expected=expected, to=Slot(slot)
                    )

    async def compare(self, patience_seconds: float = 0) -> Reconciliation:
        return await compare(
            self.worker,
            self.chain,
            cluster=CLUSTER,
            deployment=self.chain.deployment,
            clock=self.clock,
            patience_seconds=patience_seconds,
        )

    async def differences(self) -> list[int]:
        return [line.difference_microusdc for line in (await self.compare()).lines]

    async def damage(self, statement: str) -> None:
        """What only a superuser who switches the guards off can do."""
        connection = await asyncpg.connect(self.dsn)
        try:
            async with connection.transaction():
                await connection.execute("set local session_replication_role = replica")
                await connection.execute(statement)
        finally:
            await connection.close()


@pytest.fixture
async def case(database: Database) -> AsyncGenerator[Case]:
    indexer = await open_pool(database.dsn, role="pod_indexer", application="i", size=2)
    worker = await open_pool(database.dsn, role="pod_settlement", application="w", size=2)
    deployment = Deployment(program_id=Keypair().pubkey(), mint=Keypair().pubkey())
    chain = Vaults(deployment)
    chain.held = {deployment.till_vault: 70, deployment.bond_vault: 50}
    case = Case(
        dsn=database.dsn,
        indexer=indexer,
        worker=worker,
        writer=await store.open_writer(indexer, "indexer"),
        chain=chain,
        clock=HandClock(),
    )
    async with transaction(indexer) as tx:
        await store.open_account(tx, OPERATOR)
    await case.move(Vault.TILL, 100, 10)
    await case.move(Vault.TILL, -30, 90)
    await case.move(Vault.BOND, 50, 100)
    await case.read_up_to(100)
    yield case
    await indexer.close()
    await worker.close()


async def test_equal_at_a_slot(case: Case) -> None:
    await case.move(Vault.TILL, 1_000, 101)  # booked already, after the slot that was read
    found = await case.compare()
    assert found.verdict is Verdict.EQUAL
    assert found.as_json() == {
        "slot": 100,
        "verdict": "equal",
        "sources": 1,
        "vaults": [
            {
                "name": "till",
                "address": str(case.chain.deployment.till_vault),
                "books": 70,
                "chain": 70,
                "difference": 0,
            },
            {
                "name": "bond",
                "address": str(case.chain.deployment.bond_vault),
                "books": 50,
                "chain": 50,
                "difference": 0,
            },
        ],
    }
    await record(case.worker, found)
    async with reading(case.worker) as conn:
        rows = await conn.fetch("select * from settlement.reconcile_line order by vault")
        assert [(row["vault"], row["difference"]) for row in rows] == [("bond", 0), ("till", 0)]
        assert await halted(conn) == ()


@pytest.mark.parametrize(("vault", "difference"), [("till", -1), ("bond", 1), ("till", 2**63)])
async def test_the_chain_holds_something_else(case: Case, vault: str, difference: int) -> None:
    addresses = {
        "till": case.chain.deployment.till_vault,
        "bond": case.chain.deployment.bond_vault,
    }
    held = case.chain.held[addresses[vault]]
    assert held is not None
    case.chain.held[addresses[vault]] = held + difference
    found = await case.compare()
    assert found.verdict is Verdict.DIFFERENT
    assert {line.vault.value: line.difference_microusdc for line in found.lines}[
        vault
    ] == difference
    await record(case.worker, found)
    async with reading(case.worker) as conn:
        (halt,) = await halted(conn)
        rows = await conn.fetch("select verdict from settlement.reconcile_run")
    assert halt.startswith("reconcile: at slot 100")
    assert [row["verdict"] for row in rows] == ["different"]


async def test_damaged_books_are_seen(case: Case) -> None:
    await case.damage("update settlement.transfer set amount = amount + 7 where amount = 30")
    assert await case.differences() == [7, 0]
    await case.damage("update settlement.transfer set amount = amount - 7 where amount = 37")
    assert await case.differences() == [0, 0]


async def test_a_movement_lost_from_the_books_is_seen(case: Case) -> None:
    await case.damage("update settlement.txn set slot = 101 where slot = 100")
    assert await case.differences() == [0, 50]
    await case.damage("update settlement.txn set slot = 100 where slot = 101")
    assert await case.differences() == [0, 0]


async def test_a_vault_that_is_not_there_is_not_equal_to_nothing(case: Case) -> None:
    case.chain.held[case.chain.deployment.bond_vault] = None
    with pytest.raises(NoData, match="bond"):
        await case.compare()


async def test_without_a_frontier_nothing_is_known(case: Case) -> None:
    with pytest.raises(NoData):
        await compare(
            case.worker,
            case.chain,
            cluster="another",
            deployment=case.chain.deployment,
            clock=case.clock,
            patience_seconds=0,
        )


async def test_a_frontier_that_is_behind_is_waited_for(case: Case) -> None:
    case.chain.slot = 101
    await case.read_up_to(101, but=case.chain.deployment.bond_vault)
    with pytest.raises(NoData, match="not read that far"):
        await case.compare()
    waiting = asyncio.create_task(case.compare(patience_seconds=30))
    await asyncio.sleep(0)
    async with transaction(case.indexer) as tx:
        await frontier.advance(
            tx,
            CLUSTER,
            str(case.chain.deployment.bond_vault),
            expected=Slot(100),
            to=Slot(101),
        )
    assert (await waiting).verdict is Verdict.EQUAL


async def test_no_data_is_stored_as_what_it_is(case: Case) -> None:
    await record_no_data(
        case.worker, cluster=CLUSTER, problem="away", sources=1, started_at=NOW, clock=case.clock
    )
    async with reading(case.worker) as conn:
        rows = await conn.fetch("select verdict, problem from settlement.reconcile_run")
    assert [tuple(row.values()) for row in rows] == [("no_data", "away")]


async def test_a_frontier_moves_by_compare_and_swap(case: Case) -> None:
    till = str(case.chain.deployment.till_vault)

    async def advance(expected: int | None, to: int) -> None:
        async with transaction(case.indexer) as tx:
            await frontier.advance(
                tx,
                CLUSTER,
                till,
                expected=None if expected is None else Slot(expected),
                to=Slot(to),
            )

    for expected in (None, 99, 101):
        with pytest.raises(FrontierMoved):
            await advance(expected, 200)
    await advance(100, 200)
    with pytest.raises(AssertionError):
        await advance(200, 199)
    with pytest.raises(asyncpg.PostgresError) as failed:
        async with transaction(case.indexer) as tx:
            await tx.execute("update settlement.frontier set slot = 5")
    assert failed.value.sqlstate == "PL010"
