"""Something that begins, ends, and may be waited for; counted, so that one can tell it happened."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager


class Motion:
    """Whether something is going on, and how often it went on."""

    def __init__(self) -> None:
        self.count = 0  # how often one ended
        self._running = 0
        self._rest = asyncio.Event()
        self._rest.set()

    @property
    def is_on(self) -> bool:
        """Whether one is going on now."""
        return self._running > 0

    def begin(self) -> None:
        """One more goes on."""
        self._running += 1
        self._rest.clear()

    def end(self) -> None:
        """One has ended."""
        self._running -= 1
        self.count += 1
        if not self._running:
            self._rest.set()

    @contextmanager
    def on(self) -> Generator[None]:
        """One goes on inside."""
        self.begin()
        try:
            yield
        finally:
            self.end()

    async def rest(self) -> None:
        """Wait until none goes on."""
        await self._rest.wait()
