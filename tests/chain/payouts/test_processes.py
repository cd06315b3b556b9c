"""The processes as they are started: settings, signals, what they end with, what they wait for."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import aiohttp

from settlement.db.pool import open_pool, transaction
from settlement.payouts.halt import halt
from settlement.withdrawals import WithdrawalStatus
from tests.chain.indexer.conftest import following
from tests.chain.payouts.conftest import Money
from tests.conftest import Database, free_port

USDC = 1_000_000


def environment(money: Money, port: int = 0) -> dict[str, str]:
    deployment = money.world.deployment
    return {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": money.world.database.dsn,
        "POD_RPC_URLS": money.world.chain.rpc_url,
        "POD_CLUSTER": "localnet",
        "POD_PROGRAM_ID": str(deployment.program_id),
        "POD_USDC_MINT": str(deployment.mint),
        "POD_PAYER_ADDRESS": str(money.world.wallet("payer").pubkey()),
        "POD_PAYER_KEYFILE": str(money.keys / "payer.json"),
        "POD_METRICS_LISTEN": f"127.0.0.1:{port}",
        "POD_RECONCILE_PATIENCE_SECONDS": "20",
    }


@asynccontextmanager
async def process(
    role: str, variables: dict[str, str]
) -> AsyncGenerator[asyncio.subprocess.Process]:
    """`python -m settlement <role>`; killed at the end if it is still there."""
    started = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "settlement", *role.split()),
        env=variables,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
            await started.communicate()


async def run(role: str, variables: dict[str, str]) -> tuple[int | None, str, str]:
    async with process(role, variables) as started:
        out, err = await started.communicate()
        return started.returncode, out.decode(), err.decode()


async def health(port: int) -> tuple[int, dict[str, object]]:
    """What `/health` says, as soon as anybody listens."""
    while True:
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://127.0.0.1:{port}/health") as response,
            ):
                return response.status, await response.json()
        except aiohttp.ClientConnectionError:
            await asyncio.sleep(0.05)


async def test_worker_and_signer_pay_and_end_when_told(money: Money) -> None:
    ports = free_port(), free_port()
    async with (
        process("work", environment(money, ports[0])) as worker,
        process("sign", environment(money, ports[1])) as signer,
        following(money.world.settings()),
    ):
        await money.earn(20 * USDC)
        asked = await money.withdraw(10 * USDC)
        await money.until(asked, WithdrawalStatus.FINAL)
        status, said = await health(ports[0])
        assert (status, said["line"]) == (200, "working")
        status, said = await health(ports[1])
        assert said["facts"] == {"payer": str(money.world.wallet("payer").pubkey())}
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{ports[0]}/metrics") as response,
        ):
            assert 'settlement_payout_steps_total{step="sent"}' in await response.text()
        await money.world.settled()
        code, out, _ = await run("reconcile --json", environment(money))
        assert code == 0
        assert [line["difference"] for line in json.loads(out)["vaults"]] == [0, 0]
        for running in (worker, signer):
            running.send_signal(signal.SIGTERM)
            _, err = await running.communicate()
            assert running.returncode == 0, err.decode()
            assert str(list(bytes(money.world.wallet("payer")))[:6])[1:-1] not in err.decode()


async def test_a_second_worker_stands_by_and_takes_over(money: Money) -> None:
    ports = free_port(), free_port()
    async with (
        process("work", environment(money, ports[0])) as first,
        following(money.world.settings()),
    ):
        await money.earn(20 * USDC)
        asked = await money.withdraw(10 * USDC)

        async def numbered() -> bool:
            return (await money.status(asked)).sequence is not None

        await money.world.eventually(numbered)
        async with (
            process("work", environment(money, ports[1])),
            process("sign", environment(money)),
        ):
            await health(ports[1])
            first.kill()
            await first.wait()
            await money.until(asked, WithdrawalStatus.FINAL)


async def test_a_database_or_a_node_that_is_away_is_waited_for(money: Money) -> None:
    away = {
        "the node": {"POD_RPC_URLS": "http://127.0.0.1:9"},
        "the database": {"DATABASE_URL": f"postgresql://x@127.0.0.1:{free_port()}/x"},
    }
    for what, setting in away.items():
        port = free_port()
        async with process("work", {**environment(money, port), **setting}) as worker:
            while True:
                status, said = await health(port)
                if status == 503:
                    break
                await asyncio.sleep(0.05)
            assert worker.returncode is None, what
            worker.send_signal(signal.SIGINT)
            _, err = await worker.communicate()
            assert worker.returncode == 0, (what, said, err.decode())


async def test_not_known_is_not_reconciled(money: Money) -> None:
    variables = {**environment(money), "POD_RECONCILE_PATIENCE_SECONDS": "0"}
    code, out, err = await run("reconcile --json", variables)
    assert (code, out) == (3, "")
    assert "not read that far" in err


async def test_a_person_lifts_a_halt(money: Money) -> None:
    pool = await open_pool(money.world.database.dsn, role="pod_indexer", application="t", size=1)
    async with transaction(pool) as tx:
        await halt(tx, "outflow", "test")
    await pool.close()
    code, out, _ = await run("resume Ada", environment(money))
    assert (code, out) == (0, "lifted: outflow\n")
    code, out, _ = await run("resume Ada", environment(money))
    assert (code, out) == (0, "lifted: nothing was halted\n")
    assert (await run("resume", environment(money)))[0] == 2


async def test_migrating_alone(empty_database: Database) -> None:
    variables = {"DATABASE_URL": empty_database.dsn}
    code, out, err = await run("migrate", variables)
    assert code == 0, err
    assert "settlement/0005_payouts.sql" in out
    assert (await run("migrate", variables))[:2] == (0, "")
