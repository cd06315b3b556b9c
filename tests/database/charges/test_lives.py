"""Leases over time: renewed, given back when idle, over or closed; fenced; a writer that died."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import asyncpg
import pytest

from settlement import app
from settlement.charges import LeaseTerms, RequestClosed
from settlement.charges import door as doors
from settlement.clock import SystemClock
from settlement.db.pool import open_pool
from settlement.errors import Unavailable
from settlement.ledger import store
from settlement.ledger.store import WriterFenced
from settlement.metrics import WorkerMetrics
from settlement.process import Standing
from tests import factories
from tests.database.charges.doors import charged, door, holds
from tests.database.conftest import Books

FUNDS = 25_000_000


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110 -- work of another task
            await asyncio.sleep(0.01)


async def until_open(books: Books, count: int) -> None:
    async with asyncio.timeout(10):
        while (await holds(books))[1] != count:  # noqa: ASYNC110 -- rows of a database
            await asyncio.sleep(0.02)


async def test_a_lease_is_renewed_before_it_runs_out(books: Books) -> None:
    async with door(books, terms=LeaseTerms(cap_microusdc=10_000)) as here:
        await here.pay(1_000, 1_000)
        await until(lambda: here.charges.leased_microusdc >= 10_000)
        placed, _ = await holds(books)
        for _ in range(6):
            await here.pay(1_000, 1_000)
        await until(lambda: here.charges.leased_microusdc > 10_000)
        assert (await holds(books))[0] == placed + 1
        assert await here.spendable() == FUNDS - 7_000


_OVER = "select bool_and(expires_at < clock_timestamp()) from settlement.hold where state = 'open'"


async def test_what_is_idle_is_given_back(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "_SWEEP_SECONDS", 0.05)
    async with door(books, terms=LeaseTerms(idle_seconds=1)) as here:
        running = await here.reserve(1_000)
        await here.pay(500, 500)
        await until_open(books, 1)
        assert here.charges.leased_microusdc == here.charges.reserved_microusdc == 1_000
        await here.capture(running, 1_000)
        await until_open(books, 0)
        assert (await books.balance(books.user)).available_microusdc == FUNDS - 1_500


async def test_a_lease_that_is_over_serves_its_requests_to_their_end(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doors, "_SWEEP_SECONDS", 0.05)
    async with door(books, terms=LeaseTerms(lifetime_seconds=1)) as here:
        running = await here.reserve(1_000)
        while not await books.fetchval(_OVER):  # noqa: ASYNC110 - a moment of the database's clock
            await asyncio.sleep(0.02)
        await here.pay(1_000, 1)
        assert await running.extend(1_000)
        assert (await here.capture(running, 2_000)).balance_microusdc == FUNDS - 2_001
        await until_open(books, 0)


async def test_at_the_end_all_is_given_back(books: Books) -> None:
    async with door(books) as here:
        await asyncio.gather(*(here.pay(1_000, 999) for _ in range(50)))
        assert (await books.balance(books.user)).held_microusdc > 0
    assert (await books.balance(books.user)).held_microusdc == 0


async def test_a_balance_that_grew_is_noticed(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doors, "_SWEEP_SECONDS", 0.05)
    async with door(books) as here:
        await here.pay(1_000, 1_000)
        indexer = await store.open_writer(books.pool, "indexer")
        await books.apply(factories.deposit(books.user), writer=indexer)
        async with asyncio.timeout(10):
            while True:
                running = await here.reserve(1)
                told = running.spendable_microusdc
                running.release()
                if told == 2 * FUNDS - 1_000:
                    return
                await asyncio.sleep(0.05)


async def test_a_fenced_door_stops(books: Books) -> None:
    async with door(books) as here:
        running = await here.reserve(1_000)
        watching = asyncio.create_task(here.charges.watch())
        await store.open_writer(books.pool, "coordinator")
        with pytest.raises(WriterFenced):
            await here.capture(running, 1)
        with pytest.raises(WriterFenced):
            await watching
        # What is still set aside in memory is worth nothing any more.
        with pytest.raises(WriterFenced):
            await here.reserve(1)
    assert await charged(books) == 0


async def test_who_is_fenced_hears_it_without_a_request(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doors, "BEAT_SECONDS", 0.05)
    async with door(books) as here:
        await store.open_writer(books.pool, "coordinator")
        with pytest.raises(WriterFenced):
            await here.charges.watch()


async def test_what_a_dead_process_leased_comes_back(books: Books) -> None:
    """Only once its time is over and nobody says that it lives; a late charge is then refused."""
    async with door(books, terms=LeaseTerms(lifetime_seconds=1)) as here, settling(books) as worker:
        running = await here.reserve(1_000)
        await until_alive(books)
        await asyncio.sleep(1.1)
        assert await worker() == 0, "its time is over, but it lives"
        await books.execute("update settlement.writer set leases_until = now()")
        for _ in range(2):
            assert await worker() == (await holds(books))[0]
        assert (await books.balance(books.user)).available_microusdc == FUNDS
        with pytest.raises(WriterFenced):
            await here.capture(running, 1_000)
    assert await charged(books) == 0


@asynccontextmanager
async def settling(books: Books) -> AsyncGenerator[Callable[[], Awaitable[int]]]:
    """What the settlement worker does now and then: how many leases it has given back by now."""
    pool = await open_pool(
        books.database.dsn, role="pod_settlement", application="settlement", size=2
    )
    writer = await store.open_writer(pool, "settlement")
    worker = app._Worker(
        settings=cast("Any", None),
        pool=pool,
        rpc=cast("Any", None),
        clock=SystemClock(),
        standing=Standing(),
        metrics=WorkerMetrics(),
    )

    async def once() -> int:
        await app._lease_round(worker, writer)
        counted = worker.metrics.registry.get_sample_value("settlement_leases_given_back_total")
        return int(counted or 0)

    try:
        yield once
    finally:
        await pool.close()


async def until_alive(books: Books) -> datetime:
    async with asyncio.timeout(10):
        while (until := await books.fetchval(_ALIVE)) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert isinstance(until, datetime)
    return until


async def test_a_process_says_that_it_lives(books: Books) -> None:
    async with door(books):
        assert await until_alive(books) > datetime.now(UTC) + timedelta(seconds=60)


async def test_a_lease_nobody_knows_was_placed_is_given_back(books: Books) -> None:
    """The answer to a placement is lost for longer than anybody waits."""
    async with door(books, give_up_seconds=0.2) as here:
        await here.pay(1_000, 1_000)
        async with blocked(books), cutting(books):
            with pytest.raises(Unavailable):
                await here.reserve(20_000_000)
        assert await here.spendable() == FUNDS - 1_000
        await here.pay(20_000_000, 1)
    assert (await books.balance(books.user)).available_microusdc == FUNDS - 1_001


async def test_a_charge_nobody_knows_happened_is_asked_again(books: Books) -> None:
    async with door(books, give_up_seconds=0.2) as here:
        reservation = await here.reserve(1_000)
        async with blocked(books), cutting(books):
            with pytest.raises(Unavailable):
                await here.capture(reservation, 900)
            with pytest.raises(RequestClosed):
                reservation.release()
            assert here.charges.reserved_microusdc == 1_000, "it may have happened"
        async with asyncio.timeout(10):
            while True:
                with suppress(Unavailable):
                    settled = await here.capture(reservation, 900)
                    break
        assert settled.balance_microusdc == FUNDS - 900
    assert await charged(books) == 900


@asynccontextmanager
async def blocked(books: Books) -> AsyncGenerator[None]:
    """Somebody else has the writer's head: nothing can be committed."""
    connection = await asyncpg.connect(books.database.dsn)
    try:
        async with connection.transaction():
            await connection.execute("select from settlement.writer for update")
            yield
    finally:
        await connection.close()


@asynccontextmanager
async def cutting(books: Books) -> AsyncGenerator[None]:
    """Again and again the coordinator's connections are lost."""

    async def cut() -> None:
        while True:
            await books.execute(_CUT)
            await asyncio.sleep(0.05)

    task = asyncio.create_task(cut())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


_CUT = """
  select pg_terminate_backend(pid) from pg_stat_activity
   where application_name = 'coordinator' and datname = current_database()
"""
_ALIVE = "select leases_until from settlement.writer where name = 'coordinator'"
