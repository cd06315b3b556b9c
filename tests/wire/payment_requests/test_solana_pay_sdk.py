"""npm's Solana Pay SDK, unmodified, scans our codes, asks our coordinator and pays on the chain."""

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from tests.wire.payment_requests.counter import PUBLIC_URL, Counter

HERE = Path(__file__).parent / "node"

pytestmark = [pytest.mark.foreign, pytest.mark.timeout(300)]


async def run(*command: str, environment: dict[str, str] | None = None) -> str:
    """Run to the end beside the JavaScript; what it printed. Fails with it."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=HERE,
        env={**os.environ, **(environment or {})},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    text = output.decode()
    assert process.returncode == 0, text
    return text


async def test_the_sdk_pays_unmodified(counter: Counter, tmp_path: Path) -> None:
    if shutil.which("npm") is None:
        pytest.fail("npm is missing: install Node.js 20 or later")
    if not (HERE / "node_modules").exists():
        await run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
    world, place = counter.world, counter.place
    bond_code, _ = await counter.enrolled(world.wallet("operator"))
    environment = {
        "POD_COORDINATOR_URL": counter.market.url,
        "POD_PUBLIC_URL": PUBLIC_URL,
        "POD_DEPOSIT_CODE": await counter.code(),
        "POD_BOND_CODE": bond_code,
        "POD_BOND_VAULT": str(place.bond_vault),
        "POD_TILL_VAULT": str(place.till_vault),
        "POD_WALLET_FILE": str(tmp_path / "keys" / "operator.json"),
        "LOCALNET_RPC_URL": world.chain.rpc_url,
        "LOCALNET_WS_URL": world.chain.ws_url,
    }
    output = await run("node", "--test", "phone.test.mjs", environment=environment)
    assert "# pass 3" in output, output
    assert "# fail 0" in output, output
