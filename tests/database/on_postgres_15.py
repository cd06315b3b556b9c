"""Runs tests of this folder on Debian's PostgreSQL 15, in a process of their own."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

_PROGRAMS: Final = Path("/usr/lib/postgresql/15/bin")
_SETTING: Final = "POD_TEST_POSTGRES_BIN"
_HERE: Final = Path(__file__).parent


def within() -> bool:
    """Whether this process is already one whose server is chosen."""
    return _SETTING in os.environ


def passes_on_15(*tests: str, scratch: Path) -> None:
    """Assert that `tests` (files of this folder, or ids in them) pass."""
    assert (_PROGRAMS / "postgres").exists(), "scripts/install --foreign installs postgresql-15"
    command = [
        *(sys.executable, "-m", "pytest", "-q", "--tb=short"),
        *("-p", "no:cacheprovider", "-p", "no:xdist", f"--basetemp={scratch / 'run'}"),
        *("-m", "not foreign and not nightly"),
        *(str(_HERE / test) for test in tests),
    ]
    ran = subprocess.run(
        command,
        env=_environment() | {_SETTING: str(_PROGRAMS)},
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
