"""Bonds in the books and on a chain in memory, and the processes between the two."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg
import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from settlement import deposits
from settlement.bonds import lifecycle, seizure
from settlement.bonds.rules import SeizureStep, SeizureTimes
from settlement.chain.movement import ChainMoment, MovementKey
from settlement.chain.program import ExecuteSeizure, Lapse, Release
from settlement.cranks.rounds import CrankRound, crank_once
from settlement.cranks.send import CrankPolicy, CrankRoad
from settlement.cranks.sign import MOST_IN_AN_HOUR, sign_steps
from settlement.db.pool import Pool, Tx, transaction
from settlement.ledger import store
from settlement.ledger.operations import Operation
from settlement.money import Lamports, Slot
from settlement.payouts.policy import SigningPolicy
from settlement.payouts.sign import Signed, Signer
from tests.conftest import Database
from tests.database.cranks.chain import PROPOSED, BondChain, BondOnChain, Step
from tests.database.payouts.chain import BOND_AMOUNT
from tests.database.payouts.world import Pools, World, open_world

LOWEST = Lamports(1_000_000)
DAY = 86_400


def moment_at(unix: int) -> datetime:
    return datetime.fromtimestamp(unix, UTC)


@dataclass(kw_only=True)
class Bonds:
    """One deployment with bonds."""

    world: World
    chain: BondChain
    taken: int = 0

    def road(self, pool: Pool | None = None) -> CrankRoad:
        return CrankRoad(
            pool=pool or self.world.worker,
            chain=self.world.line or self.chain,
            deployment=self.world.deployment,
            payer=self.world.key.address,
            clock=self.world.clock,
            policy=CrankPolicy(),
        )

    async def post(self, *, retired: bool = True, stranger: bool = False) -> Pubkey:
        """A bond of a new operator in books and chain, retired ten seconds before its release."""
        wallet, provider_id = Keypair().pubkey(), uuid4()
        async with transaction(self.world.coordinator) as tx:
            enrolled = Keypair().pubkey() if stranger else wallet
            code = (await deposits.enroll_operator(tx, provider_id, str(enrolled))).encode()
        address = self.world.deployment.bond(code, wallet)
        rent_payer = Keypair().pubkey()
        self.chain.bonds[address] = BondOnChain(
            code=code, beneficiary=wallet, rent_payer=rent_payer, state=1
        )
        fact = lifecycle.BondPosted(
            key=self.key(),
            moment=self.moment(),
            address=str(address),
            code=code,
            beneficiary=str(wallet),
            amount_microusdc=BOND_AMOUNT,
            rent_payer=str(rent_payer),
            cooldown_seconds=90 * DAY,
        )
        async with transaction(self.world.indexer) as tx:
            await self._book(tx, await lifecycle.posted(tx, fact))
        if retired:
            await self.retire(address)
        return address

    async def retire(self, address: Pubkey) -> None:
        bond = self.chain.bonds[address]
        bond.state, bond.release_at = 2, self.chain.now + 10
        fact = lifecycle.BondRetired(
            key=self.key(),
            moment=self.moment(),
            address=str(address),
            release_at=moment_at(bond.release_at),
        )
        async with transaction(self.world.indexer) as tx:
            await self._book(tx, await lifecycle.retired(tx, fact))

    async def propose(self, address: Pubkey) -> None:
        """A seizure whose dispute window ends in ten seconds."""
        bond, now = self.chain.bonds[address], self.chain.now
        bond.seizure = PROPOSED
        bond.execute_after, bond.decide_by, bond.dies_at = now + 10, now + 20, now + 30
        await self.step(address, SeizureStep.PROPOSED)

    async def step(self, address: Pubkey, step: SeizureStep) -> None:
        bond = self.chain.bonds[address]
        times = SeizureTimes(
            execute_after=moment_at(bond.execute_after),
            decide_by=moment_at(bond.decide_by),
            dies_at=moment_at(bond.dies_at),
        )
        fact = seizure.StepSeen(
            key=self.key(),
            moment=self.moment(),
            address=str(address),
            step=step,
            evidence_hash=b"e" * 32,
            reason=1,
            times=times,
        )
        async with transaction(self.world.indexer) as tx:
            await seizure.stepped(tx, fact)

    def key(self) -> MovementKey:
        return MovementKey(cluster="fake", signature=uuid4().hex, outer=0)

    def moment(self) -> ChainMoment:
        self.chain.height += 1
        return ChainMoment(slot=Slot(self.chain.height), block_time=moment_at(self.chain.now))

    async def _book(self, tx: Tx, operations: list[Operation]) -> None:
        done = await store.apply(tx, self.world.writers["indexer"], operations)
        assert all(result.done for result in done), done

    async def crank(self, pool: Pool | None = None) -> CrankRound:
        return await crank_once(self.road(pool), lowest_payer_lamports=LOWEST)

    async def sign(self, pool: Pool | None = None, *, most: int = MOST_IN_AN_HOUR) -> Signed:
        signer = Signer(
            pool=pool or self.world.signer,
            key=self.world.key,
            policy=SigningPolicy(deployment=self.world.deployment),
            clock=self.world.clock,
        )
        return await sign_steps(signer, most_in_an_hour=most)

    async def index(self, pool: Pool | None = None) -> None:
        """Take in what is finalized, each step in one transaction."""
        while self.taken < len(self.chain.steps):
            key, moment, step = self.chain.steps[self.taken]
            async with transaction(pool or self.world.indexer) as tx:
                await self._book(tx, await self._operations(tx, key, moment, step))
            self.taken += 1

    async def _operations(
        self, tx: Tx, key: MovementKey, moment: ChainMoment, step: Step
    ) -> list[Operation]:
        address = str(step.bond)
        match step:
            case Release():
                fact = lifecycle.BondReleased(
                    key=key,
                    moment=moment,
                    address=address,
                    amount_microusdc=BOND_AMOUNT,
                    destination=str(step.destination),
                )
                return await lifecycle.released(tx, fact)
            case ExecuteSeizure():
                seized = lifecycle.BondSeized(
                    key=key, moment=moment, address=address, amount_microusdc=BOND_AMOUNT
                )
                return await lifecycle.seized(tx, seized)
            case Lapse():
                lapsed = seizure.StepSeen(
                    key=key, moment=moment, address=address, step=SeizureStep.LAPSED
                )
                await seizure.stepped(tx, lapsed)
                return []

    async def round(self, pools: Pools | None = None) -> CrankRound:
        """Every process does its work once."""
        through = pools or Pools(
            worker=self.world.worker, signer=self.world.signer, indexer=self.world.indexer
        )
        self.world.clock.forward(timedelta(seconds=15))
        await self.crank(through.worker)
        await self.sign(through.signer)
        found = await self.crank(through.worker)
        await self.index(through.indexer)
        return found

    async def rows(self, columns: str = "*") -> list[asyncpg.Record]:
        return await self.world.superuser(
            f"select {columns} from settlement.crank order by opened_at, crank_id"
        )

    async def states(self) -> list[tuple[str, str]]:
        return [(row["kind"], row["state"]) for row in await self.rows()]

    def received(self, address: Pubkey) -> int:
        """What the beneficiary of a bond got."""
        return self.world.received(self.chain.bonds[address].beneficiary)


@pytest.fixture
async def bonds(database: Database) -> AsyncGenerator[Bonds]:
    async with open_world(database.dsn) as world:
        chain = BondChain(deployment=world.deployment, payer=world.key.address)
        yield Bonds(world=replace(world, chain=chain), chain=chain)
