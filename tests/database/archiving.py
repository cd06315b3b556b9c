"""Books with days that are over, and what archiving them needs: another role's pool, and seals."""

import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest

from settlement.db.pool import Limits, Pool, open_pool
from settlement.ledger import archive, seal
from settlement.ledger.archive import Step
from settlement.ledger.archive_manifest import Manifest
from settlement.ledger.operations import Charge, Hold, HoldPurpose, Operation, Writer
from settlement.ledger.seal_rows import Seal
from tests import factories
from tests.conftest import Database
from tests.database import days
from tests.database.conftest import Books

FIRST = 6  # days ago
_PATIENT = Limits(lock_ms=2_000)


@asynccontextmanager
async def settling(database: Database) -> AsyncGenerator[Pool]:
    """Connections in the role that seals and archives."""
    pool = await open_pool(
        database.dsn, role="pod_settlement", application="test", size=3, limits=_PATIENT
    )
    try:
        yield pool
    finally:
        await pool.close()


@pytest.fixture
async def past(books: Books, tmp_path: Path) -> AsyncIterator["Past"]:
    """Books with some days behind them."""
    await days.open_days(books.database.dsn, days.today() - FIRST * days.DAY, days.today())
    async with settling(books.database) as pool:
        yield Past(books=books, pool=pool, directory=tmp_path / "archive")


@dataclass(frozen=True, kw_only=True)
class Past:
    """Books that are some days old."""

    books: Books
    pool: Pool  # of the role that archives
    directory: Path

    @property
    def first(self) -> date:
        """The oldest day at hand."""
        return days.today() - FIRST * days.DAY

    def day(self, after: int = 0) -> date:
        """So many days after the oldest."""
        return self.first + after * days.DAY

    async def trade(
        self, day: date, count: int, *, writer: Writer | None = None, seed: int = 1
    ) -> list[Charge]:
        """Requests of that day, in several batches: from a lease, holds of their own, or neither.

        Now and then money comes in between.
        """
        books, chance = self.books, random.Random(seed)
        lease = factories.hold(books.user, 50_000, purpose=HoldPurpose.LEASE)
        await books.apply(lease, writer=writer)
        done: list[Charge] = []
        waiting: list[Operation] = []
        for name in days.ids_of(day, count):
            kind = chance.choice(("lease", "lease", "own", "none"))
            own = factories.hold(books.user, 1_000, hold_id=name)
            hold: Hold | None = {"lease": lease, "own": own}.get(kind)
            if hold is own:
                waiting.append(own)
            paid = factories.charge(
                name,
                books.user,
                books.host,
                chance.randrange(300),
                hold_id=None if hold is None else hold.hold_id,
            )
            done.append(paid)
            waiting.append(paid)
            if chance.random() < 0.3:
                waiting.append(factories.deposit(books.user, 7))
            if len(waiting) > chance.randrange(12):
                assert all(o.done for o in await books.apply(*waiting, writer=writer))
                waiting.clear()
        assert all(o.done for o in await books.apply(*waiting, writer=writer))
        return done

    async def seal(self) -> Seal:
        """Seal all there is."""
        made = await seal.make_seal(self.pool)
        assert made is not None
        return made

    async def archive(self, day: date) -> Manifest:
        """Archive a day."""
        return await archive.archive_day(self.pool, self.directory, day, ignore)


def ignore(step: Step) -> None:
    """Nobody watches."""
