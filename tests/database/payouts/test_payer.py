"""The fee payer's SOL: called for in time, and never spent to nothing."""

import pytest

from settlement.money import Lamports
from settlement.payouts.payer import PayerPolicy, PayerWatch, Queue
from settlement.payouts.rounds import Rounds
from settlement.withdrawals import WithdrawalStatus
from tests.database.payouts.world import USDC, World

LOWEST, RESUME = Lamports(1_000_000), Lamports(5_000_000)
POLICY = PayerPolicy(lowest=LOWEST, resume=RESUME, low_water=Lamports(6_000_000))
RENT = 2_039_280


def rounds(world: World) -> Rounds:
    return Rounds(world.road(), lowest_payer_lamports=LOWEST, payer_policy=POLICY)


async def test_it_stands_still_below_the_lowest_and_goes_on_well_above(world: World) -> None:
    await world.withdraw(await world.operator(), 10 * USDC)
    world.chain.set_token_account((await world.operator()).wallet)
    worker = rounds(world)
    for lamports, goes in ((999_999, False), (1_000_000, False), (4_999_999, False)):
        world.chain.payer_lamports = lamports
        found = await worker.once()
        assert (found.blocked == (), found.built) == (goes, 0), lamports
    world.chain.payer_lamports = RESUME
    assert (await worker.once()).built == 1


async def test_it_stops_before_a_message_would_bring_it_below(world: World) -> None:
    """Two of the three fit; the third waits until there is more, and holds nobody back."""
    asked = [await world.withdraw(await world.operator(), 10 * USDC) for _ in range(3)]
    world.chain.payer_lamports = LOWEST + 2 * (RENT + 5_100) + 1_000_000
    worker = rounds(world)
    assert (await worker.once()).built == 2
    assert (await worker.once()).blocked == ("the fee payer has too little for what waits",)
    await world.sign()
    assert (await worker.once()).sent == 2
    await world.index()
    assert len(world.chain.paid) == 2
    world.chain.payer_lamports = 100_000_000
    assert (await worker.once()).built == 1
    await world.sign()
    await worker.once()
    await world.index()
    states = {(await world.status(each)).status for each in asked}
    assert states == {WithdrawalStatus.FINAL}


async def test_what_is_underway_is_not_spent_twice(world: World) -> None:
    for _ in range(2):
        await world.withdraw(await world.operator(), 10 * USDC)
    world.chain.payer_lamports = LOWEST + RENT + 5_100 + 1_000_000
    assert (await rounds(world).once()).built == 1
    # Another worker, which knows nothing of the first but what is in the database.
    assert (await rounds(world).once()).built == 0


async def test_the_need_is_what_waits(world: World) -> None:
    known = await world.operator()
    await world.withdraw(known, 10 * USDC)
    for _ in range(2):
        await world.round()
    for operator in (known, known, await world.operator(), await world.operator()):
        await world.withdraw(operator, 10 * USDC)
    world.chain.payer_lamports = 0
    policy = PayerPolicy(lowest=LOWEST, resume=RESUME, low_water=Lamports(0))
    worker = Rounds(world.road(), lowest_payer_lamports=LOWEST, payer_policy=policy)
    found = await worker.once()
    # 5,000 for the signature and 80,000 units at the dearest, each; two wallets are new.
    assert found.payer_needs_lamports == LOWEST + 4 * (5_000 + 8_000) + 2 * RENT


def test_an_empty_queue_needs_the_low_water() -> None:
    assert Queue().need_lamports(POLICY, cap_microlamports=1) == 6_000_000
    busy = Queue(underway_lamports=7_000_000, payouts=1, bonds=1)
    assert busy.need_lamports(POLICY, cap_microlamports=0) == 8_005_000 + 3_507_840


def test_nobody_goes_on_below_where_he_stops() -> None:
    with pytest.raises(AssertionError):
        PayerPolicy(lowest=Lamports(2), resume=Lamports(1), low_water=Lamports(3))
    watch = PayerWatch(PayerPolicy.above(Lamports(10)))
    assert watch.obstacle(Lamports(10)) is None
    assert watch.obstacle(Lamports(9)) is not None
    assert watch.obstacle(Lamports(19)) is not None
    assert watch.obstacle(Lamports(20)) is None
