"""The signer as a process, its key in another one, and a worker that tells it when to look."""

import signal
from collections.abc import Generator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from settlement.withdrawals import WithdrawalStatus
from tests.chain.indexer.conftest import following
from tests.chain.payouts.conftest import Money
from tests.chain.payouts.test_processes import environment, health, process
from tests.conftest import free_port

USDC = 1_000_000
NEVER = "600000"


@pytest.fixture
def place() -> Generator[Path]:
    with TemporaryDirectory(prefix="pod") as directory:
        yield Path(directory)


def sockets(place: Path) -> list[Path]:
    return list(place.glob("*/s"))


async def test_a_signer_that_never_looks_by_itself_pays_when_told(
    money: Money, place: Path
) -> None:
    common = environment(money)
    file = common.pop("POD_PAYER_KEYFILE")
    told = common | {"POD_SIGNER_SOCKET": str(place / "signer" / "s")}
    held = {"POD_KEY": f"file:{file}", "POD_KEY_SOCKET": str(place / "key" / "s")}
    port = free_port()
    signer_settings = told | {
        "POD_PAYER_KEY": f"remote:{place / 'key' / 's'}",
        "POD_SIGNER_ROUND_MILLISECONDS": NEVER,
        "POD_METRICS_LISTEN": f"127.0.0.1:{port}",
    }
    async with process("sign", signer_settings) as signer:
        status, said = await health(port)
        while not str(said["line"]).startswith("key: "):
            status, said = await health(port)
        assert status == 503, "its key is away"
        async with (
            process("hold-key", common | held) as holder,
            process("work", told) as worker,
            following(money.world.settings()),
        ):
            while (await health(port))[0] != 200:
                pass
            await money.earn(20 * USDC)
            asked = await money.withdraw(10 * USDC)
            await money.until(asked, WithdrawalStatus.FINAL)
            for running in (worker, holder):
                running.send_signal(signal.SIGTERM)
                _, err = await running.communicate()
                assert running.returncode == 0, err.decode()
                assert str(list(bytes(money.world.wallet("payer")))[:6])[1:-1] not in err.decode()
        signer.send_signal(signal.SIGTERM)
        _, err = await signer.communicate()
        assert signer.returncode == 0, err.decode()
    assert sockets(place) == [], "they are taken away"
