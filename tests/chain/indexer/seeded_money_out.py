"""Money leaves in a seeded run: a withdrawal and a bond's funding, by the real payout road."""

from dataclasses import dataclass
from datetime import timedelta
from typing import cast
from uuid import UUID

import aiohttp

from localnet.adversary.in_process import URL
from settlement import withdrawals
from settlement.chain.rpc import RpcClient
from settlement.clock import SystemClock
from settlement.db.pool import reading, transaction
from settlement.keys.file import FileKey
from settlement.ledger import accounts, store
from settlement.ledger.operations import Post, TransactionKind, Transfer, Writer
from settlement.money import Lamports, MicroUsdc
from settlement.payouts import bond_funding
from settlement.payouts.policy import SigningPolicy
from settlement.payouts.road import Road, SendPolicy
from settlement.payouts.rounds import Rounds
from settlement.payouts.sign import Signer, sign_waiting
from settlement.payouts.survey import read_till
from settlement.withdrawals import WithdrawalRequest
from tests.chain.indexer.seeded_death import MortalSession
from tests.chain.indexer.seeded_ground import AWAY, CLUSTER, OPERATOR, RETRY, USER, Ground, Pools
from tests.chain.indexer.seeded_story import USDC

_EARNED_AT = 10


@dataclass(kw_only=True)
class MoneyOut:
    """What the operator asks for, and the worker and signer that carry it out."""

    ground: Ground
    pools: Pools
    session: MortalSession
    rounds: Rounds | None = None
    writer: Writer | None = None
    earned: Writer | None = None
    withdrawn: bool = False

    def die(self) -> None:
        """The worker is gone; its next life knows what the database knows."""
        self.rounds = None

    async def states(self) -> list[tuple[object, ...]]:
        """Every payout, how much it is and how far."""
        async with reading(self.pools.settlement) as conn:
            rows = await conn.fetch("select kind, amount, state from settlement.payout")
        return [tuple(row.values()) for row in rows]

    async def is_done(self) -> bool:
        """Whether both withdrawals and the bond's funding are paid."""
        states = await self.states()
        return self.withdrawn and [state for *_, state in states] == ["paid"] * 3

    async def ask(self, tick: int) -> None:
        """The operator earns what the user has deposited, and takes it out."""
        if self.earned is None and tick >= _EARNED_AT:
            async with reading(self.pools.coordinator) as conn:
                found = await store.balance(conn, accounts.user(USER))
            if found.net_microusdc >= 20 * USDC:
                self.earned = await self._earn(20 * USDC)
        elif self.earned is not None and not self.withdrawn:
            self.withdrawn = True
            for amount in (6 * USDC, 7 * USDC):
                await withdrawals.submit(
                    self.pools.coordinator,
                    self.earned,
                    WithdrawalRequest(
                        provider_id=OPERATOR,
                        amount_microusdc=amount,
                        destination=str(self.ground.keyring.wallets["operator"].pubkey()),
                    ),
                    deployment=self.ground.deployment,
                    clock=SystemClock(),
                )

    async def _earn(self, amount: int) -> Writer:
        now = SystemClock().now()
        earned = Post(
            transaction_id=UUID(int=3),
            kind=TransactionKind.ADJUSTMENT,
            transfers=(
                Transfer(
                    debit=accounts.user(USER),
                    credit=accounts.host(OPERATOR),
                    amount_microusdc=MicroUsdc(amount),
                ),
            ),
            event_at=now,
            effective_on=now.date(),
            actor="test",
        )
        writer = await store.open_writer(self.pools.coordinator, "coordinator")
        async with transaction(self.pools.coordinator) as tx:
            (done,) = await store.apply(tx, writer, [earned])
            assert done.done
        return writer

    async def round(self) -> None:
        """The signer, the funding of bonds, and one round of the payout worker."""
        pools, clock = self.pools, SystemClock()
        key = FileKey(self.ground.keyring.wallets["payer"])
        session = cast("aiohttp.ClientSession", self.session)
        rpc = RpcClient([URL], session, retry=RETRY)
        road = Road(
            pool=pools.settlement,
            chain=rpc,
            cluster=CLUSTER,
            deployment=self.ground.deployment,
            payer=key.address,
            clock=clock,
            policy=SendPolicy(resend_after=timedelta(0)),
        )
        if self.rounds is None:
            self.rounds = Rounds(road, lowest_payer_lamports=Lamports(1_000_000))
            self.writer = await store.open_writer(pools.settlement, "settlement")
        assert self.writer is not None
        policy = SigningPolicy(deployment=self.ground.deployment)
        try:
            await sign_waiting(Signer(pool=pools.signer, key=key, policy=policy, clock=clock))
            if await bond_funding.anybody_waits(pools.settlement, clock=clock):
                till = await read_till(rpc, self.ground.deployment)
                await bond_funding.fund_pending(
                    pools.settlement,
                    self.writer,
                    bond_amount_microusdc=till.bond_amount_microusdc,
                    clock=clock,
                )
            await self.rounds.once()
        except AWAY:
            return
