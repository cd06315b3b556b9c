"""Many requests of one user at once: not a microunit more is spent than was paid in."""

import asyncio
from random import Random

import pytest

from settlement.charges import InsufficientBalance, LeaseTerms, Reservation
from settlement.db.pool import Pool
from settlement.errors import Unavailable
from tests.conftest import Database
from tests.database.charges.doors import Door, charged, door
from tests.database.conftest import open_books

REQUESTS = 10_000
DEPOSIT = 4_321_987


async def request(here: Door, random: Random, refused: list[int]) -> int:
    """One request of some size that may grow; what it cost, 0 for one that could not be paid."""
    wanted = random.randrange(1, 2_000)
    try:
        reservation = await patiently(here, wanted, least=random.randrange(1, wanted + 1))
    except InsufficientBalance as error:
        refused.append(int(str(error.details["available_microusdc"])))
        return 0
    await asyncio.sleep(0)
    if random.random() < 0.3:
        await reservation.extend(random.randrange(1, 500), least_microusdc=1)
    if random.random() < 0.1:
        reservation.release()
        return 0
    gross = random.choice((reservation.amount_microusdc, random.randrange(wanted)))
    gross = min(gross, reservation.amount_microusdc)
    await here.capture(reservation, gross)
    return gross


async def patiently(here: Door, wanted: int, *, least: int) -> Reservation:
    """A reservation; while the books are busy, again."""
    while True:
        try:
            return await here.reserve(wanted, least=least)
        except Unavailable:
            await asyncio.sleep(0.05)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("cap", [5_000_000, 10_000], ids=["large leases", "small leases"])
async def test_ten_thousand_requests_of_one_user(database: Database, pool: Pool, cap: int) -> None:
    books = await open_books(database, pool, [DEPOSIT])
    random, refused = Random(cap), list[int]()
    async with door(books, terms=LeaseTerms(cap_microusdc=cap)) as here:
        spent = sum(
            await asyncio.gather(*(request(here, random, refused) for _ in range(REQUESTS)))
        )
        assert here.charges.reserved_microusdc == 0
        left = DEPOSIT - spent
        assert await charged(books) == spent <= DEPOSIT
        assert refused, "there was not enough for all"
        assert await here.spendable() == left
        # And what is left can be spent to the last microunit.
        if left:
            settled = await here.capture(await patiently(here, left, least=left), left)
            assert settled.balance_microusdc == 0
    after = await books.balance(books.user)
    assert (after.net_microusdc, after.held_microusdc) == (0, 0)
    earned = await books.balance(books.host)
    treasury = await books.balance(books.writer.treasury)
    assert earned.net_microusdc + treasury.net_microusdc == DEPOSIT
