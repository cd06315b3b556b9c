"""A bond from its first microunit to its return, with every process that has a part in it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from settlement import app, deposits
from settlement.bonds import lifecycle
from settlement.bonds.lifecycle import Standing
from settlement.chain import program
from settlement.config import WorkerSettings
from settlement.cranks.send import CrankPolicy
from settlement.db.pool import reading, transaction
from settlement.ledger import store
from settlement.reconcile.compare import Verdict
from tests.chain.indexer.conftest import World, initialize, uninitialized
from tests.chain.payouts.conftest import Money

__all__ = ["uninitialized"]
DAY = 86_400
BOND = 50_000_000
QUICK = CrankPolicy(
    resend_after=timedelta(milliseconds=200),
    first_pause=timedelta(milliseconds=50),
    longest_pause=timedelta(milliseconds=200),
)


@dataclass(kw_only=True)
class Operators(Money):
    """The same deployment; its worker looks often for bonds whose day has come."""

    def worker_settings(self) -> WorkerSettings:
        return replace(super().worker_settings(), crank_milliseconds=30, crank_policy=QUICK)

    @asynccontextmanager
    async def at_work(self) -> AsyncGenerator[None]:
        """Indexer, worker and signer; at the end books and vaults are equal."""
        async with self.processes():
            yield
            await self.equal()

    async def equal(self) -> None:
        """Everything is read, books and chain are equal, nothing waits for a person."""
        await self.world.settled()
        found = await app.reconcile_once(self.reconcile_settings())
        assert found.verdict is Verdict.EQUAL
        assert await self.world.rows("select * from indexer.incident") == []

    def life(self, wallet: Keypair | None = None) -> "Life":
        """The bond of the operator enrolled with the wallet `operator`."""
        owner = wallet or self.world.wallet("operator")
        return Life(money=self, provider_id=self.provider_id, code=self.code, wallet=owner)

    async def enroll(self, wallet: Keypair) -> "Life":
        """Another operator, of any wallet."""
        provider_id = UUID(bytes=bytes(wallet.pubkey())[:16])
        async with transaction(self.world.pool) as tx:
            code = await deposits.enroll_operator(tx, provider_id, str(wallet.pubkey()))
        return Life(money=self, provider_id=provider_id, code=code.encode(), wallet=wallet)

    async def days_pass(self, days: int, seconds: int = 1) -> None:
        """On the chain's clock."""
        await self.world.rpc.call("localnet_advanceClock", days * DAY + seconds)


@dataclass(kw_only=True)
class Life:
    """One operator's bond."""

    money: Operators
    provider_id: UUID
    code: bytes
    wallet: Keypair

    @property
    def world(self) -> World:
        return self.money.world

    @property
    def owner(self) -> Pubkey:
        return self.wallet.pubkey()

    @property
    def address(self) -> Pubkey:
        return self.world.deployment.bond(self.code, self.owner)

    async def do(self, who: str, *steps: program.ProgramInstruction) -> None:
        """Instructions that this wallet of localnet.toml signs and pays for."""
        built = [program.build(self.world.deployment, one) for one in steps]
        await self.world.send(*built, signers=[self.world.wallet(who)])

    async def post(self) -> None:
        """Posted by the operator's own wallet."""
        await self.post_for(self.owner)
        await self.stands(Standing.POSTED)

    async def post_for(self, beneficiary: Pubkey) -> Pubkey:
        """Posted by the operator's wallet for anybody, under the operator's code; the address."""
        built = program.post_bond(
            self.world.deployment,
            depositor=self.owner,
            funder=self.owner,
            code=self.code,
            beneficiary=beneficiary,
        )
        await self.world.send(built, signers=[self.wallet])
        return self.world.deployment.bond(self.code, beneficiary)

    async def pay_by_code(self, amount: int = BOND) -> None:
        """A coded deposit by somebody else; it becomes a bond by itself."""
        await self.world.deposit(self.code, amount)

    async def retire(self, who: str = "operator") -> None:
        """Retired on chain, by its beneficiary or by the proposer."""
        signer = self.world.wallet(who).pubkey()
        await self.do(who, program.Retire(signer=signer, bond=self.address, code=self.code))
        await self.stands(Standing.RETIRING)

    async def propose(self, evidence: bytes = b"e" * 32) -> None:
        proposer = self.world.wallet("proposer").pubkey()
        made = program.ProposeSeizure(
            proposer=proposer, bond=self.address, code=self.code, evidence_hash=evidence, reason=7
        )
        await self.do("proposer", made)

    async def contest(self) -> None:
        made = program.Contest(
            beneficiary=self.owner, bond=self.address, code=self.code, reply_hash=bytes(32)
        )
        await self.do("operator", made)

    async def release(self, who: str = "user") -> None:
        """Released by somebody else than the clearing house."""
        back = program.release(
            self.world.deployment, code=self.code, beneficiary=self.owner, rent_payer=self.owner
        )
        await self.world.send(back, signers=[self.world.wallet(who)])

    async def stands(self, state: Standing) -> None:
        """Return when the books say that this is how the operator stands."""

        async def holds() -> bool:
            async with reading(self.world.pool) as conn:
                return (await lifecycle.standing(conn, self.provider_id)).state is state

        await self.world.eventually(holds)

    async def active(self) -> bool:
        """Whether the operator may be given work."""
        async with reading(self.world.pool) as conn:
            return self.provider_id in await lifecycle.active_providers(conn)

    async def cranks(self) -> list[asyncpg.Record]:
        """Every crank of the bond, oldest first."""
        return await self.world.rows(
            "select * from settlement.crank where address = $1 order by opened_at",
            str(self.address),
        )

    async def crank_over(self, kind: str, state: str = "done") -> asyncpg.Record:
        """The newest crank of a kind, once it has ended like this."""

        async def holds() -> bool:
            rows = await self.cranks()
            return any((row["kind"], row["state"]) == (kind, state) for row in rows)

        await self.world.eventually(holds)
        return [row for row in await self.cranks() if row["kind"] == kind][-1]

    async def put_off(self, problem: str) -> None:
        """Return when its crank says that it is put off for this."""

        async def holds() -> bool:
            return any(problem in (row["problem"] or "") for row in await self.cranks())

        await self.world.eventually(holds)


@pytest.fixture
async def operators(uninitialized: World, tmp_path: Path) -> Operators:
    """An initialized program and one enrolled operator with money in its wallet."""
    await initialize(uninitialized)
    provider_id, code = await uninitialized.operator()
    return Operators(
        world=uninitialized,
        keys=tmp_path / "keys",
        writer=await store.open_writer(uninitialized.pool, "coordinator"),
        provider_id=provider_id,
        code=code,
    )
