"""A database that was restored from an older copy: who saw more than it has posts no more.

A new era is then begun; every name begins a new chain, and two histories that parted at the restore
are never taken for one.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg
import pytest

from localnet import postgres
from settlement.db.pool import Pool, open_pool, transaction
from settlement.ledger import accounts, store
from settlement.ledger.operations import HoldPurpose, Void, Writer
from settlement.ledger.store import WriterFenced
from settlement.ledger.verify import verify
from settlement.ledger.verify_state import Progress
from settlement.ledger.writer import GroupCommit
from tests import factories
from tests.conftest import Database, check_books
from tests.database.ledger_drills.rows import rows_of

USER = accounts.user(factories.request_id())
HOST = accounts.host(factories.request_id())


@dataclass(kw_only=True)
class Restorable:
    """A database that can go back to where it was, under the name that it had."""

    admin: "asyncpg.Connection[asyncpg.Record]"
    database: Database

    async def back_up(self) -> None:
        """Copy it, as it is now."""
        async with self._without_anybody():
            await self.admin.execute(f'create database "{self._copy}" template "{self._name}"')

    async def restore(self) -> None:
        """The copy takes its name; what came since is lost."""
        async with self._without_anybody():
            await self.admin.execute(f'alter database "{self._name}" rename to "{self._lost}"')
            await self.admin.execute(f'alter database "{self._copy}" rename to "{self._name}"')
        await self.admin.execute(f'alter database "{self._lost}" allow_connections true')

    async def forget(self) -> None:
        """Drop what is left over."""
        for name in (self._copy, self._lost):
            await self.admin.execute(f'drop database if exists "{name}" with (force)')

    @property
    def lost_dsn(self) -> str:
        """What was there before the restore."""
        return self.database.dsn.replace(self._name, self._lost)

    @property
    def _name(self) -> str:
        return self.database.name

    @property
    def _copy(self) -> str:
        return f"{self._name}_copy"

    @property
    def _lost(self) -> str:
        return f"{self._name}_lost"

    @asynccontextmanager
    async def _without_anybody(self) -> AsyncGenerator[None]:
        """A pool that lost its connections opens new ones as soon as it can."""
        await self.admin.execute(f'alter database "{self._name}" allow_connections false')
        await self.admin.execute(
            "select pg_terminate_backend(pid, 10000) from pg_stat_activity where datname = $1",
            self._name,
        )
        yield
        await self.admin.execute(f'alter database "{self._name}" allow_connections true')


@pytest.fixture
async def restorable(
    database: Database, postgres_cluster: postgres.Cluster
) -> AsyncIterator[Restorable]:
    admin = await asyncpg.connect(postgres_cluster.dsn())
    made = Restorable(admin=admin, database=database)
    yield made
    await made.forget()
    await admin.close()


@pytest.fixture
async def writer(pool: Pool) -> Writer:
    """Opened by the process that will see its books restored."""
    opened = await store.open_writer(pool, "coordinator")
    async with transaction(pool) as tx:
        await store.open_account(tx, USER)
        await store.open_account(tx, HOST)
    await applied(pool, opened, factories.deposit(USER, 1_000))
    return opened


async def applied(pool: Pool, writer: Writer, operation: store.Operation) -> str:
    """What `apply` tells one who remembers nothing."""
    async with transaction(pool) as tx:
        (outcome,) = await store.apply(tx, writer, [operation])
    return outcome.code.value


async def _nothing(pool: Pool, writer: Writer) -> None:
    """The copy is as it was."""


async def _as_many(pool: Pool, writer: Writer) -> None:
    """Somebody of the same epoch, who remembers nothing, has made as many other batches on it."""
    for amount in (11, 12):
        assert await applied(pool, writer, factories.hold(USER, amount)) == "applied"


async def _more(pool: Pool, writer: Writer) -> None:
    """And one more than there were."""
    await _as_many(pool, writer)
    assert await applied(pool, writer, factories.hold(USER, 13)) == "applied"


@pytest.mark.parametrize("meanwhile", [_nothing, _as_many, _more], ids=["behind", "even", "ahead"])
async def test_who_saw_what_is_lost_posts_no_more(
    restorable: Restorable,
    pool: Pool,
    writer: Writer,
    meanwhile: Callable[[Pool, Writer], Awaitable[None]],
) -> None:
    """It is of the epoch that the copy knows: only what it saw tells it that something is gone."""
    await restorable.back_up()
    async with GroupCommit(pool, writer) as group:
        for amount in (1, 2):
            assert (await group.submit(factories.hold(USER, amount))).done
        await restorable.restore()
        other = await open_pool(
            restorable.database.dsn, role="pod_coordinator", application="test", size=1
        )
        await meanwhile(other, writer)
        await other.close()
        before = await rows_of(restorable.database.dsn)
        for _ in range(2):
            with pytest.raises(WriterFenced):
                await group.submit(factories.hold(USER, 3))
    assert await rows_of(restorable.database.dsn) == before


async def test_who_saw_only_what_is_there_goes_on(
    restorable: Restorable, pool: Pool, writer: Writer
) -> None:
    """The copy was made after its last batch: nothing of what it saw is lost."""
    async with GroupCommit(pool, writer) as group:
        assert (await group.submit(factories.hold(USER, 1))).done
        await restorable.back_up()
        await restorable.restore()
        assert (await group.submit(factories.hold(USER, 2))).done


async def test_a_new_era_fences_everybody_and_begins_new_chains(
    restorable: Restorable, pool: Pool, writer: Writer
) -> None:
    lease = factories.hold(USER, 100, purpose=HoldPurpose.LEASE)
    await applied(pool, writer, lease)
    payout = factories.hold(USER, 50, purpose=HoldPurpose.PAYOUT)
    await applied(pool, writer, payout)
    await restorable.back_up()
    await applied(pool, writer, factories.hold(USER, 1))
    await restorable.restore()
    settlement = await open_pool(
        restorable.database.dsn, role="pod_settlement", application="test", size=1
    )
    assert await store.begin_era(settlement, actor="test", reason="restored") == 2
    await settlement.close()
    with pytest.raises(WriterFenced):
        await applied(pool, writer, factories.hold(USER, 1))
    renewed = await store.open_writer(pool, writer.name)
    assert renewed.writer_id != writer.writer_id
    assert (renewed.head.seq, renewed.epoch, renewed.treasury) == (0, 1, writer.treasury)
    assert await applied(pool, renewed, factories.hold(USER, 2)) == "applied"
    # What was set aside for requests of the era before is spent no more; anybody gives it back.
    late = factories.charge(factories.request_id(), USER, HOST, 1, hold_id=lease.hold_id)
    assert await applied(pool, renewed, late) == "conflict"
    void = Void(hold_id=lease.hold_id, reason="gone")
    assert await applied(pool, renewed, void) == "applied"
    assert await applied(pool, renewed, factories.payment(payout.hold_id, USER, 50)) == "applied"
    await check_books(restorable.database.dsn)
    finance = await open_pool(
        restorable.database.dsn, role="pod_finance", application="test", size=1
    )
    verdict = await verify(finance, Progress(books="restored"), lambda _: None)
    await finance.close()
    assert verdict.wrong is None
    assert await _links(restorable.database.dsn) != await _links(restorable.lost_dsn)


async def test_two_histories_that_parted_share_no_batch_after(
    restorable: Restorable, pool: Pool, writer: Writer
) -> None:
    """The same again on both: by the era alone the hashes differ."""
    await restorable.back_up()
    hold = factories.hold(USER, 1)
    await applied(pool, writer, hold)
    await restorable.restore()
    settlement = await open_pool(
        restorable.database.dsn, role="pod_settlement", application="test", size=1
    )
    await store.begin_era(settlement, actor="test", reason="restored")
    await settlement.close()
    assert await applied(pool, await store.open_writer(pool, writer.name), hold) == "applied"
    restored, lost = [await _links(dsn) for dsn in (restorable.database.dsn, restorable.lost_dsn)]
    assert len(restored & lost) == 1, "the deposit, from before"
    assert len(restored | lost) == 3


async def _links(dsn: str) -> set[bytes]:
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch("select hash from settlement.batch")
    finally:
        await connection.close()
    return {row["hash"] for row in rows}
