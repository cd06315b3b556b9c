"""The check of the books from their history: right books pass, each damage is named where it is.

The damage is done the only way it can be: by a superuser who switches the triggers off.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest

from localnet import postgres
from settlement.db.pool import Pool, open_pool
from settlement.ledger import accounts, store, verify_read, verify_state
from settlement.ledger.operations import HoldPurpose
from settlement.ledger.verify import Pass, Step, Verdict, verify
from settlement.ledger.verify_state import Progress
from tests import conftest, factories
from tests.conftest import Database
from tests.database.damages import DAMAGES, lived, names


@pytest.fixture
async def loose(
    postgres_cluster: postgres.Cluster, migrated_template: str
) -> AsyncIterator[Database]:
    """A database that may be left damaged."""
    async for database in conftest._database(postgres_cluster, template=migrated_template):
        yield database


@pytest.fixture
async def reader(database: Database) -> AsyncIterator[Pool]:
    """Connections that may only read."""
    opened = await open_pool(database.dsn, role="pod_finance", application="test")
    yield opened
    await opened.close()


def ignored(step: Step) -> None:
    """Nobody watches."""
    assert step.done >= 0


async def checked(pool: Pool, *, page_size: int = 1_000) -> Verdict:
    """A check from the beginning."""
    return await verify(pool, Progress(books="these"), ignored, page_size=page_size)


async def test_right_books_are_right(database: Database, pool: Pool, reader: Pool) -> None:
    books = await lived(database, pool)
    first = await checked(reader)
    assert first == Verdict(
        wrong=None, batches=6, rows=18, seals=0, from_seal=0, holds=7, accounts=first.accounts
    )
    assert first.accounts == await books.fetchval("select count(*) from settlement.account")
    assert await checked(reader, page_size=2) == first


async def test_a_chain_of_an_old_era_stays_verifiable(
    database: Database, pool: Pool, reader: Pool
) -> None:
    books = await lived(database, pool)
    await books.execute("select settlement.begin_era_v1('test', 'restored')", role="pod_settlement")
    again = await store.open_writer(pool, "coordinator")
    assert again.writer_id != books.writer.writer_id
    lease = factories.hold(books.user, 50, purpose=HoldPurpose.LEASE)
    part = factories.request_id()
    await books.apply(lease, factories.deposit(books.user, 3), writer=again)
    paid = factories.charge(part, books.user, books.host, 50, hold_id=lease.hold_id)
    assert await books.codes(paid, writer=again) == ["applied"]
    verdict = await checked(reader)
    assert (verdict.wrong, verdict.batches, verdict.rows) == (None, 8, 21)


async def test_a_lease_that_another_writer_gave_back(
    database: Database, pool: Pool, reader: Pool
) -> None:
    books = await lived(database, pool)
    lease = factories.hold(books.user, 50, purpose=HoldPurpose.LEASE)
    over = replace(lease, expires_at=factories.NOW - timedelta(days=9_999))
    part = factories.charge(
        factories.request_id(), books.user, books.host, 9, hold_id=lease.hold_id
    )
    await books.apply(over, part)
    paying = await open_pool(database.dsn, role="pod_settlement", application="test")
    try:
        settlement = await store.open_writer(paying, "settlement")
        assert await store.give_back_expired(paying, settlement) == [lease.hold_id]
    finally:
        await paying.close()
    verdict = await checked(reader)
    assert (verdict.wrong, verdict.holds) == (None, 8)


async def test_no_row_stands_in_a_partition_of_another_day(
    database: Database, pool: Pool, reader: Pool
) -> None:
    """Not even for a superuser who switches the triggers off: the partition's bounds stay."""
    books = await lived(database, pool)
    today, tomorrow = [
        await books.fetchval(
            "select partition from settlement.charge_day where day = current_date + $1::int", ahead
        )
        for ahead in (0, 1)
    ]
    for statement in (
        f"insert into settlement.{tomorrow} select * from settlement.{today}",
        f"update settlement.{today} set request_id = '{UUID(int=7 << 76)}'",
    ):
        with pytest.raises(asyncpg.CheckViolationError, match="partition constraint"):
            await books.execute(f"set session_replication_role = replica; {statement}")
    assert (await checked(reader)).wrong is None


async def test_empty_books_are_right(database: Database, reader: Pool) -> None:
    assert (await checked(reader)).wrong is None


@pytest.mark.parametrize("name", DAMAGES)
async def test_each_damage_is_named(name: str, loose: Database) -> None:
    damage = DAMAGES[name]
    writing = await open_pool(loose.dsn, role="pod_coordinator", application="test")
    reading = await open_pool(loose.dsn, role="pod_finance", application="test")
    try:
        books = await lived(loose, writing)
        await books.execute(f"set session_replication_role = replica; {damage.statement}")
        wrong = (await checked(reading)).wrong
        assert (await checked(reading, page_size=1)).wrong == wrong
    finally:
        await writing.close()
        await reading.close()
    assert wrong is not None
    assert names(wrong, damage), wrong


class Stopped(Exception):
    """The watcher had enough."""


def stopping_after(steps: int) -> Callable[[Step], None]:
    """A watcher that stops the check at its n-th step."""
    left = [steps]

    def told(step: Step) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Stopped(step)

    return told


async def test_a_stopped_check_goes_on_where_it_was(
    database: Database, pool: Pool, reader: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify_read, "_BATCHES_PER_PAGE", 1)
    await lived(database, pool)
    told = await checked(reader, page_size=2)
    progress = Progress(books="these")
    stops = 0
    while True:
        try:
            again = await verify(reader, progress, stopping_after(3), page_size=2)
            break
        except Stopped:
            stops += 1
            before = verify_state.dump(progress)
            progress = verify_state.load(before, books="these")
            assert verify_state.dump(progress) == before
    assert again == told
    assert stops > 2


async def test_damage_behind_the_stop_is_found_after_it(
    loose: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify_read, "_BATCHES_PER_PAGE", 1)
    writing = await open_pool(loose.dsn, role="pod_coordinator", application="test")
    reading = await open_pool(loose.dsn, role="pod_finance", application="test")
    progress = Progress(books="these")
    try:
        books = await lived(loose, writing)
        damage = DAMAGES["another operator"]
        await books.execute(f"set session_replication_role = replica; {damage.statement}")
        with pytest.raises(Stopped):
            await verify(reading, progress, stopping_after(2))
        assert 0 < progress.fold.batches < 6
        progress = verify_state.load(verify_state.dump(progress), books="these")
        resumed = await verify(reading, progress, ignored)
        assert resumed.wrong == (await checked(reading)).wrong
        assert resumed.wrong is not None
    finally:
        await writing.close()
        await reading.close()


async def test_rows_that_arrive_meanwhile_do_not_disturb_it(
    database: Database, pool: Pool, reader: Pool
) -> None:
    books = await lived(database, pool)
    written = 0
    finished = asyncio.Event()

    async def busy() -> None:
        nonlocal written
        while not finished.is_set():
            name = accounts.user(uuid4())
            await books.open(name)
            held = factories.hold(books.user, 20)
            await books.apply(factories.deposit(name, 5), held, factories.hold(name, 1))
            await books.apply(factories.charge(held.hold_id, books.user, books.host, 11))
            written += 2

    async def check() -> None:
        try:
            while written < 200:
                assert (await checked(reader, page_size=3)).wrong is None
        finally:
            finished.set()

    await asyncio.gather(busy(), check())
    last = await checked(reader)
    assert (last.wrong, last.batches) == (None, 6 + written)


async def test_each_pass_is_told(database: Database, pool: Pool, reader: Pool) -> None:
    await lived(database, pool)
    steps: list[Step] = []
    await verify(reader, Progress(books="these"), steps.append)
    assert {step.pass_ for step in steps} == set(Pass)
