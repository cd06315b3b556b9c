"""Four eyes: who may let a payout go on, and what the database refuses whoever asks."""

import asyncio
from uuid import uuid4

import asyncpg
import pytest

from settlement.db.pool import reading, transaction
from settlement.payouts import decide, queue
from settlement.payouts.decide import (
    ApprovedAlready,
    NumberGiven,
    PersonUnnamed,
    UnknownPayout,
)
from settlement.payouts.states import PayoutState, WrongPayoutState
from settlement.withdrawals import Withdrawal, WithdrawalStatus
from tests.database.payouts.world import USDC, Operator, World


async def waiting(world: World, amount: int) -> tuple[Operator, Withdrawal]:
    operator = await world.operator(earned=9_000 * USDC)
    await world.enrolled_before(operator.provider_id, 1)
    asked = await world.withdraw(operator, amount * USDC)
    assert asked.status is WithdrawalStatus.REQUESTED
    return operator, asked


async def approve(world: World, asked: Withdrawal, by: str) -> decide.Approved:
    async with transaction(world.finance) as tx:
        return await decide.approve(tx, asked.withdrawal_id, by=by, now=world.clock.now())


async def test_one_person_is_enough_below_the_second_limit(world: World) -> None:
    _, asked = await waiting(world, 5_000)
    assert asked.reason == "a person approves an amount like this first"
    done = await approve(world, asked, " Ann ")
    assert (done.approvals, done.needed, done.goes_on) == (1, 1, True)
    assert (await world.finish(asked.withdrawal_id)).status is WithdrawalStatus.FINAL
    (row,) = await world.superuser("select approved_by, login from settlement.payout_approval")
    assert row["approved_by"] == "Ann"
    assert row["login"], "as whom the person was in the database"


async def test_above_it_two_different_people_are_needed(world: World) -> None:
    operator, asked = await waiting(world, 5_001)
    assert asked.reason is not None
    assert asked.reason.startswith("two people")
    assert not (await approve(world, asked, "Ann")).goes_on
    for again in ("Ann", "ANN", " ann"):
        with pytest.raises(ApprovedAlready):
            await approve(world, asked, again)
    await world.round()
    after_one = await world.status(asked)
    assert after_one.status is WithdrawalStatus.REQUESTED
    assert after_one.reason is not None
    assert after_one.reason.endswith("one of them has")
    assert world.received(operator.wallet) == 0
    assert (await approve(world, asked, "Bob")).goes_on
    assert (await world.finish(asked.withdrawal_id)).status is WithdrawalStatus.FINAL
    assert world.received(operator.wallet) == 5_001 * USDC


async def test_two_people_at_the_same_moment(world: World) -> None:
    _, asked = await waiting(world, 5_001)
    both = await asyncio.gather(approve(world, asked, "Ann"), approve(world, asked, "Bob"))
    assert sorted(each.approvals for each in both) == [1, 2]
    assert (await world.status(asked)).status is WithdrawalStatus.APPROVED


@pytest.mark.parametrize("name", ["", "  ", "a\x00b", "x" * 101])
async def test_a_decision_names_a_person(world: World, name: str) -> None:
    _, asked = await waiting(world, 2_000)
    with pytest.raises(PersonUnnamed):
        await approve(world, asked, name)
    for by, reason in ((name, "no"), ("Ann", "" if len(name) < 9 else "x" * 501)):
        with pytest.raises(PersonUnnamed):
            await decide.refuse_now(world.worker, asked.withdrawal_id, by=by, reason=reason)
    assert (await world.status(asked)).status is WithdrawalStatus.REQUESTED


async def test_the_database_counts_the_people_itself(world: World) -> None:
    _, asked = await waiting(world, 5_001)
    await approve(world, asked, "Ann")
    twice = (
        "insert into settlement.payout_approval (payout_id, approved_by, approved_at)"
        f" values ('{asked.withdrawal_id}', 'ann', now())"
    )
    with pytest.raises(asyncpg.UniqueViolationError):
        await world.superuser(twice)
    with pytest.raises(asyncpg.CheckViolationError):
        await world.superuser(twice.replace("'ann'", "' Bob'"))
    jump = (
        "update settlement.payout set state = 'requested', approved_by = 'x', approved_at = now()"
    )
    with pytest.raises(asyncpg.PostgresError, match="not enough people"):
        await world.superuser(jump)
    for change in ("update settlement.payout_approval set approved_by = 'Bob'", "delete from"):
        statement = change if " set " in change else f"{change} settlement.payout_approval"
        with pytest.raises(asyncpg.PostgresError) as failed:
            await world.superuser(statement)
        assert failed.value.sqlstate == "PL003", statement
    for pool in (world.coordinator, world.worker, world.signer, world.indexer):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with transaction(pool) as tx:
                await decide.approve(tx, asked.withdrawal_id, by="Bob", now=world.clock.now())


async def test_refusing_gives_the_money_back_at_once(world: World) -> None:
    operator, asked = await waiting(world, 2_000)
    account = f"host:{operator.provider_id}"
    assert await world.balance(account) == (9_000 * USDC, 2_000 * USDC)
    await decide.refuse_now(world.worker, asked.withdrawal_id, by="Ann", reason="not their wallet")
    found = await world.status(asked)
    assert found.status is WithdrawalStatus.CANCELLED
    assert found.reasons[0].code == "refused"
    assert found.reason == "not their wallet"
    assert await world.balance(account) == (9_000 * USDC, 0)
    await decide.refuse_now(world.worker, asked.withdrawal_id, by="Ann", reason="not their wallet")
    assert await world.balance(account) == (9_000 * USDC, 0), "told again, done once"
    with pytest.raises(WrongPayoutState):
        await approve(world, asked, "Bob")
    with pytest.raises(WrongPayoutState):
        await decide.refuse_now(world.worker, asked.withdrawal_id, by="Ann", reason="again")


async def test_what_has_a_number_is_not_refused(world: World) -> None:
    operator = await world.operator()
    asked = await world.withdraw(operator, 10 * USDC)
    await world.number()
    with pytest.raises(NumberGiven):
        await decide.refuse_now(world.worker, asked.withdrawal_id, by="Ann", reason="late")
    with pytest.raises(UnknownPayout):
        await decide.refuse_now(world.worker, uuid4(), by="Ann", reason="who?")
    assert (await world.finish(asked.withdrawal_id)).status is WithdrawalStatus.FINAL


async def test_two_people_refuse_different_ones_at_once(world: World) -> None:
    made = [await waiting(world, 2_000) for _ in range(4)]
    await asyncio.gather(
        *(
            decide.refuse_now(world.worker, asked.withdrawal_id, by=f"p{n}", reason="no")
            for n, (_, asked) in enumerate(made)
        )
    )
    for operator, asked in made:
        assert (await world.status(asked)).status is WithdrawalStatus.CANCELLED
        assert await world.balance(f"host:{operator.provider_id}") == (9_000 * USDC, 0)


async def test_the_queue_shows_what_waits(world: World) -> None:
    _, large = await waiting(world, 6_000)
    small = await world.withdraw(await world.operator(), 10 * USDC)
    await approve(world, large, "Ann")
    found = [one async for one in queue.queued(world.finance, queue.WAITING)]
    assert [(one.payout_id, one.approvals_missing) for one in found] == [(large.withdrawal_id, 1)]
    assert found[0].approved_by == ("Ann",)
    await world.finish(small.withdrawal_id)
    opened = [one.payout_id async for one in queue.queued(world.finance, queue.OPEN)]
    assert opened == [large.withdrawal_id]
    async with reading(world.finance) as conn:
        told = await queue.story(conn, small.withdrawal_id)
        with pytest.raises(UnknownPayout):
            await queue.story(conn, uuid4())
    assert told.payout.state is PayoutState.PAID
    assert [one.sends for one in told.messages] == [1]
