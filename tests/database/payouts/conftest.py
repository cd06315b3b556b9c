"""A world with nothing in it yet."""

from collections.abc import AsyncGenerator

import pytest

from tests.conftest import Database
from tests.database.payouts.world import World, open_world


@pytest.fixture
async def world(database: Database) -> AsyncGenerator[World]:
    async with open_world(database.dsn) as world:
        yield world
