"""Operators who are paid by themselves, on a clock that moves when told."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg
import pytest

from settlement.db.pool import Pool, reading, transaction
from settlement.schedules import store
from settlement.schedules.store import Tick
from settlement.schedules.ticks import Payer, run_due
from settlement.withdrawals import WithdrawalLimits
from tests.conftest import Database
from tests.database.payouts.world import USDC, Operator, World, open_world

SIX_HOURS = timedelta(hours=6)


@dataclass(kw_only=True)
class Days:
    """A deployment, and time that passes."""

    world: World
    limits: WithdrawalLimits

    def payer(self, pool: Pool | None = None) -> Payer:
        return Payer(
            pool=pool or self.world.worker,
            writer=self.world.writers["settlement"],
            deployment=self.world.deployment,
            clock=self.world.clock,
            limits=self.limits,
            chain=None,
        )

    async def run(self, pool: Pool | None = None) -> int:
        return await run_due(self.payer(pool))

    async def operator(
        self, *, earned: int = 100 * USDC, threshold: int = 5 * USDC, days: int = 31
    ) -> Operator:
        """One who asked for automatic payouts just now."""
        operator = await self.world.operator(earned=earned, enrolled_days=days)
        await self.choose(operator, threshold=threshold)
        return operator

    async def choose(
        self,
        operator: Operator,
        *,
        enabled: bool = True,
        threshold: int = 5 * USDC,
        destination: str | None = None,
    ) -> None:
        async with transaction(self.world.coordinator) as tx:
            await store.choose(
                tx,
                operator.provider_id,
                enabled=enabled,
                threshold_microusdc=threshold,
                destination=destination,
                deployment=self.world.deployment,
                limits=self.limits,
                now=self.world.clock.now(),
            )

    def pass_slots(self, count: float = 1) -> datetime:
        self.world.clock.forward(SIX_HOURS * count)
        return self.world.clock.now()

    async def ticks(self, operator: Operator) -> list[Tick]:
        """Oldest first."""
        async with reading(self.world.coordinator) as conn:
            return list(await store.ticks_of(conn, operator.provider_id, limit=100))[::-1]

    async def outcomes(self, operator: Operator) -> list[tuple[str, int | None]]:
        ticks = await self.ticks(operator)
        return [(tick.outcome.value, tick.amount_microusdc) for tick in ticks]

    async def payouts(self, operator: Operator) -> list[asyncpg.Record]:
        return await self.world.superuser(
            "select amount, state, destination, idempotency_key from settlement.payout"
            f" where provider_id = '{operator.provider_id}' order by requested_at"
        )


@pytest.fixture
async def days(database: Database) -> AsyncGenerator[Days]:
    async with open_world(database.dsn) as world:
        yield Days(world=world, limits=WithdrawalLimits())
