"""How payouts end: what the indexer sees decides, also when it is not what we meant."""

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from solders.keypair import Keypair

from settlement.chain.movement import ChainMoment, MovementKey
from settlement.db.pool import reading, transaction
from settlement.ledger.operations import Code
from settlement.money import MicroUsdc, Slot
from settlement.payouts.halt import halted, lift
from settlement.payouts.outcome import NumbersSkipped, PaymentSeen
from settlement.withdrawals import Withdrawal, WithdrawalStatus
from tests.database.payouts.world import NOW, USDC, Operator, World


def moment() -> ChainMoment:
    return ChainMoment(slot=Slot(5_000), block_time=NOW)


def key() -> MovementKey:
    return MovementKey(cluster="fake", signature=uuid4().hex, outer=2)


async def reasons(world: World) -> tuple[str, ...]:
    async with reading(world.indexer) as conn:
        return tuple(each.split(":")[0] for each in await halted(conn))


async def resume(world: World) -> None:
    async with transaction(world.worker) as tx:
        assert await lift(tx, by="Ada")


async def on_its_way(world: World, operator: Operator, amount: int = 10 * USDC) -> PaymentSeen:
    """A sent payout; returns what its payment looks like on chain, not yet taken in."""
    await world.withdraw(operator, amount)
    await world.number()
    await world.build()
    await world.sign()
    await world.send()
    seen = world.chain.seen[-1]
    assert isinstance(seen, PaymentSeen)
    return seen


async def test_the_same_fact_again_changes_nothing(world: World) -> None:
    operator = await world.operator()
    seen = await on_its_way(world, operator)
    (first,) = await world.take_in(seen)
    (again,) = await world.take_in(seen)
    assert (first.code, again.code) == (Code.APPLIED, Code.REPLAYED)
    assert await world.balance(f"host:{operator.provider_id}") == (90 * USDC, 0)
    assert await reasons(world) == ()


async def test_the_same_payment_by_another_movement_is_a_second_payment(world: World) -> None:
    """The chain refuses this. If it is shown to us all the same, money left twice."""
    operator = await world.operator()
    seen = await on_its_way(world, operator)
    await world.take_in(seen)
    (second,) = await world.take_in(replace(seen, key=key()))
    assert second.code is Code.APPLIED
    assert await world.balance(f"host:{operator.provider_id}") == (80 * USDC, 0)
    assert await reasons(world) == ("unexpected_payment",)


async def test_a_payment_nobody_asked_for_is_booked_and_halts(world: World) -> None:
    """The payer's key is abused, or the books were restored from before the request."""
    operator = await world.operator()
    seen = PaymentSeen(
        key=key(),
        moment=moment(),
        sequence=3,
        amount_microusdc=MicroUsdc(40 * USDC),
        destination=str(Keypair().pubkey()),
        reference=bytes(16),
        code=operator.code,
    )
    await world.take_in(seen)
    assert await reasons(world) == ("unexpected_payment",)
    # The code names the operator, and they can bear it.
    assert await world.balance(f"host:{operator.provider_id}") == (60 * USDC, 0)
    (again,) = await world.take_in(seen)
    assert again.code is Code.REPLAYED


@pytest.mark.parametrize("code", [b"Nobody00", None])
async def test_what_no_account_can_bear_is_unexplained(world: World, code: bytes | None) -> None:
    operator = await world.operator(earned=30 * USDC)
    seen = PaymentSeen(
        key=key(),
        moment=moment(),
        sequence=0,
        amount_microusdc=MicroUsdc(40 * USDC),
        destination=str(Keypair().pubkey()),
        reference=bytes(16),
        code=code or operator.code,
    )
    await world.take_in(seen)
    assert await world.balance(f"host:{operator.provider_id}") == (30 * USDC, 0)
    assert await world.balance("unexplained-out") == (-40 * USDC, 0)
    assert await reasons(world) == ("unexpected_payment",)
    await world.earn(operator.provider_id, 100 * USDC)
    (again,) = await world.take_in(seen)
    assert again.code is Code.REPLAYED, "it stays where it was booked"


async def test_a_number_the_chain_gave_to_another_payment_is_replaced(world: World) -> None:
    operator = await world.operator()
    mine = await world.withdraw(operator, 10 * USDC)
    await world.number()
    await world.build()
    await world.sign()
    stolen = PaymentSeen(
        key=key(),
        moment=moment(),
        sequence=0,
        amount_microusdc=MicroUsdc(10 * USDC),
        destination=str(Keypair().pubkey()),
        reference=bytes([9] * 16),
        code=b"Nobody00",
    )
    world.chain.used.add(0)
    world.chain.paid.add(0)
    await world.take_in(stolen)
    assert await reasons(world) == ("unexpected_payment",)
    found = await world.status(mine)
    assert (found.status, found.sequence) == (WithdrawalStatus.APPROVED, None)
    assert await world.balance(f"host:{operator.provider_id}") == (100 * USDC, 10 * USDC)
    await resume(world)
    done = await world.finish(mine.withdrawal_id)
    assert (done.status, done.sequence) == (WithdrawalStatus.FINAL, 1)
    assert world.received(operator.wallet) == 10 * USDC


@pytest.mark.parametrize("what", ["amount_microusdc", "destination"])
async def test_a_promise_kept_wrongly_waits_for_a_person(world: World, what: str) -> None:
    operator = await world.operator()
    seen = await on_its_way(world, operator)
    wrong = {"amount_microusdc": MicroUsdc(9 * USDC), "destination": str(Keypair().pubkey())}
    await world.take_in(replace(seen, **{what: wrong[what]}))
    assert await reasons(world) == ("unexpected_payment",)
    (row,) = await world.superuser("select state, sequence from settlement.payout")
    assert (row["state"], row["sequence"]) == ("sent", 0), "it is not paid a second time"
    assert (await world.balance(f"host:{operator.provider_id}"))[1] == 10 * USDC


async def test_skipped_numbers_give_the_money_back(world: World) -> None:
    operator = await world.operator()
    asked: list[Withdrawal] = []
    for _ in range(3):
        asked.append(await world.withdraw(operator, 10 * USDC))
        world.clock.forward(timedelta(seconds=1))
    await world.number()
    seen = NumbersSkipped(key=key(), moment=moment(), sequences=(0, 2, 7))
    outcomes = await world.take_in(seen)
    assert [each.code for each in outcomes] == [Code.APPLIED, Code.APPLIED]
    again = await world.take_in(seen)
    assert [each.code for each in again] == [Code.REPLAYED, Code.REPLAYED]
    states = [(await world.status(each)).status for each in asked]
    assert states == [
        WithdrawalStatus.FAILED,
        WithdrawalStatus.APPROVED,
        WithdrawalStatus.FAILED,
    ]
    assert await world.balance(f"host:{operator.provider_id}") == (100 * USDC, 10 * USDC)
    # A later mask may name a number that was burned before.
    await world.take_in(NumbersSkipped(key=key(), moment=moment(), sequences=(2, 7)))
    assert await reasons(world) == ()


async def test_numbers_burned_by_others_are_never_given_out(world: World) -> None:
    operator = await world.operator()
    await world.withdraw(operator, 5 * USDC)
    await world.number()
    burned = NumbersSkipped(key=key(), moment=moment(), sequences=(1, 2))
    await world.take_in(burned)
    world.chain.used |= {4}  # burned, finalized, not taken in yet
    for _ in range(2):
        await world.withdraw(operator, 5 * USDC)
    await world.number()
    rows = await world.superuser("select sequence from settlement.payout order by sequence")
    assert [row["sequence"] for row in rows] == [0, 3, 5]


async def test_a_paid_number_shown_as_burned_halts(world: World) -> None:
    operator = await world.operator()
    seen = await on_its_way(world, operator)
    await world.take_in(seen)
    await world.take_in(NumbersSkipped(key=key(), moment=moment(), sequences=(0,)))
    assert await reasons(world) == ("number_used_twice",)
    assert await world.balance(f"host:{operator.provider_id}") == (90 * USDC, 0)


async def test_while_halted_nothing_is_signed_and_a_person_lifts_it(world: World) -> None:
    operator = await world.operator()
    asked = await world.withdraw(operator, 10 * USDC)
    await world.number()
    await world.build()
    await world.take_in(
        PaymentSeen(
            key=key(),
            moment=moment(),
            sequence=77,
            amount_microusdc=MicroUsdc(1),
            destination="x",
            reference=bytes(16),
            code=b"Nobody00",
        )
    )
    assert (await world.sign()).signed == 0
    await resume(world)
    assert (await world.finish(asked.withdrawal_id)).status is WithdrawalStatus.FINAL


async def test_every_end_before_a_dead_blockhash_is_seen(world: World) -> None:
    """It landed late, after the attempt was closed and another one was made: paid once."""
    operator = await world.operator()
    asked = await world.withdraw(operator, 10 * USDC)
    world.chain.lose_answers = 1
    await world.number()
    await world.build()
    await world.sign()
    await world.send()
    world.chain.pass_blocks(500)
    await world.expire()
    await world.build()
    await world.sign()
    world.clock.forward(timedelta(seconds=5))
    await world.send()  # the chain answers AlreadyPaid
    (row,) = await world.superuser(
        "select problem from settlement.payout_message where message_id = 2"
    )
    assert row["problem"] == "AlreadyPaid (6034)"
    assert world.received(operator.wallet) == 10 * USDC
    await world.index()
    assert (await world.status(asked)).status is WithdrawalStatus.FINAL
    (row,) = await world.superuser(
        "select count(*) as open from settlement.payout_attempt where closed_at is null"
    )
    assert row["open"] == 0
