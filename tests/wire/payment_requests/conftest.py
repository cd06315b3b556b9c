"""A chain, a database and a coordinator that takes payment requests for both."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.chain.conftest import localnet, rpc
from tests.chain.indexer.conftest import World, uninitialized, world
from tests.wire.payment_requests.counter import Counter, counter_at

__all__ = ["localnet", "rpc", "uninitialized", "world"]


@pytest.fixture
async def counter(world: World, tmp_path: Path) -> AsyncGenerator[Counter]:
    """People can pay here."""
    async with counter_at(world, tmp_path) as one:
        yield one
