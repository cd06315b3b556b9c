"""The independent client's environment, made if it is not there."""

import asyncio

import pytest

from cli.transaction.anchorpy import PYTHON
from cli.workspace import ROOT


@pytest.fixture(autouse=True)
async def anchorpy_environment() -> None:
    """`.venv-anchorpy` is there: made from its lock file the first time, and never skipped."""
    if PYTHON.exists():
        return
    process = await asyncio.create_subprocess_exec(
        *(str(ROOT / "scripts/install"), "--anchorpy"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
