"""How much the signer signs in an hour and a day, whatever it is told and however often."""

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import asyncpg
import pytest

from settlement.money import MicroUsdc
from settlement.payouts.policy import Cause, Counts, Payment, SigningPolicy, Tally
from settlement.payouts.sign import Signed, Signer, sign_waiting
from tests.database.payouts.world import USDC, World

AMOUNT = 10 * USDC


async def waiting(world: World, count: int = 1, amount: int = AMOUNT) -> None:
    """So many more messages wait, each for an operator of its own."""
    for _ in range(count):
        await world.withdraw(await world.operator(), amount)
    await world.number()
    await world.build()


def bounded(world: World, **bounds: int) -> Signer:
    policy = SigningPolicy(deployment=world.deployment)
    return world.signing(replace(policy, **bounds))


async def again(world: World) -> None:
    """Every blockhash dies, and the same payouts are built again."""
    world.chain.pass_blocks(400)
    await world.expire()
    await world.build()


async def reasons(world: World) -> list[str]:
    rows = await world.superuser(
        "select refusal from settlement.payout_message where refusal is not null"
        " and closed_at is null order by message_id"
    )
    return [row["refusal"] for row in rows]


HOUR = {"largest_hour_microusdc": 3 * AMOUNT}
DAY = {"largest_day_microusdc": 3 * AMOUNT}
OPENINGS = {"most_openings_an_hour": 3}


@pytest.mark.parametrize(
    ("bounds", "cause", "after"),
    [
        (HOUR, Cause.HOUR, timedelta(hours=1)),
        (DAY, Cause.DAY, timedelta(days=1)),
        (OPENINGS, Cause.OPENINGS, timedelta(hours=1)),
    ],
)
async def test_the_fourth_in_a_window_for_three_waits_for_the_next(
    world: World, bounds: dict[str, int], cause: Cause, after: timedelta
) -> None:
    signer = bounded(world, **bounds)
    await waiting(world, 5)
    done = await sign_waiting(signer)
    assert (done, done.causes) == (Signed(signed=3, refused=2), {cause: 2})
    assert all(f"cause={cause}" in reason for reason in await reasons(world))
    world.clock.forward(after - timedelta(seconds=1))
    await again(world)
    # The three that were signed before count no second time, and are signed again.
    assert await sign_waiting(signer) == Signed(signed=3, refused=2)
    world.clock.forward(timedelta(seconds=1))
    await again(world)
    assert (await sign_waiting(signer)).refused == 0


@pytest.mark.parametrize("bounds", [HOUR, DAY, OPENINGS])
async def test_a_new_process_counts_what_the_old_one_signed(
    world: World, bounds: dict[str, int]
) -> None:
    await waiting(world, 3)
    assert await sign_waiting(bounded(world, **bounds)) == Signed(signed=3, refused=0)
    await waiting(world)
    assert await sign_waiting(bounded(world, **bounds)) == Signed(signed=0, refused=1)


@pytest.mark.parametrize("bounds", [HOUR, DAY, OPENINGS])
async def test_a_process_remembers_what_somebody_takes_out_of_the_database(
    world: World, bounds: dict[str, int]
) -> None:
    signer = bounded(world, **bounds)
    await waiting(world, 3)
    assert await sign_waiting(signer) == Signed(signed=3, refused=0)
    await world.superuser(
        "set session_replication_role = replica; delete from settlement.signed_payment"
    )
    await waiting(world)
    # Nor does it help to say that what comes next was counted long ago.
    await world.superuser(
        "insert into settlement.signed_payment select payout_id, amount, '2020-01-01', '2020-01-01'"
        " from settlement.payout where state = 'numbered'"
    )
    assert await sign_waiting(signer) == Signed(signed=0, refused=1)


async def test_exactly_the_bound_is_within_it(world: World) -> None:
    signer = bounded(world, largest_payment_microusdc=AMOUNT, largest_hour_microusdc=AMOUNT)
    await waiting(world)
    assert await sign_waiting(signer) == Signed(signed=1, refused=0)
    await waiting(world, amount=AMOUNT + 1)
    done = await sign_waiting(signer)
    assert done.causes == {Cause.PAYMENT: 1}


async def test_a_payment_refused_for_its_rate_is_not_counted(world: World) -> None:
    signer = bounded(world, largest_hour_microusdc=3 * AMOUNT)
    await waiting(world, 1, 4 * AMOUNT)
    assert (await sign_waiting(signer)).causes == {Cause.HOUR: 1}
    await waiting(world, 3)
    assert await sign_waiting(signer) == Signed(signed=3, refused=0)


async def test_burning_a_number_is_never_a_matter_of_rates(world: World) -> None:
    signer = bounded(world, largest_hour_microusdc=0, most_openings_an_hour=0)
    operator = await world.operator()
    world.chain.set_token_account(operator.wallet, frozen=True)
    await world.withdraw(operator, AMOUNT)
    await world.number()
    await world.build()
    assert await sign_waiting(signer) == Signed(signed=1, refused=0)


async def test_an_account_that_must_be_opened_later_counts_then(world: World) -> None:
    signer = bounded(world, most_openings_an_hour=0)
    operator = await world.operator()
    world.chain.set_token_account(operator.wallet)
    await world.withdraw(operator, AMOUNT)
    await world.number()
    await world.build()
    assert await sign_waiting(signer) == Signed(signed=1, refused=0)
    world.chain.accounts_by_address.clear()
    await again(world)
    assert (await sign_waiting(signer)).causes == {Cause.OPENINGS: 1}


async def test_what_was_counted_does_not_change(world: World) -> None:
    await waiting(world)
    await world.sign()
    for change in ("amount = 1", "signed_at = now()", "opened_at = null"):
        with pytest.raises(asyncpg.PostgresError) as failed:
            await world.superuser(f"update settlement.signed_payment set {change}")
        assert failed.value.sqlstate == "PL010", change
    for statement in ("delete from", "truncate"):
        with pytest.raises(asyncpg.PostgresError):
            await world.superuser(f"{statement} settlement.signed_payment")
    for pool in (world.worker, world.coordinator, world.indexer):
        async with pool.acquire() as conn:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await conn.execute("update settlement.signed_payment set opened_at = now()")


def test_a_day_later_the_tally_has_forgotten(world: World) -> None:
    tally, now = Tally(), world.clock.now()
    payment = Payment(payout_id=uuid4(), amount_microusdc=MicroUsdc(5), opens_account=True)
    tally.add([payment, payment], now)
    assert tally.counts(now) == Counts(hour_microusdc=5, day_microusdc=5, hour_openings=1)
    hour, day = now + timedelta(hours=1), now + timedelta(days=1)
    assert tally.counts(hour) == Counts(hour_microusdc=0, day_microusdc=5, hour_openings=0)
    assert tally.counts(day) == Counts(hour_microusdc=0, day_microusdc=0, hour_openings=0)
    assert tally.payments
    tally.counts(now + timedelta(days=2))
    assert not tally.payments
    assert not tally.openings
