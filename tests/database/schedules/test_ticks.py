"""Scheduled payouts over days: every six hours once, whatever is missed, doubled or killed."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import asyncpg
import pytest
from solders.keypair import Keypair

from settlement.money import MicroUsdc
from settlement.payouts.intent import DestinationRefused
from settlement.withdrawals import WithdrawalTooSmall
from tests.database.payouts.stopping import Fuse, Stopped, stopping_pool
from tests.database.payouts.world import USDC
from tests.database.schedules.conftest import Days


async def test_two_days_of_earnings(days: Days) -> None:
    operator = await days.operator(earned=0)
    paid = 0
    for number in range(8):
        earned = (number % 3) * 4 * USDC  # 0, 4, 8, 0, 4, 8, …
        if earned:
            await days.world.earn(operator.provider_id, earned)
        days.pass_slots()
        await days.run()
        await days.run()
        paid += earned
    assert await days.outcomes(operator) == [
        ("below_threshold", None),
        ("below_threshold", None),
        ("requested", 12 * USDC),
        ("below_threshold", None),
        ("below_threshold", None),
        ("requested", 12 * USDC),
        ("below_threshold", None),
        ("below_threshold", None),
    ]
    assert await days.world.balance(f"host:{operator.provider_id}") == (paid, 24 * USDC)
    rows = await days.payouts(operator)
    assert {row["destination"] for row in rows} == {str(operator.wallet)}
    assert [row["idempotency_key"] for row in rows] == [
        "schedule/2026-11-21T06:00Z",
        "schedule/2026-11-22T00:00Z",
    ]


async def test_nothing_before_the_next_six_hours(days: Days) -> None:
    days.world.clock.forward(timedelta(minutes=1))
    operator = await days.operator()
    assert await days.run() == 0
    days.world.clock.forward(timedelta(hours=5, minutes=58))
    assert await days.run() == 0
    days.world.clock.forward(timedelta(minutes=1))
    assert await days.run() == 1
    assert await days.outcomes(operator) == [("requested", 100 * USDC)]


async def test_what_comes_in_between_waits(days: Days) -> None:
    operator = await days.operator(earned=0)
    days.pass_slots()
    await days.run()
    await days.world.earn(operator.provider_id, 50 * USDC)
    days.world.clock.forward(timedelta(hours=5))
    assert await days.run() == 0, "another worker, started in between"
    days.world.clock.forward(timedelta(hours=1))
    assert await days.run() == 1
    assert (await days.outcomes(operator))[1] == ("requested", 50 * USDC)


async def test_missed_ticks_are_one(days: Days) -> None:
    operator = await days.operator()
    days.pass_slots(13.5)  # nobody was there for three days
    assert await days.run() == 1
    assert await days.run() == 0
    assert len(await days.ticks(operator)) == 1
    assert len(await days.payouts(operator)) == 1


async def test_workers_at_once_ask_once(days: Days) -> None:
    operators = [await days.operator() for _ in range(5)]
    for _ in range(3):
        days.pass_slots()
        await asyncio.gather(*(days.run() for _ in range(4)))
        for operator in operators:
            await days.world.earn(operator.provider_id, 20 * USDC)
    for operator in operators:
        assert await days.outcomes(operator) == [
            ("requested", 100 * USDC),
            ("requested", 20 * USDC),
            ("requested", 20 * USDC),
        ]
        assert len(await days.payouts(operator)) == 3


async def test_a_stop_anywhere_asks_exactly_once(days: Days) -> None:
    steps = 0
    while True:
        operator = await days.operator(earned=20 * USDC)
        days.pass_slots()
        fuse = Fuse(steps)
        with suppress(Stopped):
            await days.run(stopping_pool(days.world.worker, fuse))
        await days.run()
        rows = await days.payouts(operator)
        assert [row["amount"] for row in rows] == [20 * USDC], f"stopped after {steps} steps"
        assert await days.outcomes(operator) == [("requested", 20 * USDC)]
        await days.choose(operator, enabled=False)
        if not fuse.burned:
            break
        steps += 1
    assert steps > 10, "a tick has more steps than that"


async def test_as_much_as_is_left_of_the_day(days: Days) -> None:
    days.limits = replace(days.limits, daily_microusdc=MicroUsdc(60 * USDC))
    operator = await days.operator(earned=200 * USDC)
    await days.world.withdraw(operator, 20 * USDC)
    for _ in range(5):
        days.pass_slots()
        await days.run()
    assert await days.outcomes(operator) == [
        ("requested", 40 * USDC),
        ("daily_limit", None),
        ("daily_limit", None),
        ("requested", 20 * USDC),  # the first withdrawal is a day old
        ("requested", 40 * USDC),
    ]


async def test_a_newcomers_large_payout_waits_for_a_person(days: Days) -> None:
    operator = await days.operator(earned=2_000 * USDC, days=0)
    days.pass_slots()
    await days.run()
    assert [row["state"] for row in await days.payouts(operator)] == ["awaiting_approval"]


async def test_another_destination(days: Days) -> None:
    operator, elsewhere = await days.operator(), str(Keypair().pubkey())
    await days.choose(operator, destination=elsewhere)
    days.pass_slots()
    await days.run()
    assert [row["destination"] for row in await days.payouts(operator)] == [elsewhere]


async def test_one_that_is_refused_keeps_no_other_waiting(days: Days) -> None:
    refused, other = await days.operator(), await days.operator()
    await days.world.superuser(
        f"update settlement.payout_schedule set destination = '{days.world.deployment.mint}'"
        f" where provider_id = '{refused.provider_id}'"
    )
    days.pass_slots()
    assert await days.run() == 2
    (tick,) = await days.ticks(refused)
    assert tick.outcome.value == "refused"
    assert tick.detail is not None
    assert "destination" in tick.detail
    assert await days.outcomes(other) == [("requested", 100 * USDC)]
    assert await days.payouts(refused) == []


async def test_off_is_off_and_on_again_begins_anew(days: Days) -> None:
    operator = await days.operator()
    await days.choose(operator, enabled=False)
    days.pass_slots()
    assert await days.run() == 0
    days.world.clock.forward(timedelta(seconds=1))
    await days.choose(operator)
    assert await days.run() == 0, "these six hours began before"
    days.pass_slots()
    await days.choose(operator, threshold=7 * USDC)  # a change is no new beginning
    assert await days.run() == 1


async def test_who_never_asked_is_never_paid(days: Days) -> None:
    operator = await days.world.operator()
    days.pass_slots(9)
    assert await days.run() == 0
    assert await days.payouts(operator) == []


async def test_more_operators_than_one_look_takes(days: Days) -> None:
    operators = [await days.operator(earned=0) for _ in range(103)]
    days.pass_slots()
    assert await days.run() == len(operators)


async def test_what_cannot_be_asked_for(days: Days) -> None:
    operator = await days.world.operator()
    with pytest.raises(WithdrawalTooSmall) as small:
        await days.choose(operator, threshold=5 * USDC - 1)
    assert small.value.details["field"] == "threshold_usdc"
    with pytest.raises(DestinationRefused) as wrong:
        await days.choose(operator, destination=str(days.world.deployment.till_vault))
    assert wrong.value.details["field"] == "destination"
    assert await days.world.superuser("select * from settlement.payout_schedule") == []


REFUSALS = {
    "coordinator": [
        "delete from settlement.payout_tick",
        "update settlement.payout_tick set detail = 'x'",
        "insert into settlement.payout_tick (provider_id, slot_at,"
        " outcome, ended_at) select provider_id, '2026-11-28', 'below_threshold', now()"
        " from settlement.payout_schedule",
    ],
    "worker": [
        "update settlement.payout_schedule set destination = wallet from settlement.operator",
        "update settlement.payout_tick set outcome = 'refused'",
    ],
    "indexer": ["select * from settlement.payout_schedule"],
    "signer": ["select * from settlement.payout_schedule"],
}


@pytest.mark.parametrize(
    ("role", "statement"), [(role, one) for role, many in REFUSALS.items() for one in many]
)
async def test_a_role_has_no_more_than_it_needs(days: Days, role: str, statement: str) -> None:
    await days.operator()
    days.pass_slots()
    await days.run()
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await getattr(days.world, role).execute(statement)


@pytest.mark.parametrize(
    "change",
    [
        "update settlement.payout_tick set outcome = 'refused'",
        "delete from settlement.payout_tick",
        "delete from settlement.payout_schedule",
        "insert into settlement.payout_tick (provider_id, slot_at, outcome, ended_at) select"
        " provider_id, slot_at + interval '1 second', 'below_threshold', now()"
        " from settlement.payout_tick",
    ],
)
async def test_what_was_is_not_changed(days: Days, change: str) -> None:
    await days.operator()
    days.pass_slots()
    await days.run()
    with pytest.raises(asyncpg.PostgresError):
        await days.world.superuser(change)
