"""Asking for a withdrawal: limits, bad input, the same request twice, taking it back."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from settlement import withdrawals
from settlement.chain import program
from settlement.clock import new_id
from settlement.db.pool import reading, transaction
from settlement.deposits import NotEnrolled
from settlement.errors import PodError, Refused
from settlement.ledger import store
from settlement.money import InvalidAmount
from settlement.payouts import decide
from settlement.payouts.decide import UnknownPayout
from settlement.payouts.intent import DestinationRefused
from settlement.payouts.states import WrongPayoutState
from settlement.withdrawals import (
    DailyLimitReached,
    IdempotencyKeyReused,
    InsufficientEarnings,
    InvalidIdempotencyKey,
    TooLateToCancel,
    UnknownWithdrawal,
    Withdrawal,
    WithdrawalStatus,
    WithdrawalTooSmall,
)
from tests.database.payouts.world import USDC, Operator, World


async def refused(
    world: World,
    operator: Operator,
    kind: type[PodError],
    amount: int = 10 * USDC,
    destination: str | None = None,
    key: str | None = None,
) -> PodError:
    """The error; nothing may have changed."""
    before = await world.superuser("select * from settlement.payout order by payout_id")
    account = await world.balance(f"host:{operator.provider_id}")
    with pytest.raises(kind) as failed:
        await world.withdraw(operator, amount, destination=destination, key=key)
    assert await world.superuser("select * from settlement.payout order by payout_id") == before
    assert await world.balance(f"host:{operator.provider_id}") == account
    return failed.value


@pytest.mark.parametrize(
    ("amount", "kind"),
    [
        (0, InvalidAmount),
        (-1, InvalidAmount),
        (2**63, InvalidAmount),
        (5 * USDC - 1, WithdrawalTooSmall),
        (100 * USDC + 1, InsufficientEarnings),
        (10_000 * USDC + 1, DailyLimitReached),
        (2**63 - 1, DailyLimitReached),
    ],
)
async def test_an_amount_that_cannot_be_paid(
    world: World, amount: int, kind: type[Refused]
) -> None:
    operator = await world.operator(earned=100 * USDC)
    error = await refused(world, operator, kind, amount)
    assert error.details["field"] == "amount_usdc"


async def test_what_insufficient_earnings_says(world: World) -> None:
    operator = await world.operator(earned=100 * USDC)
    await world.withdraw(operator, 95 * USDC)
    error = await refused(world, operator, InsufficientEarnings, 6 * USDC)
    assert error.details["available_microusdc"] == 5 * USDC


async def test_destinations_that_are_not_wallets(world: World) -> None:
    operator = await world.operator()
    d = world.deployment
    wrong = {
        "nothing": "",
        "not base58": "0OIl" * 8,
        "too short": str(operator.wallet)[:20],
        "too long": str(operator.wallet) + "1",
        "with a space": f" {operator.wallet}",
        "an Ethereum address": "0x52908400098527886E0F7030069857D2E4169EE7",
        "the till vault": str(d.till_vault),
        "the bond vault": str(d.bond_vault),
        "the till's authority": str(d.till_authority),
        "the escrow": str(d.escrow),
        "the config": str(d.config),
        "a token account": str(program.associated_token_address(operator.wallet, d.mint)),
        "the mint": str(d.mint),
        "the program": str(d.program_id),
        "the token program": str(program.TOKEN_PROGRAM),
        "the system program": str(program.SYSTEM_PROGRAM),
        "zero": str(Pubkey.default()),
    }
    for what, destination in wrong.items():
        error = await refused(world, operator, DestinationRefused, destination=destination)
        assert error.details["field"] == "destination", what


async def test_an_operator_nobody_enrolled(world: World) -> None:
    nobody = Operator(provider_id=uuid4(), wallet=Keypair().pubkey(), code=b"nobody00")
    with pytest.raises(NotEnrolled):
        await world.withdraw(nobody, 10 * USDC)


async def test_the_same_key_gives_the_same_withdrawal(world: World) -> None:
    operator, other = await world.operator(), await world.operator()
    first = await world.withdraw(operator, 10 * USDC, key="k")
    assert await world.withdraw(operator, 10 * USDC, key="k") == first
    assert await world.balance(f"host:{operator.provider_id}") == (100 * USDC, 10 * USDC)
    theirs = await world.withdraw(other, 10 * USDC, key="k")
    assert theirs.withdrawal_id != first.withdrawal_id
    error = await refused(world, operator, IdempotencyKeyReused, 11 * USDC, key="k")
    assert error.details["withdrawal_id"] == str(first.withdrawal_id)
    elsewhere = str(Keypair().pubkey())
    await refused(world, operator, IdempotencyKeyReused, destination=elsewhere, key="k")
    # Also when it is over.
    done = await world.finish(first.withdrawal_id)
    assert await world.withdraw(operator, 10 * USDC, key="k") == done


@pytest.mark.parametrize("key", ["", "x" * 256])
async def test_a_key_has_a_length(world: World, key: str) -> None:
    operator = await world.operator()
    await refused(world, operator, InvalidIdempotencyKey, key=key)


async def test_the_same_key_at_the_same_moment(world: World) -> None:
    operator = await world.operator()
    found = await asyncio.gather(*(world.withdraw(operator, 10 * USDC, key="k") for _ in range(8)))
    assert len({each.withdrawal_id for each in found}) == 1
    assert await world.balance(f"host:{operator.provider_id}") == (100 * USDC, 10 * USDC)


async def test_the_daily_limit_cannot_be_raced(world: World) -> None:
    operator = await world.operator(earned=50_000 * USDC, enrolled_days=31)
    asked = [world.withdraw(operator, 3_000 * USDC) for _ in range(6)]
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(each, Withdrawal) for each in found) == 3
    assert sum(isinstance(each, DailyLimitReached) for each in found) == 3
    error = await refused(world, operator, DailyLimitReached, 1_000 * USDC + 1)
    assert error.details["left_microusdc"] == 1_000 * USDC
    world.clock.forward(timedelta(hours=24, seconds=1))
    await world.withdraw(operator, 10_000 * USDC)


async def test_what_came_back_does_not_count(world: World) -> None:
    operator = await world.operator(earned=50_000 * USDC, enrolled_days=31)
    first = await world.withdraw(operator, 10_000 * USDC)
    async with transaction(world.coordinator) as tx:
        _, operations = await withdrawals.cancel(
            tx, first.withdrawal_id, owner_id=operator.provider_id, reason="changed my mind"
        )
        await store.apply(tx, world.writers["coordinator"], operations)
    assert (await world.withdraw(operator, 10_000 * USDC)).status is WithdrawalStatus.APPROVED


@pytest.mark.parametrize(
    ("days", "amount", "status"),
    [
        (0, 1_000 * USDC, WithdrawalStatus.APPROVED),
        (0, 1_000 * USDC + 1, WithdrawalStatus.REQUESTED),
        (29, 1_000 * USDC + 1, WithdrawalStatus.REQUESTED),
        (30, 1_000 * USDC + 1, WithdrawalStatus.APPROVED),
    ],
)
async def test_a_newcomers_large_withdrawal_awaits_approval(
    world: World, days: int, amount: int, status: WithdrawalStatus
) -> None:
    operator = await world.operator(earned=0)
    await world.enrolled_before(operator.provider_id, days)
    await world.earn(operator.provider_id, 5_000 * USDC)
    assert (await world.withdraw(operator, amount)).status is status


async def test_small_pieces_await_approval_together(world: World) -> None:
    operator = await world.operator(earned=5_000 * USDC)
    await world.enrolled_before(operator.provider_id, 1)
    assert (await world.withdraw(operator, 600 * USDC)).status is WithdrawalStatus.APPROVED
    second = await world.withdraw(operator, 600 * USDC)
    assert second.status is WithdrawalStatus.REQUESTED


async def test_approval_lets_it_go_on_and_only_a_person_gives_it(world: World) -> None:
    operator = await world.operator(earned=5_000 * USDC)
    await world.enrolled_before(operator.provider_id, 1)
    asked = await world.withdraw(operator, 2_000 * USDC)
    await world.round()
    assert (await world.status(asked)).status is WithdrawalStatus.REQUESTED
    with pytest.raises(Exception, match="not enough people have approved it"):
        async with transaction(world.coordinator) as tx:
            await tx.execute(
                "update settlement.payout set state = 'requested' where payout_id = $1",
                asked.withdrawal_id,
            )
    async with transaction(world.finance) as tx:
        await decide.approve(tx, asked.withdrawal_id, by="Ada", now=world.clock.now())
    done = await world.finish(asked.withdrawal_id)
    assert done.status is WithdrawalStatus.FINAL
    with pytest.raises(WrongPayoutState):
        async with transaction(world.finance) as tx:
            await decide.approve(tx, asked.withdrawal_id, by="Ada", now=world.clock.now())
    with pytest.raises(UnknownPayout):
        async with transaction(world.finance) as tx:
            await decide.approve(tx, uuid4(), by="Ada", now=world.clock.now())


async def cancel(world: World, asked: Withdrawal, operator: Operator) -> Withdrawal:
    async with transaction(world.coordinator) as tx:
        found, operations = await withdrawals.cancel(
            tx, asked.withdrawal_id, owner_id=operator.provider_id, reason="no"
        )
        done = await store.apply(tx, world.writers["coordinator"], operations)
        assert all(outcome.done for outcome in done)
    return found


async def test_it_can_be_taken_back_until_it_has_a_number(world: World) -> None:
    operator, other = await world.operator(), await world.operator()
    asked = await world.withdraw(operator, 10 * USDC)
    with pytest.raises(UnknownWithdrawal):
        await cancel(world, asked, other)
    found = await cancel(world, asked, operator)
    assert (found.status, found.reason) == (WithdrawalStatus.CANCELLED, "no")
    assert await cancel(world, asked, operator) == found
    assert await world.balance(f"host:{operator.provider_id}") == (100 * USDC, 0)
    await world.round()
    assert world.received(operator.wallet) == 0

    late = await world.withdraw(operator, 10 * USDC)
    await world.number()
    with pytest.raises(TooLateToCancel):
        await cancel(world, late, operator)


async def test_a_numbered_one_can_be_given_up_and_the_chain_decides(world: World) -> None:
    operator = await world.operator()
    asked = await world.withdraw(operator, 10 * USDC)
    with pytest.raises(WrongPayoutState):
        async with transaction(world.worker) as tx:
            await decide.burn(tx, asked.withdrawal_id, reason="no")
    await world.number()
    async with transaction(world.worker) as tx:
        await decide.burn(tx, asked.withdrawal_id, reason="the operator asked for it")
    done = await world.finish(asked.withdrawal_id)
    assert (done.status, done.reason) == (
        WithdrawalStatus.FAILED,
        "the operator asked for it: the money is back",
    )
    assert await world.balance(f"host:{operator.provider_id}") == (100 * USDC, 0)
    with pytest.raises(WrongPayoutState):
        async with transaction(world.worker) as tx:
            await decide.burn(tx, asked.withdrawal_id, reason="again")


async def test_given_up_too_late_it_stays_paid(world: World) -> None:
    operator = await world.operator()
    asked = await world.withdraw(operator, 10 * USDC)
    world.chain.lose_answers = 1
    await world.number()
    await world.build()
    await world.sign()
    await world.send()  # lands, but nobody knows yet
    async with transaction(world.worker) as tx:
        await decide.burn(tx, asked.withdrawal_id, reason="too late")
    done = await world.finish(asked.withdrawal_id)
    assert done.status is WithdrawalStatus.FINAL
    assert world.received(operator.wallet) == 10 * USDC


async def test_pages_of_withdrawals(world: World) -> None:
    operator = await world.operator()
    asked: list[Withdrawal] = []
    for _ in range(5):
        asked.append(await world.withdraw(operator, 5 * USDC))
        world.clock.forward(timedelta(seconds=1))
    await world.withdraw(await world.operator(), 5 * USDC)
    async with reading(world.coordinator) as conn:
        first = await withdrawals.listed(conn, operator.provider_id, before=None, limit=3)
        rest = await withdrawals.listed(conn, operator.provider_id, before=first[-1], limit=3)
    assert [*first, *rest] == asked[::-1]


async def test_no_such_withdrawal(world: World) -> None:
    async with reading(world.coordinator) as conn:
        with pytest.raises(UnknownWithdrawal):
            await withdrawals.status(conn, new_id(world.clock))
