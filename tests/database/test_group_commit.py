"""Many callers, one writer: nobody overspends, lost answers are found, a fenced writer stops."""

import asyncio
from collections import Counter
from typing import TYPE_CHECKING
from uuid import uuid4

import asyncpg
import pytest

from settlement.db.pool import DatabaseUnavailable, Pool, calling, open_pool, transaction
from settlement.ledger import store
from settlement.ledger.encode import OperationMalformed
from settlement.ledger.everyday import EverydayRoad
from settlement.ledger.operations import AccountName, Code, Hold, HoldPurpose, Void
from settlement.ledger.store import WriterFenced
from settlement.ledger.writer import GroupCommit, WriterBusy, WriterClosed
from settlement.money import MicroUsdc
from tests import factories
from tests.database.conftest import Books

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy


async def test_hundreds_of_concurrent_requests_of_one_user_cannot_overspend(books: Books) -> None:
    holds = [factories.hold(books.user, 100_000) for _ in range(400)]
    async with GroupCommit(books.pool, books.writer) as group:
        outcomes = await asyncio.gather(*(group.submit(hold) for hold in holds))
    assert Counter(outcome.code for outcome in outcomes) == {
        Code.APPLIED: 250,
        Code.INSUFFICIENT: 150,
    }
    balance = await books.balance(books.user)
    assert (balance.available_microusdc, balance.held_microusdc) == (0, 25_000_000)


async def test_writers_of_several_processes_cannot_overspend_together(books: Books) -> None:
    others = [await store.open_writer(books.pool, f"writer{n}") for n in range(3)]
    groups = [GroupCommit(books.pool, writer, batch_size=7) for writer in (books.writer, *others)]
    for group in groups:
        await group.__aenter__()
    try:
        outcomes = await asyncio.gather(
            *(
                groups[n % len(groups)].submit(factories.hold(books.user, 100_000))
                for n in range(400)
            )
        )
    finally:
        for group in groups:
            await group.__aexit__(None, None, None)
    assert sum(outcome.code is Code.APPLIED for outcome in outcomes) == 250
    assert (await books.balance(books.user)).available_microusdc == 0


async def test_what_arrives_during_a_commit_travels_together(books: Books) -> None:
    async with GroupCommit(books.pool, books.writer) as group:
        await asyncio.gather(*(group.submit(factories.hold(books.user, 1)) for _ in range(300)))
    # Half of what waits goes first, then whatever waits while that is on its way.
    assert await books.fetchval("select array_agg(n order by seq) from settlement.batch") == [
        1,  # the deposit
        150,
        150,
    ]


async def test_a_poisoned_operation_fails_alone(books: Books) -> None:
    # Only a bug makes such a thing: nobody can build it with the types we have.
    poison = Hold(
        hold_id=uuid4(),
        account=books.user,
        amount_microusdc=MicroUsdc(1),
        purpose=_Poison("poison"),  # pyright: ignore[reportArgumentType]
    )
    good = [factories.hold(books.user, 1) for _ in range(20)]
    async with GroupCommit(books.pool, books.writer) as group:
        answers = await asyncio.gather(
            *(group.submit(hold) for hold in [*good[:9], poison, *good[9:]]),
            return_exceptions=True,
        )
    assert isinstance(answers[9], asyncpg.CheckViolationError)
    others = [*answers[:9], *answers[10:]]
    assert all(isinstance(each, store.Outcome) and each.code is Code.APPLIED for each in others)


async def test_a_malformed_operation_never_reaches_the_others(books: Books) -> None:
    async with GroupCommit(books.pool, books.writer) as group:
        with pytest.raises(OperationMalformed):
            await group.submit(factories.hold(books.user, 0))
        assert (await group.submit(factories.hold(books.user, 1))).done


async def test_a_connection_lost_after_the_commit_is_answered_by_a_replay(books: Books) -> None:
    hold = factories.hold(books.user, 1_000)
    charge = factories.charge(hold.hold_id, books.user, books.host, 999)
    pool = await _LosesAnswers.open(books)
    async with GroupCommit(pool, books.writer) as group:  # pyright: ignore[reportArgumentType]
        assert (await group.submit(hold)).code is Code.REPLAYED
        assert (await group.submit(charge)).code is Code.APPLIED
    await pool.close()
    assert (await books.balance(books.user)).debits_microusdc == 999


async def test_a_backend_killed_mid_commit_is_survived(books: Books) -> None:
    """The batch waits for a lock another session has; its backend is killed while it waits."""
    hold = factories.hold(books.user, 1_000)
    blocker = await asyncpg.connect(books.database.dsn)
    held = blocker.transaction()
    await held.start()
    await blocker.execute("select from settlement.writer for update")
    async with GroupCommit(books.pool, books.writer) as group:
        waiting = asyncio.create_task(group.submit(hold))
        while not await blocker.fetchval(_KILL_WAITERS):
            await asyncio.sleep(0.01)
            # Within a transaction the list of backends would stay as it was when first read.
            await blocker.execute("select pg_stat_clear_snapshot()")
        await held.rollback()
        assert (await waiting).done
    await blocker.close()
    assert (await books.balance(books.user)).held_microusdc == 1_000


async def test_a_database_that_stays_away_is_told(books: Books) -> None:
    pool = await open_pool(books.database.dsn, role="pod_coordinator", application="away", size=1)
    blocker = await asyncpg.connect(books.database.dsn)
    async with blocker.transaction():
        await blocker.execute("select from settlement.writer for update")
        async with pool.acquire() as connection:
            await connection.execute("set lock_timeout = '50ms'")
        async with GroupCommit(_Hasty(pool), books.writer, give_up_seconds=0.1) as group:  # pyright: ignore[reportArgumentType]
            with pytest.raises(DatabaseUnavailable):
                await group.submit(factories.hold(books.user, 1))
    await blocker.close()
    await pool.close()
    assert (await books.balance(books.user)).held_microusdc == 0


async def test_a_full_queue_refuses_at_once(books: Books) -> None:
    group = GroupCommit(books.pool, books.writer, queue_size=2)
    async with group:
        waiting = [
            asyncio.create_task(group.submit(factories.hold(books.user, 1))) for _ in range(3)
        ]
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(answer) for answer in answers].count(WriterBusy) == 1
        assert (await group.submit(factories.hold(books.user, 1))).done


async def test_a_second_life_fences_the_first(books: Books) -> None:
    async with GroupCommit(books.pool, books.writer) as group:
        assert (await group.submit(factories.hold(books.user, 1))).done
        second = await store.open_writer(books.pool, books.writer.name)
        with pytest.raises(WriterFenced):
            await group.submit(factories.hold(books.user, 1))
        with pytest.raises(WriterFenced):
            await group.submit(factories.hold(books.user, 1))
    assert await books.codes(factories.hold(books.user, 1), writer=second) == ["applied"]


async def test_leaving_commits_what_was_submitted(books: Books) -> None:
    async with GroupCommit(books.pool, books.writer) as group:
        tasks = [
            asyncio.create_task(group.submit(factories.hold(books.user, 1))) for _ in range(150)
        ]
        await asyncio.sleep(0)  # let them be submitted; none is committed yet
        assert group.waiting == 150
    assert all(outcome.done for outcome in await asyncio.gather(*tasks))
    with pytest.raises(WriterClosed):
        await group.submit(factories.hold(books.user, 1))


async def test_a_caller_who_goes_away_does_not_stop_the_others(books: Books) -> None:
    async with GroupCommit(books.pool, books.writer) as group:
        gone = asyncio.create_task(group.submit(factories.hold(books.user, 1)))
        stays = asyncio.create_task(group.submit(factories.hold(books.user, 2)))
        await asyncio.sleep(0)
        gone.cancel()
        assert (await stays).done
    assert (await books.balance(books.user)).held_microusdc == 3


async def test_posting_two_ways_at_once_never_deadlocks(books: Books) -> None:
    """One writer goes from A to B, the other from B to A."""
    other = await store.open_writer(books.pool, "indexer")
    there = [factories.post(_move(books.user, books.host)) for _ in range(40)]
    back = [factories.post(_move(books.host, books.user)) for _ in range(40)]

    async def run(writer: store.Writer, posts: list[store.Operation]) -> None:
        for post in posts:
            async with transaction(books.pool) as tx:
                await store.apply(tx, writer, [post])

    async with asyncio.timeout(30):
        await asyncio.gather(run(books.writer, [*there]), run(other, [*back]))
    assert await books.codes(*there) == ["replayed"] * 40


async def test_two_writers_taking_one_name_at_once_get_one_answer_each(books: Books) -> None:
    """The second waits for the first's insert, finds the name taken and is done again."""
    other = await store.open_writer(books.pool, "indexer")
    hold = factories.hold(books.user, 5, purpose=HoldPurpose.PAYOUT)
    elsewhere = factories.hold(books.host, 5, hold_id=hold.hold_id, purpose=HoldPurpose.PAYOUT)
    await books.apply(factories.deposit(books.host, 10))
    async with GroupCommit(books.pool, books.writer) as one, GroupCommit(books.pool, other) as two:
        for _ in range(20):
            answers = await asyncio.gather(one.submit(hold), two.submit(elsewhere))
            await asyncio.gather(
                one.submit(Void(hold_id=hold.hold_id, reason="again")), return_exceptions=True
            )
            assert Code.CONFLICT in {answer.code for answer in answers}
            hold = factories.hold(books.user, 5, purpose=HoldPurpose.PAYOUT)
            elsewhere = factories.hold(
                books.host, 5, hold_id=hold.hold_id, purpose=HoldPurpose.PAYOUT
            )


async def test_huge_holds_do_not_break_their_batch(books: Books) -> None:
    """Added up they do not fit a number; each still gets its own answer."""
    await books.apply(factories.deposit(books.host, 2**63 - 1 - 5 * 10**15))
    huge = [factories.hold(books.user, 2**63 - 1) for _ in range(3)]
    below = [factories.hold(factories.TILL, 10**15, purpose=HoldPurpose.PAYOUT) for _ in range(9)]
    road = EverydayRoad(books.writer)
    async with calling(books.pool) as conn:
        for batch, expected in ((huge, {"insufficient"}), (below, {"applied", "overflow"})):
            answers = await road.apply(conn, batch)
            assert {answer.code.value for answer in answers} == expected


_KILL_WAITERS = """
select bool_or(pg_terminate_backend(pid)) from pg_stat_activity
 where wait_event_type = 'Lock' and query ~ '(apply|settle)_v2' and datname = current_database()
"""


class _Poison(str):
    """A purpose the chart has no word for."""

    @property
    def value(self) -> str:
        return str(self)


def _move(debit: AccountName, credit: AccountName) -> "factories.Transfer":
    return factories.transfer(debit, credit, 1)


class _LosesAnswers:
    """A pool whose first answer to a batch is lost, after the database has committed it."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._lost = False

    @classmethod
    async def open(cls, books: Books) -> "_LosesAnswers":
        return cls(await open_pool(books.database.dsn, role="pod_coordinator", application="lost"))

    def get_max_size(self) -> int:
        return self._pool.get_max_size()

    def acquire(self) -> "_LosingAcquire":
        lose, self._lost = not self._lost, True
        return _LosingAcquire(self._pool, lose=lose)

    async def close(self) -> None:
        await self._pool.close()


class _LosingAcquire:
    def __init__(self, pool: Pool, *, lose: bool) -> None:
        self._context = pool.acquire()
        self._lose = lose

    async def __aenter__(self) -> object:
        connection = await self._context.__aenter__()
        return _LosingConnection(connection) if self._lose else connection

    async def __aexit__(self, *raised: object) -> None:
        await self._context.__aexit__(None, None, None)


class _LosingConnection:
    """Answers as the connection does, but for what it was asked to write."""

    def __init__(self, connection: "PoolConnectionProxy[asyncpg.Record]") -> None:
        self._connection = connection

    async def fetch(self, query: str, *arguments: object) -> object:
        return await self._connection.fetch(query, *arguments)

    async def fetchrow(self, query: str, *arguments: object) -> object:
        assert await self._connection.fetchrow(query, *arguments) is not None
        raise ConnectionResetError("the answer never arrived")


class _Hasty:
    """A pool whose connections wait 50 ms for a lock."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def get_max_size(self) -> int:
        return self._pool.get_max_size()

    def acquire(self) -> "_HastyAcquire":
        return _HastyAcquire(self._pool)


class _HastyAcquire:
    def __init__(self, pool: Pool) -> None:
        self._context = pool.acquire()

    async def __aenter__(self) -> object:
        connection = await self._context.__aenter__()
        await connection.execute("set lock_timeout = '50ms'")
        return connection

    async def __aexit__(self, *raised: object) -> None:
        await self._context.__aexit__(None, None, None)
