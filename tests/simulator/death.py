"""Death before and after every statement and every call: a process that stops runs no line more.

`Stopped` is no `Exception`, so nothing in the code under test can treat it as one. What is under
way is what a kill -9 leaves: an open transaction is rolled back, a committed one stays, a call that
was answered was carried out.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, cast

from localnet.adversary.in_process import InProcessResponse, InProcessSession
from settlement.db.pool import Pool


class Stopped(BaseException):
    """The process was killed here."""


@dataclass
class Fuse:
    """Counts the places where a process may die; `left` None: it does not."""

    left: int | None = None
    passed: int = 0

    @property
    def is_burned(self) -> bool:
        """Whether it has died, and has not been given a new life."""
        return self.left is not None and self.left < 0

    def alive(self) -> None:
        """Nothing runs in a dead process, whatever was still under way in it."""
        if self.is_burned:
            raise Stopped

    def step(self) -> None:
        """One of the places."""
        self.passed += 1
        if self.left is not None:
            self.left -= 1
            self.alive()


def mortal_pool(pool: Pool, fuse: Fuse) -> Pool:
    """The same pool, with the fuse around every statement and every commit."""
    return cast("Pool", _Pool(pool, fuse))


class _Pool:
    def __init__(self, pool: Pool, fuse: Fuse) -> None:
        self._pool = pool
        self._fuse = fuse

    @asynccontextmanager
    async def acquire(self) -> AsyncGenerator["_Connection"]:
        self._fuse.alive()
        async with self._pool.acquire() as connection:
            yield _Connection(connection, self._fuse)


class _Connection:
    def __init__(self, connection: Any, fuse: Fuse) -> None:  # noqa: ANN401
        self._connection = connection
        self._fuse = fuse

    def transaction(self, **options: object) -> "_Transaction":
        return _Transaction(self._connection.transaction(**options), self._fuse)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._connection, name)

        async def stepped(*arguments: object, **named: object) -> object:
            self._fuse.alive()
            answer = await method(*arguments, **named)
            self._fuse.step()
            return answer

        return stepped


class _Transaction:
    def __init__(self, transaction: Any, fuse: Fuse) -> None:  # noqa: ANN401
        self._transaction = transaction
        self._fuse = fuse

    async def __aenter__(self) -> None:
        self._fuse.alive()
        await self._transaction.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._transaction.__aexit__(kind, error, trace)
        if kind is None:
            self._fuse.step()


class MortalSession:
    """The way to the chain, with the fuse behind every call."""

    def __init__(self, session: InProcessSession, fuse: Fuse) -> None:
        self._session = session
        self._fuse = fuse

    @asynccontextmanager
    async def post(
        self, url: str, *, json: object, **_how: object
    ) -> AsyncGenerator[InProcessResponse]:
        """Ask, and perhaps die before hearing the answer."""
        self._fuse.alive()
        async with self._session.post(url, json=json) as response:
            self._fuse.step()
            yield response
