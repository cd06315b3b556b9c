"""Bond money that no bond needs goes back to its operator; and what comes after a bond is over."""

import pytest
from solders.keypair import Keypair

from settlement.bonds import lifecycle
from settlement.bonds.lifecycle import Standing
from settlement.chain import program
from settlement.clock import SystemClock
from settlement.db.pool import reading
from settlement.ledger import accounts
from settlement.payouts.bond_refund import refund_pending
from tests.chain.bonds.conftest import BOND, Life, Operators
from tests.chain.localnet.calls import RpcFailed

USDC = 1_000_000


async def refunded(life: Life, amount: int) -> None:
    """Ask for it, and wait until it has arrived in the enrolled wallet."""
    money, world = life.money, life.world
    before = await money.token_amount(life.owner)
    made = await refund_pending(world.pool, money.writer, life.provider_id, clock=SystemClock())
    assert (made.amount_microusdc, made.destination) == (amount, str(life.owner))

    async def paid() -> bool:
        rows = await world.rows(
            "select state from settlement.payout where payout_id = $1", made.payout_id
        )
        return rows[0]["state"] == "paid"

    await world.eventually(paid)
    assert await money.token_amount(life.owner) - before == amount
    assert await world.balance(accounts.bond_pending(life.provider_id)) == 0


async def pending(life: Life, amount: int) -> None:
    await life.world.credited(accounts.bond_pending(life.provider_id), amount)


async def test_what_came_above_the_price_goes_back(operators: Operators) -> None:
    life = operators.life()
    async with operators.at_work():
        await life.pay_by_code(BOND + 7 * USDC)
        await life.stands(Standing.POSTED)
        await pending(life, 7 * USDC)
        await refunded(life, 7 * USDC)
    assert await life.active()


async def test_half_a_bond_can_be_taken_back(operators: Operators) -> None:
    life = operators.life()
    async with operators.at_work():
        await life.pay_by_code(BOND - 1)
        await pending(life, BOND - 1)
        await refunded(life, BOND - 1)
        await life.pay_by_code(BOND)  # and paid in whole later
        await life.stands(Standing.POSTED)


async def test_what_came_after_the_bond_was_over_goes_back(operators: Operators) -> None:
    life = operators.life()
    async with operators.at_work():
        await life.post()
        await life.retire()
        await operators.days_pass(90)
        await life.stands(Standing.RELEASED)
        await life.pay_by_code(BOND + 1)
        await pending(life, BOND + 1)
        await operators.equal()
        rows = await life.world.rows("select * from settlement.payout")
        assert rows == [], "a code and a wallet have one bond, for ever"
        await refunded(life, BOND + 1)


async def test_a_bond_that_is_over_is_not_posted_again_but_another_is(
    operators: Operators,
) -> None:
    life = operators.life()
    async with operators.at_work():
        await life.post()
        await life.retire()
        await operators.days_pass(90)
        await life.stands(Standing.RELEASED)
        with pytest.raises(RpcFailed):
            await life.post_for(life.owner)
        await life.stands(Standing.RELEASED)
        again = await operators.enroll(life.wallet)  # the same wallet under a new code
        await again.post()
        assert await again.active()
        assert not await life.active()


async def test_a_bond_handed_to_the_enrolled_wallet_counts_after_the_first_is_over(
    operators: Operators,
) -> None:
    """Under the old code: posted for another wallet, and handed over. Both sign."""
    life, other = operators.life(), Keypair()
    async with operators.at_work():
        await life.post()
        await life.retire()
        await operators.days_pass(90)
        await life.stands(Standing.RELEASED)
        address = await life.post_for(other.pubkey())
        handed = program.SetBeneficiary(
            beneficiary=other.pubkey(),
            new_beneficiary=life.owner,
            bond=address,
            code=life.code,
        )
        built = program.build(operators.world.deployment, handed)
        await operators.world.send(built, signers=[life.wallet, other])
        await life.stands(Standing.POSTED)
        assert await life.active()
        before = await operators.token_amount(life.owner)
        retire = program.Retire(signer=life.owner, bond=address, code=life.code)
        await life.do("operator", retire)
        await life.stands(Standing.RETIRING)
        await operators.days_pass(90)
        await life.stands(Standing.RELEASED)
        assert await operators.token_amount(life.owner) - before == BOND
    async with reading(operators.world.pool) as conn:
        found = await lifecycle.standing(conn, life.provider_id)
    assert found.ended_by is not None
