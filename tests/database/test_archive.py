"""A day leaves the journal for files: the books say the same, and its requests are refused."""

import asyncio
import json

import pytest

from settlement.db.pool import calling, transaction
from settlement.ledger import archive, archive_read, store
from settlement.ledger.archive import SealFirst
from settlement.ledger.archive_check import check_files, rows_in
from settlement.ledger.archive_file import DayFiles
from settlement.ledger.archive_read import DayOpen
from settlement.ledger.everyday import EverydayRoad
from settlement.ledger.operations import Charge
from settlement.ledger.writer import GroupCommit
from tests import factories
from tests.database import days
from tests.database.archiving import Past, ignore, past
from tests.database.test_partitions import connected

__all__ = ["past"]
BALANCES = "select array_agg(b order by account_id) from settlement.balance b"


async def at_hand(past: Past) -> list[str]:
    """The partitions there are, by name."""
    async with connected(past.books) as connection:
        rows = await connection.fetch(
            "select relname from pg_class where relname ~ '^charge_[0-9]+$' and relkind = 'r'"
            " order by relname"
        )
    return [row["relname"] for row in rows]


async def test_a_day_goes_into_files_and_the_books_say_the_same(past: Past) -> None:
    charges = await past.trade(past.day(0), 60)
    others = await past.trade(past.day(1), 30, seed=2)
    seal = await past.seal()
    before = await past.books.fetchval(BALANCES)
    manifest = await past.archive(past.day(0))

    files = DayFiles.of(past.directory, past.day(0))
    check_files(files, manifest, print, seal_hash=seal.hash)
    kept = [row for piece in rows_in(files.rows) for row in piece]
    assert {row.charge.row_id for row in kept} == {one.request_id for one in charges}
    assert manifest.sums.gross == sum(one.gross_microusdc for one in charges)
    assert await past.books.fetchval(BALANCES) == before
    assert await at_hand(past) == [days.partition_of(past.day(n)) for n in range(1, 10)]
    assert await past.books.fetchval("select count(*) from settlement.charge") == len(others)
    told = await past.books.fetchval(
        "select archive::text from settlement.charge_day where day = $1", past.day(0)
    )
    assert isinstance(told, str)
    assert json.loads(told) == manifest.as_json()


async def test_every_day_goes_in_its_turn(past: Past) -> None:
    for at in range(3):
        await past.trade(past.day(at), 12, seed=at)
    await past.seal()
    for later in (1, 2):
        with pytest.raises(DayOpen, match="the oldest day"):
            await past.archive(past.day(later))
    for at in range(5):  # the last two of them empty
        assert (await past.archive(past.day(at))).sums.rows == (12 if at < 3 else 0)
    with pytest.raises(DayOpen):
        await past.archive(past.day(0))
    # Yesterday's requests may still be settled.
    with pytest.raises(DayOpen, match="may still be settled"):
        await past.archive(past.day(5))


async def test_the_books_go_on_after_days_went(past: Past) -> None:
    await past.trade(past.day(0), 20)
    await past.trade(past.day(5), 20, seed=2)
    await past.seal()
    await past.archive(past.day(0))
    await past.trade(past.day(1), 20, seed=3)
    other = await store.open_writer(past.books.pool, "other")
    await past.trade(past.day(1), 20, writer=other, seed=4)
    await past.seal()
    assert (await past.archive(past.day(1))).sums.rows == 40


async def test_what_was_archived_is_refused_at_every_door(past: Past) -> None:
    charges = await past.trade(past.day(0), 20)
    await past.seal()
    await past.archive(past.day(0))
    before = await past.books.fetchval(BALANCES)
    assert await past.books.codes(*charges) == ["outside_window"] * 20
    async with calling(past.books.pool) as conn:
        road = EverydayRoad(past.books.writer)
        for one in charges:
            if one.hold_id is not None:
                assert await road.settle(conn, [one], []) is None
    async with GroupCommit(past.books.pool, past.books.writer) as group:
        answers = await asyncio.gather(*(group.submit(one) for one in charges))
    assert {answer.code.value for answer in answers} == {"outside_window"}
    assert await past.books.fetchval(BALANCES) == before


async def test_what_is_in_no_seal_stays(past: Past) -> None:
    (first, *_) = await past.trade(past.day(0), 5)
    with pytest.raises(SealFirst, match="sealed': 0"):
        await past.archive(past.day(0))
    # From the first attempt on it is closed, also for a replay.
    assert await past.books.codes(first) == ["outside_window"]
    await past.seal()
    assert (await past.archive(past.day(0))).sums.rows == 5


async def closing(past: Past) -> "asyncio.Task[int | None]":
    """Closing the first day, which waits for somebody."""
    close = archive_read.QUERIES["close"]
    task = asyncio.create_task(archive_read.call(past.pool, close, past.day(0)))
    done, _ = await asyncio.wait([task], timeout=1)
    assert not done
    return task


async def test_who_is_settling_is_waited_for(past: Past) -> None:
    await past.trade(past.day(0), 5)
    late = days_request(past, 0)
    async with transaction(past.books.pool) as tx:
        (outcome,) = await store.apply(tx, past.books.writer, [late])
        assert outcome.done
        waiting = await closing(past)
    await waiting
    assert await past.books.codes(late, days_request(past, 1)) == ["outside_window", "applied"]
    await past.seal()
    assert (await past.archive(past.day(0))).sums.rows == 6


async def test_a_writer_that_is_being_opened_is_waited_for_too(past: Past) -> None:
    async with transaction(past.books.pool) as tx:
        await tx.execute("select * from settlement.open_writer_v2('brand-new')")
        waiting = await closing(past)
    await waiting


def days_request(past: Past, after: int) -> Charge:
    """A request of a day after the first."""
    (name,) = days.ids_of(past.day(after), 1)
    return factories.charge(name, past.books.user, past.books.host, 9, hold_id=None)


async def test_paid_requests_are_settled_while_a_day_goes(past: Past) -> None:
    await past.trade(past.day(0), 200)
    await past.seal()
    going = asyncio.create_task(past.archive(past.day(0)))
    async with GroupCommit(past.books.pool, past.books.writer) as group:
        settled = 0
        while not going.done():
            hold = factories.hold(past.books.user, 10)
            await group.submit(hold)
            paid = factories.charge(hold.hold_id, past.books.user, past.books.host, 1)
            assert (await group.submit(paid)).done
            settled += 1
    assert (await going).sums.rows == 200
    assert settled > 0


async def test_two_do_not_archive_at_once(past: Past) -> None:
    await past.trade(past.day(0), 50)
    await past.seal()
    results = await asyncio.gather(
        *(archive.archive_day(past.pool, past.directory, past.day(0), ignore) for _ in range(2)),
        return_exceptions=True,
    )
    kinds = sorted(type(result).__name__ for result in results)
    assert kinds == ["AlreadyRunning", "Manifest"]
