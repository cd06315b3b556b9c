"""What the ledger says about requests, read as finance reads it: with a role that cannot write."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from cli.story.report import StoryFailed
from settlement.db.pool import Pool, open_pool, reading, retried
from settlement.db.sql import load

_SQL = load("cli.story", "books.sql")
_ATTEMPTS = 11  # with doubling pauses: most of a minute, for a database that is restarted


@dataclass(frozen=True, kw_only=True)
class Charge:
    """What was paid and how it was shared, in microunits."""

    gross: int
    operator: int
    treasury: int


class Books:
    """The ledger, for reading."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def charge(self, request_id: str) -> Charge:
        """The charge of a request. Raises `StoryFailed` when the books do not know it."""
        row = await self._row("get_charge", request_id)
        if row is None:
            raise StoryFailed(f"request {request_id} was answered, and is not in the books")
        gross, operator, treasury = row
        return Charge(gross=gross, operator=operator, treasury=treasury)

    async def spent(self, request_id: str) -> tuple[Charge, int]:
        """What the user of a request has paid in all, and in how many requests."""
        row = await self._row("get_spent", request_id)
        assert row is not None, "an aggregate always has a row"
        gross, operator, treasury, requests = row
        return Charge(gross=gross, operator=operator, treasury=treasury), requests

    async def _row(self, query: str, request_id: str) -> tuple[int, ...] | None:
        async def once() -> tuple[int, ...] | None:
            async with reading(self._pool) as connection:
                row = await connection.fetchrow(_SQL[query], UUID(request_id))
            return None if row is None else tuple(row.values())

        return await retried(once, attempts=_ATTEMPTS)


@asynccontextmanager
async def open_books(dsn: str) -> AsyncGenerator[Books]:
    """Connect as finance."""
    pool = await open_pool(dsn, role="pod_finance", application="demo")
    try:
        yield Books(pool)
    finally:
        await pool.close()
