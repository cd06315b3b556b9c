"""A running embedded chain per test."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from localnet.embedded import RunningChain, cluster_server, quick_settings
from tests.chain.localnet.calls import Rpc


@pytest.fixture
async def localnet(tmp_path: Path) -> AsyncGenerator[RunningChain]:
    """The wallets, mint and program of localnet.toml, with slots of 20 ms."""
    settings = quick_settings(Path("localnet.toml"))
    async with cluster_server(settings, data=tmp_path / "chain", keys=tmp_path / "keys") as chain:
        yield chain


@pytest.fixture
async def rpc(localnet: RunningChain) -> AsyncGenerator[Rpc]:
    """Raw JSON-RPC to the embedded chain."""
    async with Rpc(localnet.rpc_url) as connection:
        yield connection
