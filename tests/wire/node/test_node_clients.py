"""npm's Solana clients, unmodified, against the embedded chain.

Each JavaScript file is one client library; it gets a chain of its own and is told where it is by
environment variables. The packages are pinned by package-lock.json.
"""

import dataclasses
from pathlib import Path

import pytest

from localnet.embedded import cluster_server, quick_settings
from tests.wire.npm import install, run

HERE = Path(__file__).parent

pytestmark = [pytest.mark.foreign, pytest.mark.timeout(300)]


@pytest.fixture
async def installed() -> None:
    """The packages of the lock file are in node_modules."""
    await install(HERE)


@pytest.mark.parametrize("client", ["web3", "kit"])
@pytest.mark.usefixtures("installed")
async def test_the_client_runs_unmodified(client: str, tmp_path: Path) -> None:
    settings = quick_settings(Path("localnet.toml"))
    # A slot of 50 ms: the clients look for confirmations in steps of half a second and more.
    settings = dataclasses.replace(
        settings, embedded=dataclasses.replace(settings.embedded, slot_time_ms=50)
    )
    keys = tmp_path / "keys"
    async with cluster_server(settings, data=tmp_path / "chain", keys=keys) as chain:
        output = await run(
            HERE,
            "node",
            "--test",
            f"{client}.test.mjs",
            environment={
                "LOCALNET_RPC_URL": chain.rpc_url,
                "LOCALNET_WS_URL": chain.ws_url,
                "LOCALNET_KEYS": str(keys),
                "LOCALNET_MINT": str(chain.mint),
                "LOCALNET_PROGRAM_ID": str(chain.program_id),
            },
        )
    assert "# fail 0" in output, output
