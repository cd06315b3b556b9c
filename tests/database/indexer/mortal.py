"""Connections of a process that dies right after a given number of statements."""

from collections.abc import Awaitable, Callable

import asyncpg

from settlement.db.pool import Pool

_ASKING = ("execute", "fetch", "fetchrow", "fetchval")


class Crash(Exception):
    """The process is gone."""


class Life:
    """How many statements are left to live; the rest of the process's statements fail, too."""

    def __init__(self) -> None:
        self.left = 0

    def step(self) -> None:
        """One statement was carried out."""
        self.left -= 1
        if self.left <= 0:
            raise Crash


async def mortal_pool(dsn: str, life: Life) -> Pool:
    """The indexer's connections, each statement of which costs some of `life`."""

    def dying(name: str) -> Callable[..., Awaitable[object]]:
        alive: Callable[..., Awaitable[object]] = getattr(asyncpg.Connection, name)

        async def method(*arguments: object, **named: object) -> object:
            answer = await alive(*arguments, **named)
            life.step()
            return answer

        return method

    methods = {name: dying(name) for name in _ASKING}
    connection_class = type("Mortal", (asyncpg.Connection,), {"__slots__": (), **methods})
    return await asyncpg.create_pool(
        dsn,
        min_size=0,
        max_size=2,
        connection_class=connection_class,
        server_settings={"role": "pod_indexer"},
    )
