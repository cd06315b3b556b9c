"""The books on the oldest PostgreSQL we promise: Debian's, instead of the wheel's.

Tests of the books are run again in a process of their own, whose server is started from the
programs that POD_TEST_POSTGRES_BIN names.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from localnet import postgres

PROGRAMS = Path("/usr/lib/postgresql/15/bin")
_HERE = Path(__file__).parent
_FILES = (
    "test_books_machine.py",
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
@pytest.mark.timeout(3_600)
@pytest.mark.skipif("POD_TEST_POSTGRES_BIN" in os.environ, reason="it is the process within")
def test_the_books_hold_on_15(tmp_path: Path) -> None:
    assert (PROGRAMS / "postgres").exists(), "scripts/install --foreign installs postgresql-15"
    command = [
        *(sys.executable, "-m", "pytest", "-q", "--tb=short"),
        *("-p", "no:cacheprovider", "-p", "no:xdist", f"--basetemp={tmp_path / 'run'}"),
        *("-m", "not foreign and not nightly"),
        f"{__file__}::{test_the_server_is_the_one_asked_for.__name__}",
        *(str(_HERE / name) for name in _FILES),
    ]
    ran = subprocess.run(
        command,
        env={**_environment(), "POD_TEST_POSTGRES_BIN": str(PROGRAMS)},
        cwd=_HERE.parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-4_000:] + ran.stderr[-1_000:]
    assert " passed" in ran.stdout


def _environment() -> dict[str, str]:
    """Ours, without what pytest tells its own workers."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
