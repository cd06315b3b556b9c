"""`pod index backfill`: stopped at any moment it goes on, and two never read at once."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from cli.workspace import ROOT
from indexer.app import LOCK
from settlement.chain.movement import Vault
from settlement.db.pool import only_one
from settlement.ledger import accounts
from tests.database.indexer.conftest import Desk
from tests.pure.transactions import DEPLOYMENT, key

SIGNATURES = 1_200


@dataclass(frozen=True, kw_only=True)
class Chain:
    """A made-up chain that is served, and how the indexer is told of it."""

    environment: dict[str, str]
    held_microusdc: int


@pytest.fixture
async def chain(desk: Desk, tmp_path: Path) -> AsyncIterator[Chain]:
    codes = tmp_path / "codes"
    codes.write_text(desk.user_code.hex())
    words = ("--signatures", str(SIGNATURES), "--codes", str(codes))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.indexer_chain", *words),
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    told = json.loads(await process.stdout.readline())
    named = {name: text for name, text in os.environ.items() if not name.startswith("POD_")}
    yield Chain(
        environment={
            **named,
            "DATABASE_URL": desk.database.dsn,
            "POD_RPC_URLS": told["url"],
            "POD_CLUSTER": "localnet",
            "POD_PROGRAM_ID": str(DEPLOYMENT.program_id),
            "POD_USDC_MINT": str(DEPLOYMENT.mint),
            "POD_PAYER_ADDRESS": str(key("payer")),
            "POD_INDEXER_POLL_MS": "50",
        },
        held_microusdc=told["held_microusdc"],
    )
    process.terminate()
    await process.wait()


async def begun(chain: Chain, *words: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli", "index", "backfill", *words),
        cwd=ROOT,
        env=chain.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


async def ended(process: asyncio.subprocess.Process) -> tuple[int, str, str]:
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def booked(desk: Desk) -> int:
    return (await desk.states()).get("booked", 0)


@pytest.mark.timeout(240)
async def test_stopped_again_and_again_it_goes_on_to_the_same_books(
    desk: Desk, chain: Chain
) -> None:
    for least in (1, SIGNATURES // 2):
        process = await begun(chain)
        while await booked(desk) < least:
            assert process.returncode is None
        process.send_signal(signal.SIGINT)
        code, out, err = await ended(process)
        assert (code, out) == (130, "")
        assert "goes on from there" in err
    assert least <= await booked(desk) <= SIGNATURES
    code, out, err = await ended(await begun(chain, "--json"))
    assert (code, err) == (0, "")
    assert json.loads(out)["wanted"] == 0
    assert await booked(desk) == SIGNATURES
    assert -await desk.net(accounts.chain_vault(Vault.TILL)) == chain.held_microusdc
    before = await desk.nets()
    assert (await ended(await begun(chain)))[0] == 0
    assert await desk.nets() == before


async def test_it_says_who_reads_the_chain_already(desk: Desk, chain: Chain) -> None:
    async with only_one(desk.pool, LOCK):
        code, out, err = await ended(await begun(chain, "--json"))
    assert code == 1
    told = json.loads(out)
    assert told["error"] == "indexer_active"
    assert "holder=test from" in err
    assert await booked(desk) == 0


async def test_without_settings_and_without_a_system_it_says_so(tmp_path: Path) -> None:
    named = {name: text for name, text in os.environ.items() if not name.startswith("POD_")}
    named.pop("DATABASE_URL", None)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli", "index", "backfill", "--directory", str(tmp_path)),
        cwd=ROOT,
        env=named,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    code, _, err = await ended(process)
    assert code == 1
    assert "Nothing is running" in err


async def test_a_holder_is_named_by_its_session(desk: Desk) -> None:
    connection = await asyncpg.connect(desk.database.dsn)
    try:
        async with only_one(desk.pool, LOCK):
            found = await connection.fetchval(
                "select count(*) from pg_locks where locktype = 'advisory' and granted and"
                " ((classid::bigint << 32) | objid::bigint)"
                " = hashtextextended('podledger:indexer', 0)"
            )
        assert found == 1
    finally:
        await connection.close()
