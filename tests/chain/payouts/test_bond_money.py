"""Bond money that comes in parts, from others, or too much: what is escrowed and what is shown."""

from settlement import app
from settlement.bonds import lifecycle
from settlement.bonds.lifecycle import BondStanding, Standing
from settlement.db.pool import reading
from settlement.ledger import accounts
from settlement.reconcile.compare import Verdict
from tests.chain.indexer.conftest import memo, plain_transfer
from tests.chain.payouts.conftest import Money

USDC = 1_000_000
BOND = 50 * USDC


async def standing(money: Money) -> BondStanding:
    """What `/v1/host/profile` shows of the operator's bond."""
    async with reading(money.world.pool) as conn:
        return await lifecycle.standing(conn, money.provider_id)


async def shown(money: Money, state: Standing, pending: int) -> None:
    """Return when the operator's bond is in this state, with this much pending."""

    async def holds() -> bool:
        found = await standing(money)
        return (found.state, found.pending_microusdc) == (state, pending)

    await money.world.eventually(holds)


async def by_memo(money: Money, amount: int) -> None:
    """`user` pays into the till by a plain transfer that names the operator's bond."""
    world = money.world
    user = world.wallet("user").pubkey()
    await world.send(
        plain_transfer(world.ata("user"), world.deployment.till_vault, user, amount),
        memo(f"POD-BOND-{money.code.decode()}", user),
    )


async def test_parts_of_a_bond_wait_for_each_other_whoever_pays_them(money: Money) -> None:
    world = money.world
    async with money.processes():
        await world.deposit(money.code, BOND - 20 * USDC)
        await shown(money, Standing.PENDING, BOND - 20 * USDC)
        await by_memo(money, 20 * USDC - 1)
        await shown(money, Standing.PENDING, BOND - 1)
        await world.settled()
        assert await world.rows("select * from settlement.payout") == [], "a microunit is missing"
        await by_memo(money, 1)
        await shown(money, Standing.POSTED, 0)
        await world.settled()
        found = await app.reconcile_once(money.reconcile_settings())
    assert found.verdict is Verdict.EQUAL
    assert (await standing(money)).amount_microusdc == BOND
    assert await world.balance(accounts.bond(money.provider_id)) == BOND
    assert await world.rows("select * from indexer.incident") == []


async def test_what_comes_for_a_bond_that_is_posted_stays_pending(money: Money) -> None:
    world = money.world
    async with money.processes():
        await world.deposit(money.code, BOND)
        await shown(money, Standing.POSTED, 0)
        await world.deposit(money.code, BOND + 7)
        await shown(money, Standing.POSTED, BOND + 7)
        await world.settled()
        found = await app.reconcile_once(money.reconcile_settings())
    assert found.verdict is Verdict.EQUAL
    assert await world.balance(accounts.bond(money.provider_id)) == BOND
    rows = await world.rows("select kind, state from settlement.payout")
    assert [tuple(row) for row in rows] == [("fund_bond", "paid")]
