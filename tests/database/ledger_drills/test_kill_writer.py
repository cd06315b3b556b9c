"""The process that posts is killed in the middle of its batches, and its next life goes on.

The next life asks again what had no answer. Whatever the killed one's last batch came to, in the
end every promise is in the books once and as it was made. POD_SEED repeats a run.
"""

import asyncio
import os
from pathlib import Path
from random import Random

import pytest

from settlement.db.pool import Pool, open_pool
from tests.conftest import Database
from tests.database.ledger_drills.business import Record, check_record, fund
from tests.database.ledger_drills.lives import Life, epochs
from tests.database.ledger_drills.posting_process import Journal

_SEED = int(os.environ.get("POD_SEED", "1"))
_SIZES = pytest.mark.parametrize("batch_size", [1, 100], ids=["strict", "batches"])
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
async def funded(database: Database) -> str:
    """The DSN of books whose users have money."""
    pool: Pool = await open_pool(database.dsn, role="pod_coordinator", application="test", size=1)
    await fund(pool)
    await pool.close()
    return database.dsn


@_SIZES
async def test_a_killed_writers_promises_are_kept(
    funded: str, tmp_path: Path, batch_size: int
) -> None:
    await drill(funded, tmp_path, seed=1, batch_size=batch_size, kills=2)


@pytest.mark.nightly
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("seed", range(_SEED, _SEED + 10))
@_SIZES
async def test_a_writer_killed_again_and_again_keeps_its_promises(
    funded: str, tmp_path: Path, batch_size: int, seed: int
) -> None:
    await drill(funded, tmp_path, seed=seed, batch_size=batch_size, kills=8)


async def drill(dsn: str, folder: Path, *, seed: int, batch_size: int, kills: int) -> Record:
    """Life after life, each killed at a moment of the seed; the last one comes to its end."""
    random = Random(seed)
    under_way: list[int] = []
    for _ in range(kills):
        life = await Life.begin(dsn, folder, seed=seed, batch_size=batch_size)
        await life.more(random.randrange(1, 150))
        await asyncio.sleep(random.uniform(0, 0.02))
        under_way.append(await life.kill())
    life = await Life.begin(dsn, folder, seed=seed, batch_size=batch_size)
    await life.more(30)
    assert await life.end() == 0
    assert any(under_way), "none was killed with something under way"
    assert epochs(folder) == kills + 1
    journal = Journal(folder)
    assert journal.unanswered == []
    await check_record(dsn, journal)
    print(f"seed {seed}: {journal.codes()}, survivors {len(journal.survivors)}, at {under_way}")
    return journal
