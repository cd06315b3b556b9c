"""The check of the books from their history: right books pass, each damage is named where it is.

The damage is done the only way it can be: by a superuser who switches the triggers off.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from uuid import uuid4

import pytest

from localnet import postgres
from settlement.db.pool import Pool, open_pool
from settlement.ledger import accounts, verify_read, verify_state
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
    assert first == Verdict(wrong=None, batches=4, rows=11, holds=5, accounts=first.accounts)
    assert first.accounts == await books.fetchval("select count(*) from settlement.account")
    assert await checked(reader, page_size=2) == first


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
            await verify(reading, progress, stopping_after(3))
        assert 0 < progress.fold.batches < 4
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
    assert (last.wrong, last.batches) == (None, 4 + written)


async def test_each_pass_is_told(database: Database, pool: Pool, reader: Pool) -> None:
    await lived(database, pool)
    steps: list[Step] = []
    await verify(reader, Progress(books="these"), steps.append)
    assert {step.pass_ for step in steps} == set(Pass)
