"""Any order of steps, faults and stops: every withdrawal is paid once or given back once."""

from collections.abc import Awaitable, Callable

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from settlement.db.pool import reading, transaction
from settlement.payouts import decide
from settlement.payouts.decide import UnknownPayout
from settlement.payouts.halt import halt, halted, lift
from settlement.payouts.states import WrongPayoutState
from settlement.withdrawals import Withdrawal, WithdrawalStatus
from tests.database.payouts.stopping import Fuse, Stopped, StoppingChain, stopping_pool
from tests.database.payouts.world import USDC, Operator, Pools, World

AMOUNT = 5 * USDC
Step = Callable[["Story"], Awaitable[object]]


class Story:
    """One operator's withdrawals while the world does this and that."""

    def __init__(self, world: World, operator: Operator) -> None:
        self.world = world
        self.operator = operator
        self.asked: list[Withdrawal] = []
        self.pools = Pools(worker=world.worker, signer=world.signer, indexer=world.indexer)

    async def withdraw(self) -> None:
        if len(self.asked) < 4:
            self.asked.append(await self.world.withdraw(self.operator, AMOUNT))

    async def burn_last(self) -> None:
        if self.asked:
            try:
                async with transaction(self.pools.worker) as tx:
                    await decide.burn(tx, self.asked[-1].withdrawal_id, reason="given up")
            except (WrongPayoutState, UnknownPayout):
                pass

    async def halt(self) -> None:
        async with transaction(self.world.indexer) as tx:
            await halt(tx, "test", "a drill")

    async def resume(self) -> None:
        async with reading(self.world.worker) as conn:
            raised = await halted(conn)
        assert all(each.startswith("test") for each in raised), raised
        async with transaction(self.world.worker) as tx:
            await lift(tx, by="Ada")

    async def disturb(self, what: str) -> None:
        chain = self.world.chain
        match what:
            case "lose a send":
                chain.lose_sends = 1
            case "lose an answer":
                chain.lose_answers = 1
            case "blocks":
                chain.pass_blocks(80)
            case "freeze":
                chain.set_token_account(self.operator.wallet, frozen=True)
            case _:
                chain.set_token_account(self.operator.wallet)


STEPS: dict[str, Step] = {
    "withdraw": Story.withdraw,
    "number": lambda s: s.world.number(s.pools.worker),
    "build": lambda s: s.world.build(s.pools.worker),
    "sign": lambda s: s.world.sign(s.pools.signer),
    "send": lambda s: s.world.send(s.pools.worker),
    "expire": lambda s: s.world.expire(s.pools.worker),
    "index": lambda s: s.world.index(s.pools.indexer),
    "round": lambda s: s.world.round(s.pools),
    "burn": Story.burn_last,
    "halt": Story.halt,
    "resume": Story.resume,
    "lose a send": lambda s: s.disturb("lose a send"),
    "lose an answer": lambda s: s.disturb("lose an answer"),
    "blocks": lambda s: s.disturb("blocks"),
    "freeze": lambda s: s.disturb("freeze"),
    "thaw": lambda s: s.disturb("thaw"),
}
# Steps of the road come more often than trouble, or nothing would get far.
OFTEN = ("withdraw", "number", "build", "sign", "send", "index", "round", "blocks")
SCHEDULES = st.lists(
    st.tuples(
        st.sampled_from([*STEPS, *OFTEN, *OFTEN]), st.none() | st.none() | st.integers(0, 25)
    ),
    min_size=10,
    max_size=50,
)


async def take(story: Story, step: str, stop_after: int | None) -> None:
    """One step, killed after so many statements and calls."""
    if stop_after is None:
        await STEPS[step](story)
        return
    world, fuse = story.world, Fuse(stop_after)
    whole = story.pools
    story.pools = Pools(
        worker=stopping_pool(whole.worker, fuse),
        signer=stopping_pool(whole.signer, fuse),
        indexer=stopping_pool(whole.indexer, fuse),
    )
    world.line = StoppingChain(world.chain, fuse)
    try:
        await STEPS[step](story)
    except Stopped:
        pass
    finally:
        story.pools, world.line = whole, None


@pytest.mark.timeout(900)  # nightly runs take hundreds of schedules
@settings(
    max_examples=settings.default.max_examples // 2 if settings.default else 20,
    deadline=None,
    # One world for all schedules: each has an operator of its own.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(schedule=SCHEDULES)
async def test_paid_once_or_given_back_once(
    world: World, schedule: list[tuple[str, int | None]]
) -> None:
    story = Story(world, await world.operator(earned=100 * USDC))
    for step, stop_after in schedule:
        await take(story, step, stop_after)
    await story.resume()
    world.chain.lose_sends = world.chain.lose_answers = 0
    ends = [await world.finish(each.withdrawal_id) for each in story.asked]
    paid = sum(end.status is WithdrawalStatus.FINAL for end in ends)
    event(f"{paid} paid, {len(ends) - paid} given back")
    assert world.received(story.operator.wallet) == paid * AMOUNT
    account = f"host:{story.operator.provider_id}"
    assert await world.balance(account) == (100 * USDC - paid * AMOUNT, 0)
    sequences = [end.sequence for end in ends]
    assert len(set(sequences)) == len(sequences)
    # Nobody else's number was touched, and none was used twice.
    assert len(world.chain.seen) == len(world.chain.used) == world.taken
