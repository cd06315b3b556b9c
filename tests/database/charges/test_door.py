"""The coordinator's door: reserve, extend, capture, release; exact, and told what is true."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import uuid4

import pytest

from settlement.charges import (
    AccountClosed,
    InsufficientBalance,
    LeaseTerms,
    RequestClosed,
    RequestConflict,
    RequestUnknown,
    Settled,
)
from settlement.ledger import store
from settlement.ledger.operations import Writer
from settlement.money import MicroUsdc
from tests import factories
from tests.database.charges.doors import Door, charged, door, holds
from tests.database.conftest import Books

FUNDS = 25_000_000


@pytest.fixture
async def here(books: Books) -> AsyncIterator[Door]:
    async with door(books) as one:
        yield one


async def test_a_request_from_its_reservation_to_its_settlement(books: Books, here: Door) -> None:
    reservation = await here.reserve(5_000)
    assert reservation.amount_microusdc == 5_000
    assert reservation.spendable_microusdc == FUNDS
    assert await here.spendable() == FUNDS - 5_000
    settled = await here.capture(reservation, 4_321)
    assert settled == Settled(
        gross_microusdc=MicroUsdc(4_321),
        operator_microusdc=MicroUsdc(3_457),
        treasury_microusdc=MicroUsdc(864),
        balance_microusdc=FUNDS - 4_321,
    )
    assert (await books.balance(books.host)).net_microusdc == 3_457
    assert await here.spendable() == FUNDS - 4_321


async def test_once_per_request_id(books: Books, here: Door) -> None:
    request_id = factories.request_id()
    reservation = await here.reserve(5_000, request_id=request_id)
    with pytest.raises(RequestConflict):
        await here.reserve(5_000, request_id=request_id)
    settled = await here.capture(reservation, 4_000)
    assert await here.capture(reservation, 4_000) == settled
    with pytest.raises(RequestConflict):
        await here.capture(reservation, 3_999)
    with pytest.raises(RequestClosed):
        reservation.release()
    with pytest.raises(RequestClosed):
        await reservation.extend(1)
    # The same id again is another request to this process; the books know better.
    again = await here.reserve(5_000, request_id=request_id)
    with pytest.raises(RequestConflict):
        await here.capture(again, 1)
    assert (await charged(books), here.charges.reserved_microusdc) == (4_000, 0)


async def test_a_released_request_cannot_be_settled(here: Door) -> None:
    reservation = await here.reserve(5_000)
    reservation.release()
    assert await here.spendable() == FUNDS
    with pytest.raises(RequestClosed):
        await here.capture(reservation, 1)
    with pytest.raises(RequestClosed):
        reservation.release()


async def test_a_request_that_costs_nothing(books: Books, here: Door) -> None:
    settled = await here.pay(5_000, 0)
    assert settled.balance_microusdc == FUNDS
    assert await books.fetchval("select count(*) from settlement.charge") == 1


async def test_more_than_is_reserved_cannot_be_captured(here: Door) -> None:
    reservation = await here.reserve(10)
    with pytest.raises(AssertionError):
        await here.capture(reservation, 11)
    reservation.release()


async def test_accounts_that_are_not_there_and_one_that_is_closed(books: Books, here: Door) -> None:
    with pytest.raises(RequestUnknown):
        await replace(here, user_id=uuid4()).reserve(1)
    with pytest.raises(RequestUnknown):
        await replace(here, provider_id=uuid4()).pay(5, 1)
    assert here.charges.reserved_microusdc == 0
    await books.execute(
        "update settlement.account set closed_at = now() where name = $1", books.user
    )
    with pytest.raises(AccountClosed):
        await here.reserve(FUNDS)


async def test_most_requests_write_once(books: Books, here: Door) -> None:
    for _ in range(100):
        await here.pay(1_000, 700)
    placed, _ = await holds(books)
    assert placed <= 3, "a hundred requests share a lease or two"


async def test_requests_that_come_together_place_no_lease_each(books: Books, here: Door) -> None:
    reservations = await asyncio.gather(*(here.reserve(1_000) for _ in range(100)))
    placed, _ = await holds(books)
    assert placed <= 3
    await asyncio.gather(*(here.capture(each, 999) for each in reservations))
    assert await charged(books) == 99_900


async def test_a_lease_leaves_most_of_the_balance_alone(books: Books) -> None:
    async with door(books, terms=LeaseTerms(cap_microusdc=100_000_000)) as here:
        for _ in range(20):
            await here.pay(1_000, 1_000)
        held = (await books.balance(books.user)).held_microusdc
        assert held <= FUNDS // 4 + 1_000
        assert held == here.charges.leased_microusdc
    async with door(books, terms=LeaseTerms(cap_microusdc=5_000)) as here:
        await asyncio.gather(*(here.pay(1_000, 1_000) for _ in range(20)))
        sizes = "select max(amount) from settlement.hold where epoch = 3"
        assert await books.fetchval(sizes) == 5_000


async def test_who_has_too_little_is_told_what_there_is(here: Door) -> None:
    most = await here.reserve(24_000_000)
    with pytest.raises(InsufficientBalance) as refused:
        await here.reserve(1_000_001)
    assert refused.value.details == {
        "available_microusdc": 1_000_000,
        "required_microusdc": 1_000_001,
    }
    rest = await here.reserve(1_000_001, least=1)
    assert rest.amount_microusdc == 1_000_000
    with pytest.raises(InsufficientBalance) as refused:
        await here.reserve(1)
    assert refused.value.details["available_microusdc"] == 0
    most.release()
    rest.release()
    assert await here.spendable() == FUNDS


async def test_money_in_parts_too_small_is_brought_together(books: Books, here: Door) -> None:
    """Three leases, each with a running request on it and a little room: nobody is refused."""
    running = [await here.reserve(8_000_000) for _ in range(3)]
    for each in running:
        await here.capture(each, 0)
    running = [await here.reserve(5_000_000) for _ in range(3)]
    whole = await here.reserve(10_000_000)
    assert whole.amount_microusdc == 10_000_000
    with pytest.raises(InsufficientBalance):
        await here.reserve(1)
    for each in (*running, whole):
        await here.capture(each, each.amount_microusdc)
    assert (await books.balance(books.user)).net_microusdc == 0


async def test_an_answer_that_grows_reserves_more(here: Door) -> None:
    reservation = await here.reserve(1_000)
    assert await reservation.extend(500)
    assert reservation.amount_microusdc == 1_500
    assert await reservation.extend(20_000_000), "more than its lease has room for"
    assert reservation.amount_microusdc == 20_001_500
    assert await here.spendable() == FUNDS - 20_001_500
    assert not await reservation.extend(5_000_000), "more than there is"
    assert reservation.amount_microusdc == 20_001_500
    assert await reservation.extend(5_000_000, least_microusdc=1)
    assert reservation.amount_microusdc == FUNDS
    assert not await reservation.extend(1)
    settled = await here.capture(reservation, FUNDS)
    assert settled.balance_microusdc == 0


async def test_a_deposit_while_an_answer_grows_can_be_spent(books: Books, here: Door) -> None:
    reservation = await here.reserve(FUNDS)
    assert not await reservation.extend(1)
    await books.apply(factories.deposit(books.user, 7), writer=await _other_writer(books))
    assert await reservation.extend(7)
    assert (await here.capture(reservation, FUNDS + 7)).balance_microusdc == 0


async def test_a_request_nobody_waits_for_any_more_keeps_nothing(books: Books, here: Door) -> None:
    asking = asyncio.create_task(here.reserve(1_000))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    async with asyncio.timeout(10):
        while not here.charges.leased_microusdc:  # noqa: ASYNC110 -- work of another task
            await asyncio.sleep(0.01)
    await here.pay(1_000, 1)
    assert here.charges.reserved_microusdc == 0
    assert await here.spendable() == FUNDS - 1


async def _other_writer(books: Books) -> Writer:
    return await store.open_writer(books.pool, "indexer")
