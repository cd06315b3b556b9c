"""The outbound road, stopped after every single statement and call: money leaves exactly once."""

from collections.abc import Callable

import pytest

from settlement.withdrawals import WithdrawalStatus
from tests.database.payouts.stopping import Fuse, Stopped, StoppingChain, stopping_pool
from tests.database.payouts.world import USDC, Operator, Pools, World

AMOUNT = 7 * USDC
pytestmark = pytest.mark.timeout(300)


async def stopped_road(world: World, fuse: Fuse, operator: Operator, disturb: str) -> None:
    """Ask, and do rounds, until the fuse burns or everything is done."""
    pools = Pools(
        worker=stopping_pool(world.worker, fuse),
        signer=stopping_pool(world.signer, fuse),
        indexer=stopping_pool(world.indexer, fuse),
    )
    world.line = StoppingChain(world.chain, fuse)
    try:
        asking = stopping_pool(world.coordinator, fuse)
        await world.withdraw(operator, AMOUNT, key="once", pool=asking)
        for _ in range(2):
            await world.round(pools)
            if disturb == "the blockhash dies":
                world.chain.pass_blocks(200)
    except Stopped:
        pass
    finally:
        world.line = None


DISTURBANCES: dict[str, Callable[[World], None]] = {
    "nothing": lambda _world: None,
    "a send is lost": lambda world: setattr(world.chain, "lose_sends", 1),
    "an answer is lost": lambda world: setattr(world.chain, "lose_answers", 1),
    "the blockhash dies": lambda world: setattr(world.chain, "lose_sends", 1),
}


EVERY_STEP = [
    pytest.param(disturb, 1, marks=[] if disturb == "nothing" else pytest.mark.nightly)
    for disturb in DISTURBANCES
]
SOME_STEPS = [(disturb, 6) for disturb in DISTURBANCES if disturb != "nothing"]


@pytest.mark.parametrize(("disturb", "stride"), [*EVERY_STEP, *SOME_STEPS])
async def test_a_stop_anywhere_pays_exactly_once(world: World, disturb: str, stride: int) -> None:
    steps = 0
    while True:
        operator = await world.operator(earned=10 * USDC)
        DISTURBANCES[disturb](world)
        fuse = Fuse(steps)
        await stopped_road(world, fuse, operator, disturb)
        world.chain.lose_sends = world.chain.lose_answers = 0

        # Whoever asked and heard nothing asks again under the same key.
        again = await world.withdraw(operator, AMOUNT, key="once")
        done = await world.finish(again.withdrawal_id)

        assert done.status is WithdrawalStatus.FINAL, f"stopped after {steps} steps"
        assert world.received(operator.wallet) == AMOUNT, f"stopped after {steps} steps"
        account = f"host:{operator.provider_id}"
        assert await world.balance(account) == (10 * USDC - AMOUNT, 0), f"after {steps} steps"
        if not fuse.burned:
            break
        steps += stride
    assert steps > 40, "the road has more steps than that"
    assert len(world.chain.paid) == steps // stride + 1


@pytest.mark.parametrize("stride", [pytest.param(1, marks=pytest.mark.nightly), 3])
async def test_a_stop_anywhere_gives_back_exactly_once(world: World, stride: int) -> None:
    """The same for a payout that cannot be paid and whose number is burned."""
    steps = 0
    while True:
        operator = await world.operator(earned=10 * USDC)
        world.chain.set_token_account(operator.wallet, frozen=True)
        fuse = Fuse(steps)
        await stopped_road(world, fuse, operator, "nothing")
        again = await world.withdraw(operator, AMOUNT, key="once")
        done = await world.finish(again.withdrawal_id)

        assert done.status is WithdrawalStatus.FAILED, f"stopped after {steps} steps"
        assert world.received(operator.wallet) == 0
        assert await world.balance(f"host:{operator.provider_id}") == (10 * USDC, 0)
        if not fuse.burned:
            break
        steps += stride
    assert not world.chain.paid
    assert len(world.chain.used) == steps // stride + 1
