"""A world with nobody in it yet."""

from collections.abc import AsyncGenerator

import pytest

from tests.database.cases.world import World, open_world
from tests.database.conftest import Books


@pytest.fixture
async def world(books: Books) -> AsyncGenerator[World]:
    async with open_world(books) as made:
        yield made
