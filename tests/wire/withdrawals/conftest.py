"""A coordinator beside a real chain, with operators who have earned and users who have paid in."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.chain.conftest import localnet, rpc
from tests.chain.indexer.conftest import World, uninitialized, world
from tests.wire.payment_requests.counter import Counter, counter_at

__all__ = ["localnet", "rpc", "uninitialized", "world"]


@pytest.fixture
async def counter(world: World, tmp_path: Path) -> AsyncGenerator[Counter]:
    """Money can be taken out here."""
    async with counter_at(
        world,
        tmp_path,
        POD_COORDINATOR_WITHDRAWALS_PER_MINUTE="10000",
        POD_WITHDRAWAL_FIRST_USE_DELAY_SECONDS="0",
    ) as one:
        yield one
