"""Death at a call: a process ends before it asks, or after it was answered and before it knows."""

import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from localnet.adversary.in_process import InProcessResponse, InProcessSession

_LATEST_CALL = 25


class Killed(BaseException):
    """Nothing of the process runs after this."""


@dataclass(kw_only=True)
class MortalSession:
    """A session that may be told to die at one of its next calls."""

    session: InProcessSession
    calls_left: int | None = None
    is_answered: bool = False

    def doom(self, dice: random.Random) -> None:
        """Die soon."""
        self.calls_left = dice.randint(1, _LATEST_CALL)
        self.is_answered = dice.random() < 0.5

    @asynccontextmanager
    async def post(
        self, url: str, *, json: object, **_how: object
    ) -> AsyncGenerator[InProcessResponse]:
        """Ask, or die of it."""
        if self.calls_left is not None:
            self.calls_left -= 1
            if self.calls_left == 0:
                self.calls_left = None
                if self.is_answered:
                    async with self.session.post(url, json=json) as response:
                        await response.read()
                raise Killed
        async with self.session.post(url, json=json) as response:
            yield response
