"""Running npm's packages, unmodified, from the folder of a lock file."""

import asyncio
import os
import shutil
from pathlib import Path

import pytest


async def run(where: Path, *command: str, environment: dict[str, str] | None = None) -> str:
    """Run to the end in this folder and return what was printed; fails with it."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=where,
        env={**os.environ, **(environment or {})},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    text = output.decode()
    assert process.returncode == 0, text
    return text


async def install(where: Path) -> None:
    """Have the packages of the folder's lock file in node_modules."""
    if shutil.which("npm") is None:
        pytest.fail("npm is missing: install Node.js 20 or later")
    if not (where / "node_modules").exists():
        await run(where, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
