"""The other environment is really another: what it pins, we have left behind; ours is not in it."""

import asyncio
import json
from importlib.metadata import version

import pytest

from cli.transaction.anchorpy import PYTHON

pytestmark = [pytest.mark.foreign, pytest.mark.timeout(300)]

_QUESTION = """
import json
from importlib.metadata import version
from importlib.util import find_spec
ours = [name for name in ("settlement", "cli", "localnet", "indexer") if find_spec(name)]
print(json.dumps({"ours": ours, **{name: version(name) for name in ("anchorpy", "solders")}}))
"""


async def test_two_environments() -> None:
    process = await asyncio.create_subprocess_exec(
        *(str(PYTHON), "-I", "-c", _QUESTION), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    told = json.loads(output)
    assert told["ours"] == []
    assert told["anchorpy"].startswith("0.21.")
    assert told["solders"].startswith("0.26.")
    assert told["solders"] != version("solders")
