"""Has transactions read by another process (`reading`) while a backlog is long.

What it answers is only ever a shorter way to what this process would find: whatever it does not
call everyday, and everything when it cannot be started or has ended, is read here.
"""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from types import TracebackType
from typing import Final

import msgspec
import structlog

from indexer.decode import Watch
from indexer.everyday import Belief, Everyday
from indexer.reading import LENGTH_BYTES, Answered, Beginning, frame

_GONE: Final = (OSError, asyncio.IncompleteReadError)
_END_SECONDS: Final = 5.0
_log = structlog.stdlib.get_logger()


class Reader:
    """One process at most, started when something is to be read; portions go one by one."""

    def __init__(self, watch: Watch, belief: Belief) -> None:
        self._beginning = Beginning.of(watch, belief)
        self._answers = msgspec.msgpack.Decoder(Answered)
        self._turn = asyncio.Lock()
        self._process: Process | None = None
        self._gone = False

    async def __aenter__(self) -> "Reader":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._gone = True
        process = self._process
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(_END_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    @property
    def process_id(self) -> int:
        """Of the other process, once something was read."""
        assert self._process is not None, "it was started"
        return self._process.pid

    async def read(self, portion: Sequence[tuple[str, bytes]]) -> list[Everyday | None]:
        """What is everyday of these, in their order; None: read it yourself."""
        async with self._turn:
            if not self._gone:
                try:
                    return await self._ask(portion)
                except _GONE as error:
                    self._gone = True
                    _log.warning("reader_gone", problem=type(error).__name__)
        return [None] * len(portion)

    async def _ask(self, portion: Sequence[tuple[str, bytes]]) -> list[Everyday | None]:
        if self._process is None:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "indexer.reading"),
                stdin=PIPE,
                stdout=PIPE,
                env={},  # it needs no secret, so it gets none
            )
            self._write(frame(self._beginning))
        self._write(frame(portion))
        assert self._process.stdin is not None, "it has a pipe"
        assert self._process.stdout is not None, "it has a pipe"
        await self._process.stdin.drain()
        head = await self._process.stdout.readexactly(LENGTH_BYTES)
        body = await self._process.stdout.readexactly(int.from_bytes(head, "little"))
        found = self._answers.decode(body)
        assert len(found) == len(portion), "each is answered"
        return found

    def _write(self, data: bytes) -> None:
        assert self._process is not None, "it was started"
        assert self._process.stdin is not None, "it has a pipe"
        self._process.stdin.write(data)
