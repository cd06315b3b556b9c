"""npm's Solana Pay SDK, unmodified, scans our codes, asks our coordinator and pays on the chain."""

from pathlib import Path

import pytest

from tests.wire.npm import install, run
from tests.wire.payment_requests.counter import PUBLIC_URL, Counter

HERE = Path(__file__).parent / "node"

pytestmark = [pytest.mark.foreign, pytest.mark.timeout(300)]


async def test_the_sdk_pays_unmodified(counter: Counter, tmp_path: Path) -> None:
    await install(HERE)
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
    output = await run(HERE, "node", "--test", "phone.test.mjs", environment=environment)
    assert "# pass 3" in output, output
    assert "# fail 0" in output, output
