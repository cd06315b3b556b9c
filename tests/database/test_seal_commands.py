"""`pod ledger seal`, `proof` and `check-proof` as they are typed; and the worker's own seals."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from cli.workspace import ROOT
from settlement import app
from settlement.db.pool import Pool, open_pool, reading
from settlement.ledger.seal_read import last_seal
from settlement.process import Standing
from tests import factories
from tests.conftest import Database
from tests.database.damages import CHARGE, lived


@pytest.fixture
async def sealer(database: Database) -> AsyncIterator[Pool]:
    """Connections of the role that may seal."""
    opened = await open_pool(database.dsn, role="pod_settlement", application="test")
    yield opened
    await opened.close()


async def _typed(*words: str, dsn: str = "") -> tuple[int, str, str]:
    """`pod ledger …` as it is typed; what it answers, prints and complains about."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli", "ledger", *words),
        cwd=ROOT,
        env={**os.environ, "POD_DATABASE": dsn},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_from_a_seal_to_a_checked_proof(
    database: Database, pool: Pool, tmp_path: Path
) -> None:
    books = await lived(database, pool)
    code, out, err = await _typed("seal", "--json", dsn=database.dsn)
    assert (code, err) == (0, "")
    sealed = json.loads(out)
    assert (sealed["status"], sealed["seal_no"], sealed["rows"]) == ("sealed", 1, 18)
    code, out, _ = await _typed("seal", dsn=database.dsn)
    assert (code, out) == (0, "nothing came since the last seal\n")

    code, out, err = await _typed("proof", str(CHARGE), "--json", dsn=database.dsn)
    assert (code, err) == (0, "")
    file = tmp_path / "proof.json"
    file.write_text(out)
    code, out, err = await _typed("check-proof", str(file), "--seal-hash", sealed["hash"])
    assert (code, err) == (0, "")
    assert "gross 9999" in out
    code, out, _ = await _typed("check-proof", str(file), "--json")
    assert (code, json.loads(out)["row"]["gross"]) == (0, "9999")
    code, out, err = await _typed("check-proof", str(file), "--seal-hash", "00" * 32)
    assert (code, out) == (1, "")
    assert "another one" in err
    file.write_text(file.read_text().replace("|9999|", "|9998|"))
    code, _, err = await _typed("check-proof", str(file))
    assert code == 1
    assert "not what was sealed" in err

    await books.apply(factories.deposit(books.user, 5))
    code, out, _ = await _typed("seal", dsn=database.dsn)
    assert code == 0
    assert "seal 2 of era 1: 1 rows more, 19 in all" in out
    words = ("proof", "--consistency", "1", "2")
    code, out, _ = await _typed(*words, dsn=database.dsn)
    assert (code, out) == (0, "seal 2 (19 rows) goes on from seal 1 (18 rows)\n")
    _, out, _ = await _typed(*words, "--json", dsn=database.dsn)
    file.write_text(out)
    assert (await _typed("check-proof", str(file)))[0] == 0


async def test_what_is_typed_wrongly(tmp_path: Path) -> None:
    nobody = "postgresql://nobody@127.0.0.1:1/none"
    for words in (
        ("proof",),
        ("proof", "no id"),
        ("proof", str(CHARGE), "--consistency", "1", "2"),
        ("check-proof", str(tmp_path / "x"), "--seal-hash", "5f"),
    ):
        assert (await _typed(*words, dsn=nobody))[0] == 2, words
    for words in (("seal",), ("proof", str(CHARGE)), ("check-proof", str(tmp_path / "x"))):
        code, out, err = await _typed(*words, dsn=nobody)
        assert (code, out) == (1, ""), words
        assert err


async def test_the_worker_seals(database: Database, pool: Pool, sealer: Pool) -> None:
    books = await lived(database, pool)
    standing = Standing()
    worker = app._Worker(
        pool=sealer,
        standing=standing,
        settings=cast("Any", None),
        rpc=cast("Any", None),
        clock=cast("Any", None),
        metrics=cast("Any", None),
    )
    for number in (1, 2):
        await app._seal_round(worker)
        await app._seal_round(worker)  # nothing came: none is made
        async with reading(sealer) as conn:
            newest = await last_seal(conn)
        assert newest is not None
        assert newest.seal_no == number
        await books.apply(factories.deposit(books.user, 5))
    assert standing.well
