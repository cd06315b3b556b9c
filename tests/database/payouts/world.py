"""The whole outbound road over one database: worker, signer and a stand-in for the indexer."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from settlement import deposits, withdrawals
from settlement.chain.movement import ChainMoment, MovementKey, Vault
from settlement.chain.program import Deployment, associated_token_address
from settlement.db.pool import Pool, open_pool, reading, retried, transaction
from settlement.deposits import VaultDeposit
from settlement.keys.file import FileKey
from settlement.ledger import accounts, store
from settlement.ledger.operations import (
    Operation,
    Outcome,
    Post,
    TransactionKind,
    Transfer,
    Writer,
)
from settlement.money import Lamports, MicroUsdc, Slot
from settlement.payouts import outcome
from settlement.payouts.build import build_waiting
from settlement.payouts.number import number_waiting
from settlement.payouts.outcome import BondFundingSeen, NumbersSkipped, PaymentSeen
from settlement.payouts.policy import SigningPolicy
from settlement.payouts.road import Road, SendPolicy
from settlement.payouts.send import break_up, expire_dead, send_waiting
from settlement.payouts.sign import Signed, Signer, sign_waiting
from settlement.payouts.survey import AccountReader, PayoutChain, read_till
from settlement.withdrawals import Withdrawal, WithdrawalRequest
from settlement.withdrawals.rules import WithdrawalLimits
from settlement.withdrawals.visible import OVER
from tests.database.payouts.chain import FakeChain, Seen

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
USDC = 1_000_000


@dataclass
class HandClock:
    """A clock that moves when told."""

    at: datetime = NOW

    def now(self) -> datetime:
        return self.at

    def forward(self, by: timedelta) -> None:
        self.at += by


@dataclass(frozen=True, kw_only=True)
class Operator:
    """An enrolled operator and the wallet they withdraw to."""

    provider_id: UUID
    wallet: Pubkey
    code: bytes


@dataclass(frozen=True, kw_only=True)
class Pools:
    """Through which connections each process works in a round."""

    worker: Pool
    signer: Pool
    indexer: Pool


@dataclass(kw_only=True)
class World:
    """One deployment: its database, its chain, its three processes."""

    dsn: str
    coordinator: Pool
    indexer: Pool
    worker: Pool
    signer: Pool
    finance: Pool
    writers: dict[str, Writer]
    chain: FakeChain
    key: FileKey
    clock: HandClock = field(default_factory=HandClock)
    policy: SendPolicy = field(default_factory=SendPolicy)
    taken: int = 0  # how much of chain.seen the indexer has taken in
    line: PayoutChain | None = None  # what stands between the worker and the chain, if anything

    @property
    def deployment(self) -> Deployment:
        return self.chain.deployment

    def road(self, *, pool: Pool | None = None) -> Road:
        return Road(
            pool=pool or self.worker,
            chain=self.line or self.chain,
            cluster="fake",
            deployment=self.deployment,
            payer=self.key.address,
            clock=self.clock,
            policy=self.policy,
        )

    async def operator(self, *, earned: int = 100 * USDC, enrolled_days: int = 0) -> Operator:
        """An operator who has earned something."""
        provider_id, wallet = uuid4(), Keypair().pubkey()
        async with transaction(self.coordinator) as tx:
            code = await deposits.enroll_operator(tx, provider_id, str(wallet))
        if enrolled_days:
            await self.enrolled_before(provider_id, enrolled_days)
        if earned:
            await self.earn(provider_id, earned)
        return Operator(provider_id=provider_id, wallet=wallet, code=code.encode())

    async def enrolled_before(self, provider_id: UUID, days: int) -> None:
        """Pretend that an operator enrolled so many days ago."""
        at = self.clock.now() - timedelta(days=days)
        await self.superuser(
            "alter table settlement.operator disable trigger all;"
            f" update settlement.operator set enrolled_at = '{at.isoformat()}'"
            f" where provider_id = '{provider_id}';"
            " alter table settlement.operator enable trigger all"
        )

    async def earn(self, provider_id: UUID, amount: int) -> None:
        """Money in the till that is the operator's (a shortcut for deposits and paid requests)."""
        post = Post(
            transaction_id=uuid4(),
            kind=TransactionKind.DEPOSIT_CREDITED,
            transfers=(
                Transfer(
                    debit=accounts.chain_vault(Vault.TILL),
                    credit=accounts.host(provider_id),
                    amount_microusdc=MicroUsdc(amount),
                ),
            ),
            event_at=NOW,
            effective_on=NOW.date(),
            actor="test",
            slot=Slot(1),
        )
        await self.book([post])

    async def deposit_bond(self, operator: Operator, amount: int) -> None:
        """A coded deposit under the operator's bond code, taken in."""
        async with transaction(self.indexer) as tx:
            fact = VaultDeposit(
                key=MovementKey(cluster="fake", signature=uuid4().hex, outer=0),
                moment=ChainMoment(slot=Slot(2), block_time=NOW),
                vault=Vault.TILL,
                amount_microusdc=MicroUsdc(amount),
                code=operator.code,
                source=None,
            )
            operations = await deposits.book_deposit(tx, fact)
            done = await store.apply(tx, self.writers["indexer"], operations)
            assert all(result.done for result in done)

    async def book(self, operations: list[Operation]) -> list[Outcome]:
        async with transaction(self.indexer) as tx:
            done = await store.apply(tx, self.writers["indexer"], operations)
        assert all(result.done for result in done), done
        return done

    async def withdraw(
        self,
        operator: Operator,
        amount: int,
        *,
        destination: str | None = None,
        key: str | None = None,
        pool: Pool | None = None,
        limits: WithdrawalLimits | None = None,
        asking: AccountReader | None = None,
    ) -> Withdrawal:
        asked = WithdrawalRequest(
            provider_id=operator.provider_id,
            amount_microusdc=amount,
            destination=str(operator.wallet) if destination is None else destination,
            idempotency_key=key,
        )
        return await withdrawals.submit(
            pool or self.coordinator,
            self.writers["coordinator"],
            asked,
            deployment=self.deployment,
            clock=self.clock,
            limits=limits,
            chain=asking,
        )

    async def number(self, pool: Pool | None = None) -> int:
        till = await read_till(self.line or self.chain, self.deployment)
        return await number_waiting(
            pool or self.worker, till=till, deployment=self.deployment, now=self.clock.now()
        )

    async def build(self, pool: Pool | None = None) -> int:
        till = await read_till(self.line or self.chain, self.deployment)
        built = await build_waiting(self.road(pool=pool), till, spendable=Lamports(10**12))
        return built.payouts

    def signing(self, policy: SigningPolicy | None = None, *, pool: Pool | None = None) -> Signer:
        return Signer(
            pool=pool or self.signer,
            key=self.key,
            policy=policy or SigningPolicy(deployment=self.deployment),
            clock=self.clock,
        )

    async def sign(self, pool: Pool | None = None) -> Signed:
        return await sign_waiting(self.signing(pool=pool))

    async def send(self, pool: Pool | None = None) -> int:
        return await send_waiting(self.road(pool=pool))

    async def expire(self, pool: Pool | None = None) -> int:
        return await expire_dead(self.road(pool=pool))

    async def break_up(self, pool: Pool | None = None) -> int:
        return await break_up(self.road(pool=pool))

    async def index(self, pool: Pool | None = None) -> None:
        """Take in what is finalized, in order, each fact in one transaction."""
        while self.taken < len(self.chain.seen):
            fact = self.chain.seen[self.taken]
            await self.take_in(fact, pool)
            self.taken += 1

    async def take_in(self, fact: Seen, pool: Pool | None = None) -> list[Outcome]:
        async def once() -> list[Outcome]:
            async with transaction(pool or self.indexer) as tx:
                match fact:
                    case PaymentSeen():
                        operations = await outcome.paid(tx, fact)
                    case BondFundingSeen():
                        operations = await outcome.bond_funded(tx, fact)
                    case NumbersSkipped():
                        operations = await outcome.skipped(tx, fact)
                done = await store.apply(tx, self.writers["indexer"], operations)
                assert all(result.done for result in done), done
            return done

        return await retried(once)

    async def round(self, pools: Pools | None = None) -> None:
        """Every process does its work once."""
        through = pools or Pools(worker=self.worker, signer=self.signer, indexer=self.indexer)
        self.clock.forward(timedelta(seconds=3))
        await self.expire(through.worker)
        await self.break_up(through.worker)
        await self.number(through.worker)
        await self.build(through.worker)
        await self.sign(through.signer)
        await self.send(through.worker)
        await self.index(through.indexer)

    async def finish(self, withdrawal_id: UUID, rounds: int = 12) -> Withdrawal:
        """Rounds, with blockhashes dying in between, until a withdrawal is over."""
        for _ in range(rounds):
            await self.round()
            async with reading(self.coordinator) as conn:
                found = await withdrawals.status(conn, withdrawal_id)
            if found.status in OVER:
                return found
            self.chain.pass_blocks(60)
        raise AssertionError(f"{withdrawal_id} is not over after {rounds} rounds")

    async def status(self, withdrawal: Withdrawal) -> Withdrawal:
        async with reading(self.coordinator) as conn:
            return await withdrawals.status(conn, withdrawal.withdrawal_id)

    async def balance(self, account: str) -> tuple[int, int]:
        """(net, held) of an account."""
        async with reading(self.indexer) as conn:
            found = await store.balance(conn, accounts.AccountName(account))
        return found.net_microusdc, found.held_microusdc

    async def superuser(self, statement: str) -> list[asyncpg.Record]:
        """What no service may do: look at everything, damage anything."""
        connection = await asyncpg.connect(self.dsn)
        try:
            if statement.lstrip().startswith("select"):
                return await connection.fetch(statement)
            await connection.execute(statement)
            return []
        finally:
            await connection.close()

    def received(self, wallet: Pubkey) -> int:
        account = associated_token_address(wallet, self.deployment.mint)
        return self.chain.received.get(account, 0)


@asynccontextmanager
async def open_world(dsn: str) -> AsyncGenerator[World]:
    deployment = Deployment(program_id=Keypair().pubkey(), mint=Keypair().pubkey())
    key = FileKey(Keypair())
    pools = {
        role: await open_pool(dsn, role=f"pod_{role}", application=role, size=4)
        for role in ("coordinator", "indexer", "settlement", "signer", "finance")
    }
    try:
        writers = {
            name: await store.open_writer(pools[name], name)
            for name in ("coordinator", "indexer", "settlement")
        }
        yield World(
            dsn=dsn,
            coordinator=pools["coordinator"],
            indexer=pools["indexer"],
            worker=pools["settlement"],
            signer=pools["signer"],
            finance=pools["finance"],
            writers=writers,
            chain=FakeChain(deployment=deployment, payer=key.address),
            key=key,
        )
    finally:
        for pool in pools.values():
            await pool.close()
