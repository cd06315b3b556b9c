"""Two processes serve one user: neither keeps from the other what it does not use."""

import asyncio
from collections.abc import AsyncIterator
from random import Random

import pytest

from settlement.charges import InsufficientBalance, LeaseTerms, Reservation
from settlement.charges.recall import RECALL
from settlement.errors import Unavailable
from tests.database.charges.doors import Door, charged, door
from tests.database.conftest import Books

FUNDS = 25_000_000
# So that one process's leases are most of what there is.
GREEDY = LeaseTerms(cap_microusdc=FUNDS, wait_seconds=2)


@pytest.fixture
async def two(books: Books) -> AsyncIterator[tuple[Door, Door]]:
    async with (
        door(books, "coordinator", GREEDY) as one,
        door(books, "coordinator-2", GREEDY) as other,
    ):
        await until_they_listen(books)
        yield one, other


async def until_they_listen(books: Books) -> None:
    listening = "select count(*) from pg_stat_activity where query ~* '^listen \"?podledger_given'"
    async with asyncio.timeout(10):
        while await books.fetchval(listening) != 2:  # noqa: ASYNC110 -- sessions of a database
            await asyncio.sleep(0.02)


async def leased(one: Door, amount: int) -> None:
    """Have a process set so much aside for requests to come."""
    (await one.reserve(amount)).release()
    assert one.charges.leased_microusdc >= amount


async def test_nobody_is_refused_for_what_another_process_does_not_use(
    books: Books, two: tuple[Door, Door]
) -> None:
    one, other = two
    await leased(one, 20_000_000)
    reservation = await other.reserve(FUNDS)
    assert reservation.amount_microusdc == FUNDS
    assert one.charges.leased_microusdc == 0
    await other.capture(reservation, FUNDS)
    with pytest.raises(InsufficientBalance):
        await one.reserve(1)
    assert await charged(books) == FUNDS


async def test_what_another_process_uses_it_keeps(two: tuple[Door, Door]) -> None:
    one, other = two
    await leased(one, 20_000_000)
    running = await one.reserve(1_000)
    with pytest.raises(InsufficientBalance) as refused:
        await other.reserve(FUNDS)
    assert refused.value.details["available_microusdc"] == FUNDS - 1_000
    reservation = await other.reserve(FUNDS, least=1)
    assert reservation.amount_microusdc == FUNDS - 1_000
    assert one.charges.leased_microusdc == one.charges.reserved_microusdc == 1_000
    with pytest.raises(InsufficientBalance) as refused:
        await one.reserve(1)
    assert refused.value.details["available_microusdc"] == 0
    assert (await one.capture(running, 1_000)).balance_microusdc == FUNDS - 1_000
    await other.capture(reservation, FUNDS - 1_000)


async def test_an_answer_that_grows_asks_the_others_too(two: tuple[Door, Door]) -> None:
    one, other = two
    await leased(one, 20_000_000)
    running = await other.reserve(1_000)
    assert await running.extend(FUNDS - 1_000)
    assert not await running.extend(1)
    await other.capture(running, FUNDS)


async def test_who_was_asked_sets_no_more_aside_than_it_needs(two: tuple[Door, Door]) -> None:
    one, other = two
    await leased(one, 20_000_000)
    (await other.reserve(FUNDS)).release()
    for door_ in two:
        running = await door_.reserve(1_000)
        assert door_.charges.leased_microusdc == 1_000
        await door_.capture(running, 1_000)
        assert await door_.spendable() <= FUNDS - 1_000
        assert door_.charges.leased_microusdc == 0


async def test_a_process_that_does_not_answer_is_waited_for_shortly(books: Books) -> None:
    terms = LeaseTerms(cap_microusdc=FUNDS, wait_seconds=0.2)
    async with door(books, "coordinator-2", GREEDY) as deaf, door(books, terms=terms) as one:
        await deaf.charges.__aexit__(None, None, None)
        await deaf.reserve(20_000_000)
        begun = asyncio.get_running_loop().time()
        with pytest.raises(InsufficientBalance) as refused:
            await one.reserve(FUNDS)
        assert asyncio.get_running_loop().time() - begun < 2
        assert refused.value.details["available_microusdc"] == 5_000_000


async def test_words_nobody_understands_do_no_harm(books: Books, two: tuple[Door, Door]) -> None:
    for payload in ("", "nobody", "x:y:z", f"77:{books.user}"):
        await books.execute("select pg_notify($1, $2)", RECALL, payload)
    assert (await two[0].pay(1_000, 10)).balance_microusdc == FUNDS - 10


@pytest.mark.timeout(120)
async def test_two_processes_spend_exactly_what_there_is(
    books: Books, two: tuple[Door, Door]
) -> None:
    random = Random(7)

    async def spend(one: Door) -> int:
        """Requests until there is nothing left."""
        spent = 0
        while True:
            try:
                reservation: Reservation = await one.reserve(random.randrange(1, 900_000), least=1)
            except InsufficientBalance:
                return spent
            except Unavailable:
                await asyncio.sleep(0.02)
                continue
            gross = min(random.randrange(900_000), reservation.amount_microusdc)
            await one.capture(reservation, gross)
            spent += gross

    spent = sum(await asyncio.gather(*(spend(one) for one in two * 4)))
    left = FUNDS - spent
    assert await charged(books) == spent
    assert await two[0].spendable() + two[1].charges.leased_microusdc == left
    if left:
        await two[1].capture(await two[1].reserve(left), left)
    assert (await books.balance(books.user)).net_microusdc == 0
