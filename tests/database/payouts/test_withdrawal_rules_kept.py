"""Rules that hold whoever asks, how often, and whatever the clock on the wall says."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from settlement.chain import program
from settlement.chain.answers import Account, AccountAt
from settlement.chain.transport import RpcUnavailable
from settlement.money import Lamports, MicroUsdc
from settlement.payouts.intent import DestinationRefused
from settlement.withdrawals import (
    DailyLimitReached,
    IdempotencyKeyReused,
    InsufficientEarnings,
    Withdrawal,
    WithdrawalLimits,
    WithdrawalStatus,
    WithdrawalTooSmall,
)
from tests.database.payouts.chain import token_bytes
from tests.database.payouts.world import USDC, Operator, World

DAY = timedelta(hours=24)
ZONES = ("UTC", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu")


async def outcome(world: World, operator: Operator, amount: int) -> Withdrawal | Exception:
    try:
        return await world.withdraw(operator, amount * USDC)
    except (DailyLimitReached, InsufficientEarnings) as error:
        return error


async def test_a_storm_takes_no_more_than_there_is(world: World) -> None:
    operator = await world.operator(earned=103 * USDC)
    found = await asyncio.gather(*(outcome(world, operator, 10) for _ in range(40)))
    made = [each for each in found if isinstance(each, Withdrawal)]
    assert len(made) == 10
    assert all(isinstance(each, Withdrawal | InsufficientEarnings) for each in found)
    assert await world.balance(f"host:{operator.provider_id}") == (103 * USDC, 100 * USDC)


async def test_a_storm_takes_no_more_than_a_day(world: World) -> None:
    operator = await world.operator(earned=90_000 * USDC, enrolled_days=60)
    found = await asyncio.gather(*(outcome(world, operator, 1_700) for _ in range(24)))
    assert sum(isinstance(each, Withdrawal) for each in found) == 5
    assert sum(isinstance(each, DailyLimitReached) for each in found) == 19
    assert await world.balance(f"host:{operator.provider_id}") == (90_000 * USDC, 8_500 * USDC)


STEPS = st.lists(
    st.tuples(
        st.integers(0, 30 * 3_600),  # seconds since the step before
        st.integers(1_000, 6_000),  # dollars
        st.sampled_from(ZONES).map(ZoneInfo)
        | st.integers(-840, 840).map(lambda m: timezone(timedelta(minutes=m))),
    ),
    min_size=2,
    max_size=8,
)


@settings(
    max_examples=20,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(start=st.integers(0, 366 * 24), steps=STEPS)
async def test_no_24_hours_see_more_than_a_day(
    world: World,
    start: int,
    steps: list[tuple[int, int, ZoneInfo | timezone]],
) -> None:
    """Across midnights, months and changes of clocks, in any zone; and nothing is refused early."""
    begun = datetime(2026, 1, 1, tzinfo=ZoneInfo("UTC")) + timedelta(hours=start)
    operator = await world.operator(earned=60_000 * USDC)
    await world.superuser(
        "alter table settlement.operator disable trigger all;"
        f" update settlement.operator set enrolled_at = '2020-01-01'"
        f" where provider_id = '{operator.provider_id}';"
        " alter table settlement.operator enable trigger all"
    )
    taken: list[tuple[datetime, int]] = []
    moment = begun
    for wait, dollars, zone in steps:
        moment += timedelta(seconds=wait)
        world.clock.at = moment.astimezone(zone)
        day = sum(amount for at, amount in taken if at > moment - DAY)
        found = await outcome(world, operator, dollars)
        assert isinstance(found, Withdrawal) == (day + dollars <= 10_000), (day, dollars)
        if isinstance(found, Withdrawal):
            taken.append((moment, dollars))


async def test_the_rules_are_settings(world: World) -> None:
    operator = await world.operator(earned=500 * USDC, enrolled_days=60)
    limits = WithdrawalLimits(
        smallest_microusdc=MicroUsdc(50 * USDC), daily_microusdc=MicroUsdc(100 * USDC)
    )
    with pytest.raises(WithdrawalTooSmall):
        await world.withdraw(operator, 49 * USDC, limits=limits)
    await world.withdraw(operator, 60 * USDC, limits=limits)
    with pytest.raises(DailyLimitReached):
        await world.withdraw(operator, 50 * USDC, limits=limits)


async def test_a_new_destination_waits_and_can_be_taken_back_meanwhile(world: World) -> None:
    limits = WithdrawalLimits(first_use_delay=timedelta(hours=1))
    operator, elsewhere = await world.operator(), Keypair().pubkey()
    asked = await world.withdraw(operator, 10 * USDC, destination=str(elsewhere), limits=limits)
    assert asked.status is WithdrawalStatus.APPROVED
    assert asked.not_before == world.clock.now() + timedelta(hours=1)
    assert asked.reasons[0].code == "delayed"
    known = await world.withdraw(operator, 10 * USDC, limits=limits)
    assert known.not_before is None, "the wallet they enrolled with is not new"
    await world.round()
    await world.round()
    assert world.received(operator.wallet) == 10 * USDC
    assert (await world.status(asked)).sequence is None
    world.clock.forward(timedelta(hours=1))
    await world.finish(asked.withdrawal_id)
    assert world.received(elsewhere) == 10 * USDC
    again = await world.withdraw(operator, 10 * USDC, destination=str(elsewhere), limits=limits)
    assert again.not_before is None, "it was paid before"


async def ask(world: World, operator: Operator, destination: object) -> Withdrawal:
    return await world.withdraw(
        operator, 10 * USDC, destination=str(destination), asking=world.chain
    )


async def test_a_token_account_is_paid_directly(world: World) -> None:
    operator, account = await world.operator(), Keypair().pubkey()
    multisig = world.deployment.bond(b"AAAAAAAA", account)  # some address no key can sign for
    data = token_bytes(world.deployment.mint, multisig, 0)
    world.chain.put(account, program.TOKEN_PROGRAM, data)
    asked = await ask(world, operator, account)
    done = await world.finish(asked.withdrawal_id)
    assert (done.status, done.destination_account) == (WithdrawalStatus.FINAL, str(account))
    assert world.chain.received[account] == 10 * USDC


async def test_what_is_wrong_is_said_before_anything_is_held(world: World) -> None:
    operator, address = await world.operator(), Keypair().pubkey()
    mint, deployment = world.deployment.mint, world.deployment
    bond = deployment.bond(b"AAAAAAAA", address)
    world.chain.put(bond, deployment.program_id, b"bond")
    cases = {
        "a program": Account(
            owner=Keypair().pubkey(), lamports=Lamports(1), data=b"x", executable=True
        ),
        "a mint": _of_tokens(bytes(82)),
        "another mint": _of_tokens(token_bytes(address, address, 0)),
        "frozen": _of_tokens(token_bytes(mint, address, 0, frozen=True)),
        "no initialized": _of_tokens(bytes(165)),
        "of our own": _of_tokens(token_bytes(mint, deployment.till_authority, 0)),
        "account of our own": _of_tokens(token_bytes(mint, bond, 0)),
        "an account of a program": Account(
            owner=Keypair().pubkey(), lamports=Lamports(1), data=b"x", executable=False
        ),
    }
    for why, account in cases.items():
        world.chain.accounts_by_address[address] = account
        with pytest.raises(DestinationRefused) as told:
            await ask(world, operator, address)
        assert told.value.details["field"] == "destination"
        assert why in str(told.value.details["problem"])
    for destination in (world.key.address, bond):
        with pytest.raises(DestinationRefused):
            await ask(world, operator, destination)
    world.chain.set_token_account(operator.wallet, frozen=True)
    with pytest.raises(DestinationRefused, match="frozen"):
        await ask(world, operator, operator.wallet)
    assert await world.superuser("select payout_id from settlement.payout") == []
    assert await world.balance(f"host:{operator.provider_id}") == (100 * USDC, 0)


def _of_tokens(data: bytes) -> Account:
    return Account(owner=program.TOKEN_PROGRAM, lamports=Lamports(1), data=data, executable=False)


class Away:
    """A node that does not answer."""

    async def accounts(self, addresses: Sequence[Pubkey]) -> tuple[AccountAt, ...]:
        raise RpcUnavailable(problem=f"nobody tells of {len(addresses)}")


async def test_without_a_node_nothing_is_held_and_what_was_asked_is_told(world: World) -> None:
    operator = await world.operator()
    first = await world.withdraw(operator, 10 * USDC, key="k", asking=world.chain)
    away = Away()
    with pytest.raises(InsufficientEarnings):
        await world.withdraw(operator, 900 * USDC, asking=away)
    with pytest.raises(RpcUnavailable):
        await world.withdraw(operator, 10 * USDC, asking=away)
    assert await world.withdraw(operator, 10 * USDC, key="k", asking=away) == first
    with pytest.raises(IdempotencyKeyReused):
        await world.withdraw(operator, 11 * USDC, key="k", asking=away)
    assert await world.balance(f"host:{operator.provider_id}") == (100 * USDC, 10 * USDC)
