"""`pod ledger …` and other nouns as they are typed, in a process of their own."""

import asyncio
import os
import sys
from dataclasses import dataclass

from cli.workspace import ROOT


@dataclass(frozen=True, kw_only=True)
class Answer:
    """How a command ended, what it printed and what it complained about."""

    code: int
    out: str
    err: str


async def typed(*words: str, dsn: str | None, noun: str = "ledger") -> Answer:
    """What `pod ledger`, or another noun, answers; without a `dsn` no database is named."""
    named = {name: text for name, text in os.environ.items() if name != "POD_DATABASE"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli", noun, *words),
        cwd=ROOT,
        env=named if dsn is None else {**named, "POD_DATABASE": dsn},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return Answer(code=process.returncode, out=out.decode(), err=err.decode())
