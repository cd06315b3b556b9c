"""A life of a writer that is over writes not one row, however it comes to try.

It is told so at every door; asleep while its successor began; frozen in the middle of a
transaction; racing others for the name. The chain has one batch after each, never two.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest

from settlement.db.pool import Limits, Pool, calling, open_pool, retried, transaction
from settlement.ledger import store
from settlement.ledger.everyday import EverydayRoad
from settlement.ledger.operations import Hold, HoldPurpose, Writer
from settlement.ledger.store import WriterFenced, WriterNotOurs
from settlement.ledger.writer import GroupCommit
from tests import factories
from tests.conftest import Database
from tests.database.conftest import Books
from tests.database.contention import somebody_waits
from tests.database.ledger_drills.business import Record, fund
from tests.database.ledger_drills.lives import Life
from tests.database.ledger_drills.posting_process import FENCED, WRITER, Journal
from tests.database.ledger_drills.rows import rows_of
from tests.wire.waiting import eventually_true

_EPOCHS = """
select epoch from (select epoch, lag(epoch, 1, 0) over (order by seq) as before
                     from settlement.batch where writer_id = $1) as x
 where epoch <> before
"""


@dataclass(frozen=True, kw_only=True)
class Stale:
    """A life that is over, what it once did, and the books it did it in."""

    books: Books
    writer: Writer
    lease: Hold

    async def post(self) -> object:
        return await self.books.apply(factories.deposit(self.books.user, 5), writer=self.writer)

    async def replay(self) -> object:
        """What was done long ago: it would write nothing anyway."""
        return await self.books.apply(self.lease, writer=self.writer)

    async def charge(self) -> object:
        charge = factories.charge(
            factories.request_id(),
            self.books.user,
            self.books.host,
            1,
            hold_id=self.lease.hold_id,
        )
        async with calling(self.books.pool) as conn:
            return await EverydayRoad(self.writer).apply(conn, [charge])

    async def hold(self) -> object:
        async with calling(self.books.pool) as conn:
            hold = factories.hold(self.books.user, 1)
            return await EverydayRoad(self.writer).apply(conn, [hold])

    async def submit(self) -> object:
        async with GroupCommit(self.books.pool, self.writer) as group:
            asked = [group.submit(factories.hold(self.books.user, 1)) for _ in range(3)]
            answers = await asyncio.gather(*asked, return_exceptions=True)
            assert {type(answer) for answer in answers} == {WriterFenced}
            return await group.submit(factories.hold(self.books.user, 1))

    async def keep_leases(self) -> object:
        async with transaction(self.books.pool) as tx:
            soon = datetime.now(UTC) + timedelta(minutes=1)
            return await store.keep_leases(tx, self.writer, soon)


_DOORS: list[Callable[[Stale], Awaitable[object]]] = [
    Stale.post,
    Stale.replay,
    Stale.charge,
    Stale.hold,
    Stale.submit,
    Stale.keep_leases,
]


@pytest.fixture
async def stale(books: Books) -> Stale:
    """Two newer lives have begun since, and the last has posted."""
    lease = factories.hold(books.user, 1_000, purpose=HoldPurpose.LEASE)
    assert await books.codes(lease) == ["applied"]
    await store.open_writer(books.pool, books.writer.name)
    newest = await store.open_writer(books.pool, books.writer.name)
    assert await books.codes(factories.hold(books.user, 1), writer=newest) == ["applied"]
    return Stale(books=books, writer=books.writer, lease=lease)


@pytest.mark.parametrize("door", _DOORS, ids=lambda door: door.__name__)
async def test_every_door_is_shut_to_a_life_that_is_over(
    stale: Stale, door: Callable[[Stale], Awaitable[object]]
) -> None:
    before = await rows_of(stale.books.database.dsn)
    for _ in range(2):
        with pytest.raises(WriterFenced):
            await door(stale)
    assert await rows_of(stale.books.database.dsn) == before


async def test_a_life_that_has_not_begun_writes_nothing_either(books: Books) -> None:
    """An epoch that nobody was given yet, however it was come by."""
    ahead = Writer(
        writer_id=books.writer.writer_id,
        name=books.writer.name,
        epoch=books.writer.epoch + 1,
        treasury=books.writer.treasury,
        head=books.writer.head,
    )
    before = await rows_of(books.database.dsn)
    with pytest.raises(WriterFenced):
        await books.apply(factories.deposit(books.user, 5), writer=ahead)
    assert await rows_of(books.database.dsn) == before


async def test_a_transaction_that_began_before_is_fenced_too(books: Books) -> None:
    """What counts is who has the head when it is asked for, not when the transaction began."""
    async with transaction(books.pool) as tx:
        await tx.fetchval("select count(*) from settlement.batch")
        await store.open_writer(books.pool, books.writer.name)
        with pytest.raises(WriterFenced):
            await store.apply(tx, books.writer, [factories.hold(books.user, 1)])
    assert (await books.balance(books.user)).held_microusdc == 0


async def test_what_has_the_head_is_finished_before_a_new_life_begins(books: Books) -> None:
    async with transaction(books.pool) as tx:
        (told,) = await store.apply(tx, books.writer, [factories.hold(books.user, 7)])
        assert told.done
        opening = asyncio.create_task(store.open_writer(books.pool, books.writer.name))
        await eventually_true(lambda: somebody_waits(books))
    second = await opening
    assert second.head.seq == books.writer.head.seq + 2  # the deposit, and this
    assert (await books.balance(books.user)).held_microusdc == 7
    with pytest.raises(WriterFenced):
        await books.apply(factories.hold(books.user, 1))


@pytest.mark.parametrize("name", ["coordinator", "newcomer"], ids=["known", "new"])
async def test_of_those_who_race_for_a_name_the_last_one_lives(books: Books, name: str) -> None:
    """Each gets an epoch of its own, and all but the highest are over."""
    opened = await asyncio.gather(
        *(retried(lambda: store.open_writer(books.pool, name)) for _ in range(8))
    )
    epochs = sorted(writer.epoch for writer in opened)
    assert epochs == list(range(epochs[0], epochs[0] + 8))
    assert len({(writer.writer_id, writer.treasury) for writer in opened}) == 1
    told: list[int] = []
    for writer in opened:
        try:
            await books.apply(factories.hold(books.user, 1), writer=writer)
            told.append(writer.epoch)
        except WriterFenced:
            continue
    assert told == [epochs[-1]]


async def test_two_roles_that_race_for_a_new_name_do_not_share_it(
    books: Books, database: Database
) -> None:
    for round_ in range(6):
        name = f"contested{round_}"
        pools = [
            await open_pool(database.dsn, role=role, application="test", size=2)
            for role in ("pod_coordinator", "pod_settlement")
        ]
        opened = await asyncio.gather(
            *(store.open_writer(pool, name) for pool in pools * 2), return_exceptions=True
        )
        for pool in pools:
            await pool.close()
        lives = [n for n, each in enumerate(opened) if isinstance(each, Writer)]
        refused = [each for each in opened if isinstance(each, BaseException)]
        assert {n % 2 for n in lives} in ({0}, {1}), "one role has it"
        assert [type(each) for each in refused] == [WriterNotOurs] * 2
        owner = await books.fetchval("select role from settlement.writer where name = $1", name)
        assert owner == ("pod_coordinator", "pod_settlement")[lives[0] % 2]


async def test_lives_that_follow_each_other_under_load_write_one_chain(books: Books) -> None:
    """Eight lives start while the one before is busy; whatever each was promised is there."""
    promised: list[Hold] = []

    async def one(group: GroupCommit) -> None:
        while True:
            hold = factories.hold(books.user, 1)
            if (await group.submit(hold)).done:
                promised.append(hold)

    async def live(writer: Writer) -> None:
        async with GroupCommit(books.pool, writer) as group:
            tasks = [asyncio.create_task(one(group)) for _ in range(6)]
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            assert {type(each) for each in ended} == {WriterFenced}

    lives: list[asyncio.Task[None]] = []
    for _ in range(8):
        writer = await store.open_writer(books.pool, books.writer.name)
        lives.append(asyncio.create_task(live(writer)))
        reached = len(promised) + 10
        await eventually_true(lambda reached=reached: _is(len(promised) >= reached))
    await store.open_writer(books.pool, books.writer.name)
    await asyncio.gather(*lives)
    kept = await books.fetchval(
        "select count(*) from settlement.hold where hold_id = any ($1)",
        [hold.hold_id for hold in promised],
    )
    assert kept == len(promised)
    held = (await books.balance(books.user)).held_microusdc
    assert held == await books.fetchval("select count(*) from settlement.hold")
    # No batch of an older life comes after one of a newer.
    assert await epochs_of(books.database.dsn, books.writer) == list(range(1, 10))


@pytest.mark.timeout(180)
@pytest.mark.parametrize("batch_size", [1, 100], ids=["strict", "batches"])
async def test_a_process_that_slept_through_its_end_writes_nothing_when_it_wakes(
    database: Database, pool: Pool, tmp_path: Path, batch_size: int
) -> None:
    await fund(pool)
    first = await Life.begin(database.dsn, tmp_path, seed=5, batch_size=batch_size)
    await first.more(60)
    first.freeze()
    second = await store.open_writer(pool, WRITER)
    journal = Journal(tmp_path)
    asked_again = journal.unanswered
    assert asked_again, "it slept in the middle of something"
    async with GroupCommit(pool, second, batch_size=batch_size) as group:
        outcomes = await asyncio.gather(*map(group.submit, asked_again))
        assert all(outcome.done for outcome in outcomes)
        before = await rows_of(database.dsn)
        first.wake()
        assert await first.process.wait() == FENCED
        # It may have heard of its last batch when it woke; it has asked for nothing since that is
        # there, but for what was asked again above.
        assert await rows_of(database.dsn) == before
        assert (await group.submit(factories.hold(_user(journal), 1))).done
    assert await epochs_of(database.dsn, second) == [1, 2]


async def test_a_frozen_transaction_is_ended_for_its_successor(
    books: Books, database: Database
) -> None:
    """Between posting and commit a process falls asleep: nothing of it is ever seen."""
    limits = Limits(idle_in_transaction_ms=300)
    asleep = await open_pool(
        database.dsn, role="pod_coordinator", application="asleep", size=1, limits=limits
    )
    before = await books.balance(books.user)

    async def sleeps() -> None:
        async with transaction(asleep) as tx:
            await store.apply(tx, books.writer, [factories.deposit(books.user, 5)])
            second = await store.open_writer(books.pool, books.writer.name)
            assert await books.codes(factories.hold(books.user, 1), writer=second) == ["applied"]
            await store.apply(tx, books.writer, [factories.deposit(books.user, 5)])

    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await sleeps()
    asleep.terminate()
    assert (await books.balance(books.user)).credits_microusdc == before.credits_microusdc


async def epochs_of(dsn: str, writer: Writer) -> list[int]:
    """The epochs of a writer's batches, as they follow each other."""
    connection = await asyncpg.connect(dsn)
    try:
        return [row[0] for row in await connection.fetch(_EPOCHS, writer.writer_id)]
    finally:
        await connection.close()


async def _is(holds: bool) -> bool:
    return holds


def _user(record: Record) -> store.AccountName:
    return next(each.account for each in record.asked.values() if isinstance(each, Hold))
