"""Many payouts in few messages: what shares one, and that a bad one hurts nobody else."""

from datetime import timedelta

import pytest

from settlement.chain.transport import RpcRefused
from settlement.payouts.road import SendPolicy
from settlement.withdrawals import Withdrawal, WithdrawalStatus
from tests.database.payouts.stopping import Fuse, Stopped, StoppingChain, stopping_pool
from tests.database.payouts.world import USDC, Operator, Pools, World

TOGETHER = SendPolicy(largest_batch=8, batch_from=2)


async def asked(world: World, count: int) -> list[tuple[Operator, Withdrawal]]:
    """So many operators, each of whom withdraws."""
    world.policy = TOGETHER
    found: list[tuple[Operator, Withdrawal]] = []
    for _ in range(count):
        operator = await world.operator(earned=20 * USDC)
        found.append((operator, await world.withdraw(operator, 6 * USDC)))
        world.clock.forward(timedelta(seconds=1))  # numbers follow the order of asking
    return found


async def messages(world: World) -> list[tuple[int, str | None]]:
    rows = await world.superuser(
        "select members, ended from settlement.payout_message order by message_id"
    )
    return [(row["members"], row["ended"]) for row in rows]


async def test_many_payouts_are_paid_by_few_messages(world: World) -> None:
    queue = await asked(world, 11)
    await world.round()
    for operator, withdrawal in queue:
        assert (await world.status(withdrawal)).status is WithdrawalStatus.FINAL
        assert world.received(operator.wallet) == 6 * USDC
        assert await world.balance(f"host:{operator.provider_id}") == (14 * USDC, 0)
    # Each opens the account of its wallet, so that five fit.
    assert await messages(world) == [(5, "decided"), (5, "decided"), (1, "decided")]
    assert world.chain.sends == 3


async def test_a_short_queue_shares_nothing(world: World) -> None:
    await asked(world, 3)
    world.policy = SendPolicy(largest_batch=8, batch_from=4)
    await world.round()
    assert await messages(world) == [(1, "decided")] * 3


async def test_one_is_off(world: World) -> None:
    await asked(world, 3)
    world.policy = SendPolicy(largest_batch=1, batch_from=2)
    await world.round()
    assert await messages(world) == [(1, "decided")] * 3


async def test_one_frozen_recipient_holds_nobody_back(world: World) -> None:
    """Frozen after it was judged: the shared message fails, then each goes alone."""
    queue = await asked(world, 4)
    await world.number()
    await world.build()
    await world.sign()
    bad = queue[2][0]
    world.chain.set_token_account(bad.wallet, frozen=True)
    await world.send()
    assert await messages(world) == [(4, "refused")]
    assert not world.chain.used
    await world.round()
    for operator, withdrawal in queue:
        if operator is not bad:
            assert (await world.status(withdrawal)).status is WithdrawalStatus.FINAL
    done = await world.finish(queue[2][1].withdrawal_id)
    assert done.status is WithdrawalStatus.FAILED
    assert "the wallet's token account is frozen" in (done.reason or "")
    assert [members for members, _ in await messages(world)] == [4, 1, 1, 1, 1]
    assert await world.balance(f"host:{bad.provider_id}") == (20 * USDC, 0)


async def test_judged_before_a_bad_one_is_not_in_the_message_at_all(world: World) -> None:
    queue = await asked(world, 3)
    world.chain.set_token_account(queue[0][0].wallet, frozen=True)
    await world.round()
    states = [(await world.status(withdrawal)).status for _, withdrawal in queue]
    assert states == [WithdrawalStatus.FAILED, *[WithdrawalStatus.FINAL] * 2]
    assert await messages(world) == [(1, "decided"), (2, "decided")]


async def test_burned_numbers_share_a_message(world: World) -> None:
    queue = await asked(world, 3)
    for operator, _ in queue:
        world.chain.set_token_account(operator.wallet, frozen=True)
    await world.round()
    assert await messages(world) == [(3, "decided")]
    assert [(await world.status(w)).status for _, w in queue] == [WithdrawalStatus.FAILED] * 3


async def test_a_number_that_was_decided_elsewhere_breaks_the_message_up(world: World) -> None:
    """The program's admin burns a number of a message on its way: the others do not wait."""
    queue = await asked(world, 3)
    await world.number()
    await world.build()
    await world.sign()
    world.chain.burn(1)
    await world.index()
    assert await world.break_up() == 1
    assert await messages(world) == [(3, "broken")]
    await world.round()
    states = [(await world.status(withdrawal)).status for _, withdrawal in queue]
    assert states == [
        WithdrawalStatus.FINAL,
        WithdrawalStatus.FAILED,
        WithdrawalStatus.FINAL,
    ]


async def test_what_a_node_says_of_the_whole_transaction_is_no_reason_to_part(world: World) -> None:
    await asked(world, 3)
    await world.number()
    await world.build()
    await world.sign()

    class Behind(StoppingChain):
        async def send(self, transaction: bytes) -> str:
            raise RpcRefused(
                method="sendTransaction",
                error_code=-32002,
                text="failed",
                data={"err": "BlockhashNotFound"},
            )

    world.line = Behind(world.chain, Fuse(10_000))
    await world.send()
    assert await messages(world) == [(3, None)]
    world.line = None
    await world.round()
    assert await messages(world) == [(3, "decided")]


async def test_a_dead_message_sends_all_its_numbers_back(world: World) -> None:
    queue = await asked(world, 3)
    world.chain.lose_sends = 1
    await world.round()
    world.chain.pass_blocks(200)
    await world.round()
    assert await messages(world) == [(3, "expired"), (3, "decided")]
    assert [(await world.status(w)).sequence for _, w in queue] == [0, 1, 2]


@pytest.mark.parametrize("stride", [pytest.param(1, marks=pytest.mark.nightly), 5])
async def test_a_stop_anywhere_pays_everybody_once(world: World, stride: int) -> None:
    """Killed after so many statements and calls of a round, then started again."""
    steps = 0
    while True:
        queue = await asked(world, 3)
        fuse = Fuse(steps)
        pools = Pools(
            worker=stopping_pool(world.worker, fuse),
            signer=stopping_pool(world.signer, fuse),
            indexer=stopping_pool(world.indexer, fuse),
        )
        world.line = StoppingChain(world.chain, fuse)
        try:
            await world.round(pools)
        except Stopped:
            pass
        finally:
            world.line = None
        for operator, withdrawal in queue:
            done = await world.finish(withdrawal.withdrawal_id)
            assert done.status is WithdrawalStatus.FINAL, f"stopped after {steps} steps"
            assert world.received(operator.wallet) == 6 * USDC, f"stopped after {steps} steps"
        if not fuse.burned:
            break
        steps += stride
    assert steps > 20, "a round has more steps than that"
