"""A number that half of the window has passed by is burned: no payout stops the others."""

from settlement.money import Lamports
from settlement.payouts.rounds import Rounds
from settlement.payouts.window import HALF_OF_THE_WINDOW, PASSED_BY, give_up_passed_by
from settlement.withdrawals import WithdrawalStatus
from tests.database.payouts.world import USDC, World


async def test_half_of_the_window() -> None:
    assert HALF_OF_THE_WINDOW == 4_096


async def test_who_is_passed_by_has_the_money_back(world: World) -> None:
    operator = await world.operator()
    stuck = await world.withdraw(operator, 10 * USDC)
    await world.number()
    await world.build()  # and nobody signs it
    rounds = Rounds(world.road(), lowest_payer_lamports=Lamports(0))
    await world.superuser("update settlement.payout_counter set next_sequence = 4095")
    assert (await rounds.once()).passed_by == 0
    await world.superuser("update settlement.payout_counter set next_sequence = 4096")
    assert (await rounds.once()).passed_by == 1
    assert (await rounds.once()).passed_by == 0, "once is enough"
    done = await world.finish(stuck.withdrawal_id)
    assert done.status is WithdrawalStatus.FAILED
    (row,) = await world.superuser("select skip_reason from settlement.payout")
    assert row["skip_reason"] == PASSED_BY
    assert await world.balance(f"host:{operator.provider_id}") == (100 * USDC, 0)
    assert world.chain.used == {0}


async def test_what_lands_first_stays_paid(world: World) -> None:
    operator = await world.operator()
    asked = await world.withdraw(operator, 10 * USDC)
    await world.number()
    await world.build()
    await world.sign()
    await world.superuser("update settlement.payout_counter set next_sequence = 9")
    assert await give_up_passed_by(world.worker, behind=9) == 1
    await world.send()
    await world.index()
    assert (await world.status(asked)).status is WithdrawalStatus.FINAL
    assert world.received(operator.wallet) == 10 * USDC


async def test_the_decided_are_left_alone(world: World) -> None:
    await world.withdraw(await world.operator(), 10 * USDC)
    await world.round()
    await world.superuser("update settlement.payout_counter set next_sequence = 9000")
    assert await give_up_passed_by(world.worker) == 0
