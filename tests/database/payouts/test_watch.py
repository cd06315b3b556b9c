"""What a node says of what was sent: it is shown, and a failure is built again at once."""

from datetime import timedelta

from settlement.chain.answers import Commitment
from settlement.chain.messages import read_budget
from settlement.chain.transport import RpcRefused
from settlement.payouts.priority import FeePolicy
from settlement.payouts.road import SendPolicy
from settlement.payouts.watch import Watched, watch_sent
from settlement.withdrawals import WithdrawalStatus
from tests.database.payouts.stopping import Fuse, StoppingChain
from tests.database.payouts.world import USDC, World


async def sent(world: World) -> None:
    await world.number()
    await world.build()
    await world.sign()
    await world.send()


async def messages(world: World) -> list[tuple[str | None, bool, int]]:
    """(ended, confirmed, sends) of each."""
    rows = await world.superuser("select * from settlement.payout_message order by message_id")
    return [(row["ended"], row["confirmed_at"] is not None, row["sends"]) for row in rows]


async def prices(world: World) -> list[int]:
    rows = await world.superuser("select message from settlement.payout_message order by 1")
    found = [read_budget(bytes(row["message"]))[0] for row in rows]
    return sorted(budget.compute_unit_price_microlamports for budget in found)


async def test_confirmed_is_shown_and_completes_nothing(world: World) -> None:
    operator = await world.operator()
    asked = await world.withdraw(operator, 10 * USDC)
    world.chain.commitment = Commitment.PROCESSED
    await sent(world)
    assert await watch_sent(world.road()) == Watched()
    world.chain.commitment = Commitment.CONFIRMED
    assert await watch_sent(world.road()) == Watched(confirmed=1)
    assert await watch_sent(world.road()) == Watched(), "it is not asked about again"
    assert await messages(world) == [(None, True, 1)]
    assert await world.balance(f"host:{operator.provider_id}") == (100 * USDC, 10 * USDC)
    assert (await world.status(asked)).status is not WithdrawalStatus.FINAL
    world.clock.forward(timedelta(minutes=1))
    assert await world.send() == 0, "what is confirmed is not sent again"
    await world.index()
    assert (await world.status(asked)).status is WithdrawalStatus.FINAL


async def test_what_failed_for_good_is_built_again_at_once(world: World) -> None:
    operator = await world.operator()
    asked = await world.withdraw(operator, 10 * USDC)
    world.chain.fail_sends = 1
    world.chain.commitment = Commitment.CONFIRMED
    await sent(world)
    assert await watch_sent(world.road()) == Watched(), "it may be gone with its fork yet"
    world.chain.commitment = Commitment.FINALIZED
    assert await watch_sent(world.road()) == Watched(failed=1)
    await sent(world)
    await world.index()
    assert (await world.status(asked)).sequence == 0
    assert world.received(operator.wallet) == 10 * USDC
    assert await messages(world) == [("failed", False, 1), ("decided", False, 1)]


async def test_a_shared_message_that_failed_parts(world: World) -> None:
    world.policy = SendPolicy(batch_from=2)
    for _ in range(3):
        await world.withdraw(await world.operator(), 10 * USDC)
    world.chain.fail_sends = 1
    await sent(world)
    await watch_sent(world.road())
    await sent(world)
    await world.index()
    rows = await world.superuser("select members from settlement.payout_message order by 1 desc")
    assert [row["members"] for row in rows] == [3, 1, 1, 1]
    assert len(world.chain.paid) == 3


async def test_a_payout_that_always_fails_is_given_back(world: World) -> None:
    operator = await world.operator()
    asked = await world.withdraw(operator, 10 * USDC)
    world.policy = SendPolicy(most_rejections=3)
    world.chain.fail_sends = 3
    for _ in range(3):
        await sent(world)
        assert (await watch_sent(world.road())).failed == 1
    done = await world.finish(asked.withdrawal_id)
    assert done.status is WithdrawalStatus.FAILED
    (row,) = await world.superuser("select skip_reason from settlement.payout")
    assert row["skip_reason"] == "the chain refused it 3 times"
    assert await world.balance(f"host:{operator.provider_id}") == (100 * USDC, 0)


async def test_the_offer_follows_the_network_and_rises_with_every_message_in_vain(
    world: World,
) -> None:
    world.policy = SendPolicy(fees=FeePolicy(cap_microlamports=9_000))
    world.chain.recent_fees = (0, 2_000, 4_000, 4_000)
    await world.withdraw(await world.operator(), 10 * USDC)
    world.chain.lose_sends = 3
    for _ in range(4):
        await sent(world)
        world.chain.pass_blocks(200)
        await world.expire()
    assert await prices(world) == [4_000, 6_000, 9_000, 9_000]


async def test_without_a_signature_nothing_was_in_vain(world: World) -> None:
    await world.withdraw(await world.operator(), 10 * USDC)
    await world.number()
    for _ in range(3):
        await world.build()
        world.chain.pass_blocks(200)
        await world.expire()
    assert await prices(world) == [1_000] * 3


async def test_a_node_that_tells_no_fees_is_paid_the_floor(world: World) -> None:
    class Silent(StoppingChain):
        async def recent_priority_fees(self, written: object) -> tuple[int, ...]:
            raise RpcRefused(method="x", error_code=-32601, text="Method not found")

    await world.withdraw(await world.operator(), 10 * USDC)
    world.line = Silent(world.chain, Fuse(10_000))
    await sent(world)
    assert await prices(world) == [1_000]
