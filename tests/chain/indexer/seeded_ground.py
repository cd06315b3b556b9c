"""What a seeded run stands on: the same chain for all of them, and a pool in each role."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from localnet.records import Genesis
from localnet.seed import Keys
from localnet.settings import Settings
from settlement.chain.program import Deployment
from settlement.chain.rpc import RetryPolicy, RpcRefused
from settlement.db.pool import Pool, open_pool
from settlement.errors import Unavailable
from settlement.reconcile.frontier import FrontierMoved

CLUSTER: Final = "localnet"
USER: Final = UUID(int=1)
OPERATOR: Final = UUID(int=2)
# Nothing gets better by waiting for a clock here.
RETRY: Final = RetryPolicy(
    attempts=3, first_pause_seconds=0.0002, longest_pause_seconds=0.001, total_seconds=0.05
)
AWAY: Final = (Unavailable, RpcRefused, FrontierMoved)


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What all runs have in common: wallets, program, and the first record of the chain."""

    settings: Settings
    keyring: Keys
    genesis: Genesis
    deployment: Deployment


@dataclass(frozen=True, kw_only=True)
class Pools:
    """A pool in each role."""

    coordinator: Pool
    indexer: Pool
    settlement: Pool
    signer: Pool


@asynccontextmanager
async def pools_of(dsn: str) -> AsyncGenerator[Pools]:
    """Connected as the processes are, until the block ends."""
    async with AsyncExitStack() as stack:
        made: dict[str, Pool] = {}
        for role in ("coordinator", "indexer", "settlement", "signer"):
            made[role] = await open_pool(dsn, role=f"pod_{role}", application=role, size=3)
            stack.callback(made[role].terminate)
        yield Pools(**made)
