"""Who follows the books by numbers misses nothing that commits late, and sees nothing twice."""

import asyncio
from collections import Counter

from settlement.db.pool import open_pool, reading, transaction
from settlement.ledger import store
from settlement.ledger.feed import advanced, batches_after
from settlement.ledger.writer import GroupCommit
from tests import factories
from tests.database.conftest import Books


async def test_a_batch_that_commits_late_is_not_passed_over(books: Books) -> None:
    """A later batch of another writer is seen first; the late one still comes."""
    other = await store.open_writer(books.pool, "other")
    async with reading(books.pool) as conn:
        cut = advanced({}, await batches_after(conn, {}))
    async with transaction(books.pool) as late:
        await store.apply(late, books.writer, [factories.hold(books.user, 1)])
        await books.apply(factories.deposit(books.host, 5), writer=other)
        async with reading(books.pool) as conn:
            seen = await batches_after(conn, cut)
            assert {batch.writer_id for batch in seen} == {other.writer_id}
            cut = advanced(cut, seen)
    async with reading(books.pool) as conn:
        seen = await batches_after(conn, cut)
        assert [batch.writer_id for batch in seen] == [books.writer.writer_id]
        assert await batches_after(conn, advanced(cut, seen)) == []


async def test_following_while_writers_write_sees_each_batch_once(books: Books) -> None:
    writers = [books.writer, await store.open_writer(books.pool, "second")]
    pool = await open_pool(books.database.dsn, role="pod_finance", application="reader", size=1)
    counted: Counter[tuple[int, int]] = Counter()
    cut: dict[int, int] = {}
    done = asyncio.Event()

    async def follow() -> None:
        nonlocal cut
        while True:
            ended = done.is_set()
            async with reading(pool) as conn:
                seen = await batches_after(conn, cut, limit=3)
            counted.update((batch.writer_id, batch.head.seq) for batch in seen)
            cut = advanced(cut, seen)
            if ended and not seen:
                return

    async def write(writer: store.Writer) -> None:
        async with GroupCommit(books.pool, writer, batch_size=2) as group:
            await asyncio.gather(*(group.submit(factories.hold(books.user, 1)) for _ in range(60)))

    reader = asyncio.create_task(follow())
    await asyncio.gather(*(write(writer) for writer in writers))
    done.set()
    await reader
    await pool.close()
    assert set(counted.values()) == {1}
    assert len(counted) == await books.fetchval("select count(*) from settlement.batch")
