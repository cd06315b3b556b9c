"""Two of everything at once: the chain takes a number once, the database a state once."""

import asyncio

from settlement.withdrawals import WithdrawalStatus
from tests.database.payouts.world import USDC, World


async def test_two_of_every_process_pay_everybody_once(world: World) -> None:
    operators = [await world.operator(earned=20 * USDC) for _ in range(6)]
    asked = [await world.withdraw(operator, 6 * USDC) for operator in operators]
    world.chain.lose_sends, world.chain.lose_answers = 2, 2

    async def outbound() -> None:
        for _ in range(4):
            await world.number()
            await world.build()
            await world.sign()
            await world.send()

    await asyncio.gather(outbound(), outbound(), outbound())
    for each in asked:
        assert (await world.finish(each.withdrawal_id)).status is WithdrawalStatus.FINAL
    for operator in operators:
        assert world.received(operator.wallet) == 6 * USDC
        assert await world.balance(f"host:{operator.provider_id}") == (14 * USDC, 0)
    assert world.chain.paid == set(range(6))


async def test_numbers_have_no_gap_whoever_gives_them(world: World) -> None:
    operators = [await world.operator(earned=20 * USDC) for _ in range(5)]
    world.chain.base = 64
    await asyncio.gather(*(world.withdraw(operator, 5 * USDC) for operator in operators))
    await asyncio.gather(*(world.number() for _ in range(4)))
    for operator in operators[:2]:
        await world.withdraw(operator, 5 * USDC)
    await world.number()
    rows = await world.superuser("select sequence from settlement.payout order by sequence")
    assert [row["sequence"] for row in rows] == list(range(64, 71))


async def test_equal_payouts_have_different_signatures(world: World) -> None:
    """Same amount, same wallet, same blockhash: the number and the reference tell them apart."""
    operator = await world.operator()
    for _ in range(2):
        await world.withdraw(operator, 5 * USDC)
    await world.number()
    await world.build()
    await world.sign()
    await world.send()
    rows = await world.superuser("select signature, message from settlement.payout_message")
    assert len({row["signature"] for row in rows}) == 2
    assert world.received(operator.wallet) == 10 * USDC


async def test_a_send_repeats_the_stored_bytes_and_nothing_else(world: World) -> None:
    operator = await world.operator()
    asked = await world.withdraw(operator, 5 * USDC)
    world.chain.lose_sends = 3
    for _ in range(3):
        await world.round()
    rows = await world.superuser("select members, sends from settlement.payout_message")
    assert [(row["members"], row["sends"]) for row in rows] == [(1, 3)]
    await world.round()
    assert (await world.status(asked)).status is WithdrawalStatus.FINAL
