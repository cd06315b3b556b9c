"""The marketplace that the wire is tested against."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.conftest import Database
from tests.wire.market import Market, market_at


@pytest.fixture
async def market(database: Database, tmp_path: Path) -> AsyncGenerator[Market]:
    """The real coordinator over a fresh database; the books are checked after the test."""
    async with market_at(database.dsn, tmp_path) as one:
        yield one
