"""Unspent balance goes back to where it came from, on the same road, and nowhere else."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from settlement import deposits, withdrawals
from settlement.chain import program
from settlement.chain.movement import ChainMoment, MovementKey, Vault
from settlement.chain.program import associated_token_address
from settlement.db.pool import reading, transaction
from settlement.deposits import NotEnrolled, VaultDeposit
from settlement.ledger import accounts, store
from settlement.money import MicroUsdc, Slot
from settlement.payouts.survey import AccountReader
from settlement.withdrawals import (
    DailyLimitReached,
    InsufficientUnspent,
    NotPaidInFrom,
    UserWithdrawalsOff,
    Withdrawal,
    WithdrawalLimits,
    WithdrawalRequest,
    WithdrawalStatus,
)
from tests.database.payouts.chain import token_bytes
from tests.database.payouts.world import NOW, USDC, World


@dataclass(frozen=True, kw_only=True)
class Saver:
    """A user and the wallet they paid in from."""

    user_id: UUID
    wallet: Pubkey


async def saver(world: World, amount: int = 100 * USDC, *, source: Pubkey | None = None) -> Saver:
    user_id, wallet = uuid4(), Keypair().pubkey()
    paid_by = source or associated_token_address(wallet, world.deployment.mint)
    async with transaction(world.coordinator) as tx:
        code = await deposits.enroll_user(tx, user_id)
    async with transaction(world.indexer) as tx:
        fact = VaultDeposit(
            key=MovementKey(cluster="fake", signature=uuid4().hex, outer=0),
            moment=ChainMoment(slot=Slot(2), block_time=NOW),
            vault=Vault.TILL,
            amount_microusdc=MicroUsdc(amount),
            code=code,
            source=str(paid_by),
        )
        done = await store.apply(
            tx, world.writers["indexer"], await deposits.book_deposit(tx, fact)
        )
        assert all(each.done for each in done)
    return Saver(user_id=user_id, wallet=wallet)


async def withdraw(
    world: World,
    who: Saver,
    amount: int = 10 * USDC,
    destination: Pubkey | None = None,
    *,
    limits: WithdrawalLimits | None = None,
    asking: AccountReader | None = None,
) -> Withdrawal:
    return await withdrawals.submit(
        world.coordinator,
        world.writers["coordinator"],
        WithdrawalRequest(
            user_id=who.user_id,
            amount_microusdc=amount,
            destination=str(destination or who.wallet),
        ),
        deployment=world.deployment,
        clock=world.clock,
        limits=limits,
        chain=asking,
    )


async def test_it_goes_back_to_the_wallet(world: World) -> None:
    who = await saver(world)
    asked = await withdraw(world, who, asking=world.chain)
    assert (asked.provider_id, asked.user_id) == (None, who.user_id)
    assert await world.balance(accounts.user(who.user_id)) == (100 * USDC, 10 * USDC)
    assert (await world.finish(asked.withdrawal_id)).status is WithdrawalStatus.FINAL
    assert world.received(who.wallet) == 10 * USDC
    assert await world.balance(accounts.user(who.user_id)) == (90 * USDC, 0)
    async with reading(world.coordinator) as conn:
        assert [
            each.withdrawal_id for each in await withdrawals.listed(conn, who.user_id, before=None)
        ] == [asked.withdrawal_id]
        with pytest.raises(withdrawals.UnknownWithdrawal):
            await withdrawals.owned(conn, asked.withdrawal_id, uuid4())


async def test_it_goes_back_to_a_token_account_that_paid(world: World) -> None:
    account = Keypair().pubkey()
    who = await saver(world, source=account)
    with pytest.raises(NotPaidInFrom):
        await withdraw(world, who)
    data = token_bytes(world.deployment.mint, who.wallet, 0)
    world.chain.put(account, program.TOKEN_PROGRAM, data)
    asked = await withdraw(world, who, destination=account, asking=world.chain)
    await world.finish(asked.withdrawal_id)
    assert world.chain.received[account] == 10 * USDC


async def test_it_goes_nowhere_else(world: World) -> None:
    who, other = await saver(world), await saver(world)
    for destination in (Keypair().pubkey(), other.wallet):
        for asking in (None, world.chain):
            with pytest.raises(NotPaidInFrom) as told:
                await withdraw(world, who, destination=destination, asking=asking)
            assert told.value.details["field"] == "destination"
    assert await world.superuser("select payout_id from settlement.payout") == []
    assert await world.balance(accounts.user(who.user_id)) == (100 * USDC, 0)


async def test_no_more_than_is_unspent_and_no_more_than_a_day(world: World) -> None:
    poor, rich = await saver(world), await saver(world, 5_000 * USDC)
    with pytest.raises(InsufficientUnspent) as told:
        await withdraw(world, poor, 101 * USDC)
    assert told.value.details["available_microusdc"] == 100 * USDC
    found = await asyncio.gather(
        *(withdraw(world, rich, 300 * USDC) for _ in range(8)), return_exceptions=True
    )
    assert sum(isinstance(each, Withdrawal) for each in found) == 3
    assert sum(isinstance(each, DailyLimitReached) for each in found) == 5
    world.clock.forward(timedelta(hours=24))
    await withdraw(world, rich, 1_000 * USDC)


async def test_it_can_be_switched_off(world: World) -> None:
    who = await saver(world)
    off = WithdrawalLimits(user_daily_microusdc=MicroUsdc(0))
    with pytest.raises(UserWithdrawalsOff):
        await withdraw(world, who, limits=off)
    with pytest.raises(NotEnrolled):
        await withdraw(world, Saver(user_id=uuid4(), wallet=who.wallet))


async def test_a_payout_has_one_owner(world: World) -> None:
    await withdraw(world, await saver(world))
    for wrong in (
        "provider_id = gen_random_uuid()",
        "user_id = null",
        "kind = 'fund_bond'",
    ):
        with pytest.raises(asyncpg.CheckViolationError):
            await world.superuser(
                f"set session_replication_role = replica; update settlement.payout set {wrong}"
            )


async def test_a_forgotten_payment_is_booked_against_the_user_its_code_names(world: World) -> None:
    who = await saver(world)
    asked = await withdraw(world, who)
    await world.number()
    await world.build()
    await world.sign()
    await world.send()
    await world.superuser(  # a backup from before the request
        "set session_replication_role = replica;"
        f" update settlement.payout set sequence = 77 where payout_id = '{asked.withdrawal_id}'"
    )
    await world.index()
    assert await world.balance(accounts.user(who.user_id)) == (90 * USDC, 10 * USDC)
