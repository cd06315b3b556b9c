"""A scheduled payout by the real worker: what was missed is asked for once, and paid."""

from settlement import app
from settlement.clock import SystemClock
from settlement.db.pool import transaction
from settlement.reconcile.compare import Verdict
from settlement.schedules import store
from settlement.withdrawals import WithdrawalLimits
from tests.chain.payouts.conftest import Money

USDC = 1_000_000


async def test_what_was_missed_is_paid_once(money: Money) -> None:
    world = money.world
    async with transaction(world.pool) as tx:
        await store.choose(
            tx,
            money.provider_id,
            enabled=True,
            threshold_microusdc=5 * USDC,
            destination=None,
            deployment=world.deployment,
            limits=WithdrawalLimits(),
            now=SystemClock().now(),
        )
    async with money.processes():
        await money.earn(30 * USDC)
        assert await world.rows("select * from settlement.payout_tick") == []
    await world.rows("update settlement.payout_schedule set enabled_at = '2026-01-01' returning 1")
    before = await money.token_amount(money.wallet)

    async def paid() -> bool:
        rows = await world.rows("select state from settlement.payout")
        return [row["state"] for row in rows] == ["paid"]

    for _ in range(2):  # a second worker in the same six hours finds it done
        async with money.processes():
            await world.eventually(paid)
            await world.settled()
            found = await app.reconcile_once(money.reconcile_settings())
        assert found.verdict is Verdict.EQUAL
    assert await money.token_amount(money.wallet) - before == 30 * USDC
    rows = await world.rows("select outcome from settlement.payout_tick")
    assert {row["outcome"] for row in rows} == {"requested"}
