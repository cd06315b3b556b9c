"""The embedded chain, a real indexer, worker and signer in this event loop, and an operator."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from settlement import app, withdrawals
from settlement.clock import SystemClock
from settlement.config import ReconcileSettings, SignerSettings, WorkerSettings
from settlement.db.pool import reading, transaction
from settlement.keys.choice import KeyKind, KeyPlace
from settlement.ledger import accounts, store
from settlement.ledger.operations import Post, TransactionKind, Transfer, Writer
from settlement.money import Lamports, MicroUsdc
from settlement.payouts.policy import SigningPolicy
from settlement.payouts.road import SendPolicy
from settlement.settings import Address
from settlement.signing.process import sign
from settlement.withdrawals import Withdrawal, WithdrawalRequest, WithdrawalStatus
from tests.chain.indexer.conftest import (
    CLUSTER,
    World,
    following,
    initialize,
    uninitialized,
)

__all__ = ["uninitialized"]
ANY = Address(host="127.0.0.1", port=0)


@dataclass(kw_only=True)
class Money:
    """A deployment whose till has money, and what people do with it."""

    world: World
    keys: Path
    writer: Writer
    provider_id: UUID
    code: bytes

    @property
    def wallet(self) -> Pubkey:
        """Where the operator withdraws to."""
        return self.world.wallet("operator").pubkey()

    def reconcile_settings(self) -> ReconcileSettings:
        return ReconcileSettings(
            database_url=self.world.database.dsn,
            rpc_urls=(self.world.chain.rpc_url,),
            cluster=CLUSTER,
            deployment=self.world.deployment,
            patience_seconds=20,
            log_level="WARNING",
        )

    def worker_settings(self) -> WorkerSettings:
        return WorkerSettings(
            reconcile=self.reconcile_settings(),
            payer=self.world.wallet("payer").pubkey(),
            metrics=ANY,
            policy=SendPolicy(resend_after=timedelta(milliseconds=200)),
            lowest_payer_lamports=Lamports(1_000_000),
            payer_policy=None,
            round_milliseconds=20,
            bond_funding_milliseconds=50,
            reconcile_every_seconds=3_600,
            seal_every_seconds=3_600,
        )

    def signer_settings(self) -> SignerSettings:
        return SignerSettings(
            database_url=self.world.database.dsn,
            key=KeyPlace(kind=KeyKind.FILE, where=str(self.keys / "payer.json")),
            other_roles={},
            payer=self.world.wallet("payer").pubkey(),
            policy=SigningPolicy(deployment=self.world.deployment),
            metrics=ANY,
            round_milliseconds=20,
            log_level="WARNING",
        )

    async def earn(self, amount: int) -> None:
        """A user deposits on chain, and the operator earns all of it."""
        user_id, code = await self.world.user()
        await self.world.deposit(code, amount)
        await self.world.credited(accounts.user(user_id), amount)
        now = SystemClock().now()
        earned = Post(
            transaction_id=uuid4(),
            kind=TransactionKind.ADJUSTMENT,
            transfers=(
                Transfer(
                    debit=accounts.user(user_id),
                    credit=accounts.host(self.provider_id),
                    amount_microusdc=MicroUsdc(amount),
                ),
            ),
            event_at=now,
            effective_on=now.date(),
            actor="test",
        )
        async with transaction(self.world.pool) as tx:
            (done,) = await store.apply(tx, self.writer, [earned])
            assert done.done

    async def withdraw(self, amount: int, destination: Pubkey | None = None) -> Withdrawal:
        return await withdrawals.submit(
            self.world.pool,
            self.writer,
            WithdrawalRequest(
                provider_id=self.provider_id,
                amount_microusdc=amount,
                destination=str(destination or self.wallet),
            ),
            deployment=self.world.deployment,
            clock=SystemClock(),
        )

    async def until(self, withdrawal: Withdrawal, status: WithdrawalStatus) -> Withdrawal:
        """Return the withdrawal when it has this status."""

        async def holds() -> bool:
            return (await self.status(withdrawal)).status is status

        await self.world.eventually(holds)
        return await self.status(withdrawal)

    async def status(self, withdrawal: Withdrawal) -> Withdrawal:
        async with reading(self.world.pool) as conn:
            return await withdrawals.status(conn, withdrawal.withdrawal_id)

    async def token_amount(self, owner: Pubkey) -> int:
        from settlement.chain.program import associated_token_address

        account = associated_token_address(owner, self.world.deployment.mint)
        value = await self.world.rpc.value(
            "getTokenAccountBalance", str(account), {"commitment": "processed"}
        )
        return int(value["amount"])

    @asynccontextmanager
    async def processes(self, *, signer: bool = True) -> AsyncGenerator[None]:
        """Indexer, worker and signer, working. One that fails fails the test."""
        jobs = [asyncio.create_task(app.work(self.worker_settings()))]
        if signer:
            jobs.append(asyncio.create_task(sign(self.signer_settings())))
        async with following(self.world.settings()) as indexer:
            try:
                yield
            finally:
                for job in jobs:
                    job.cancel()
                ended = await asyncio.gather(*jobs, return_exceptions=True)
                assert all(isinstance(end, asyncio.CancelledError) for end in ended), ended
                assert not indexer.done()


@pytest.fixture
async def money(uninitialized: World, tmp_path: Path) -> Money:
    """An initialized program and an enrolled operator who has earned nothing yet."""
    await initialize(uninitialized)
    provider_id, code = await uninitialized.operator()
    return Money(
        world=uninitialized,
        keys=tmp_path / "keys",
        writer=await store.open_writer(uninitialized.pool, "coordinator"),
        provider_id=provider_id,
        code=code,
    )


def new_wallet() -> Pubkey:
    """A wallet that has nothing, not even an account."""
    return Keypair().pubkey()
