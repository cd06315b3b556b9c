"""The independent client's environment, made if it is not there."""

import asyncio

import pytest

from cli.transaction.anchorpy import PYTHON
from cli.workspace import ROOT


def _is_made() -> bool:
    made = PYTHON.parents[1] / "made"
    lock = (ROOT / "requirements-anchorpy.lock").read_text()
    return PYTHON.exists() and made.exists() and made.read_text().endswith(lock)


@pytest.fixture(autouse=True)
async def anchorpy_environment() -> None:
    """`.venv-anchorpy` is as its lock file says: made when it is not, and never skipped."""
    if _is_made():
        return
    process = await asyncio.create_subprocess_exec(
        *(str(ROOT / "scripts/install"), "--anchorpy"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
