"""The books on the oldest PostgreSQL we promise: Debian's, instead of the wheel's.

Tests of the books are run again in processes of their own, whose server is started from the
programs that POD_TEST_POSTGRES_BIN names. The longest of them is test_postgres_15_machine.py, apart
so that another core can have it.
"""

import os
import subprocess
from pathlib import Path

import pytest

from localnet import postgres
from tests.database.on_postgres_15 import passes_on_15, within

_FILES = (
    "test_ledger.py",
    "test_group_commit.py",
    "test_group_commit_answers.py",
    "test_schema.py",
    "test_double_spend.py",
    "test_double_spend_raw.py",
    "test_locks.py",
    "test_lock_order.py",
    "test_migration_with_data.py",
    "ledger_drills/test_fencing.py",
    "ledger_drills/test_restored.py",
)


def test_the_server_is_the_one_asked_for(postgres_cluster: postgres.Cluster) -> None:
    programs = os.environ.get("POD_TEST_POSTGRES_BIN") or str(postgres.binaries())
    told = subprocess.run([f"{programs}/postgres", "--version"], capture_output=True, check=True)
    made = (postgres_cluster.data / "PG_VERSION").read_text().strip()
    assert told.stdout.decode().split()[2].split(".")[0] == made


@pytest.mark.foreign
@pytest.mark.long
@pytest.mark.timeout(3_600)
@pytest.mark.skipif(within(), reason="it is the process within")
def test_the_books_hold_on_15(tmp_path: Path) -> None:
    here = f"{Path(__file__).name}::{test_the_server_is_the_one_asked_for.__name__}"
    passes_on_15(here, *_FILES, scratch=tmp_path)
