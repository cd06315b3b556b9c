"""A payout from its request to its end, the plain way and through each fault on the road."""

from settlement.withdrawals import WithdrawalStatus
from tests.database.payouts.world import USDC, World


async def test_a_withdrawal_is_paid_once_and_booked(world: World) -> None:
    operator = await world.operator(earned=100 * USDC)
    asked = await world.withdraw(operator, 30 * USDC)
    assert asked.status is WithdrawalStatus.APPROVED
    assert await world.balance(f"host:{operator.provider_id}") == (100 * USDC, 30 * USDC)

    await world.number()
    await world.build()
    await world.sign()
    await world.send()
    assert (await world.status(asked)).status is WithdrawalStatus.BROADCAST
    await world.index()

    done = await world.status(asked)
    assert done.status is WithdrawalStatus.FINAL
    assert done.sequence == 0
    assert done.signature in world.chain.signatures
    assert world.received(operator.wallet) == 30 * USDC
    assert await world.balance(f"host:{operator.provider_id}") == (70 * USDC, 0)
