"""`pod ledger verify` as it is typed: what it answers, prints and leaves behind."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cli.workspace import ROOT
from localnet import postgres
from settlement.db.pool import Pool, open_pool
from tests import conftest
from tests.conftest import Database
from tests.database.damages import CHARGE, DAMAGES, lived


@pytest.fixture
async def loose(
    postgres_cluster: postgres.Cluster, migrated_template: str
) -> AsyncIterator[Database]:
    """A database that may be left damaged."""
    async for database in conftest._database(postgres_cluster, template=migrated_template):
        yield database


async def _typed(*words: str, dsn: str) -> tuple[int, str, str]:
    """`pod ledger verify` as it is typed; what it answers, prints and complains about."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli", "ledger", "verify", *words),
        cwd=ROOT,
        env={**os.environ, "POD_DATABASE": dsn},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_the_command_answers(database: Database, pool: Pool, tmp_path: Path) -> None:
    await lived(database, pool)
    state = tmp_path / "state.json"
    words = ("--json", "--state", str(state), "--directory", str(tmp_path))
    code, out, err = await _typed(*words, dsn=database.dsn)
    assert (code, err) == (0, "")
    assert json.loads(out)["right"] is True
    assert not state.exists()
    state.write_text("{}")
    code, out, err = await _typed(*words, dsn=database.dsn)
    assert (code, out) == (2, "")
    assert "--from-start" in err
    code, out, _ = await _typed(*words, "--from-start", dsn=database.dsn)
    assert code == 0


async def test_the_command_names_what_is_wrong(loose: Database, tmp_path: Path) -> None:
    writing = await open_pool(loose.dsn, role="pod_coordinator", application="test")
    try:
        books = await lived(loose, writing)
        damage = DAMAGES["a gross"]
        await books.execute(f"set session_replication_role = replica; {damage.statement}")
    finally:
        await writing.close()
    code, out, _ = await _typed("--directory", str(tmp_path), dsn=loose.dsn)
    assert code == 1
    assert f"writer 1, batch 3, row 1, id {CHARGE}" in out


async def test_the_command_without_a_database(tmp_path: Path) -> None:
    code, out, err = await _typed("--directory", str(tmp_path), dsn="")
    assert (code, out) == (2, "")
    assert "nothing is running" in err
    away = "postgresql://nobody@127.0.0.1:1/none"
    code, _, err = await _typed("--directory", str(tmp_path), dsn=away)
    assert code == 2
    assert "could not be checked" in err
