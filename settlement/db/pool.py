"""Connections whose type says what may be done with them.

A function that takes a `ReadConn` only reads. A function that takes a `Tx` writes, and its caller
opened the transaction: `transaction(pool)` is the only maker of a `Tx`, it commits at its end and
rolls back on any exception. A `CallConn` is for single calls that are a transaction each. Isolation
is READ COMMITTED on purpose: the ledger locks first and reads in a later statement, which is only
right at that level (ledger.md §1.1).

Every connection takes on one database role (`SET ROLE`), with time limits of its own, so a service
can do in the database just what that role may.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NewType, TypeVar

import asyncpg
from asyncpg.exceptions import (
    ConnectionDoesNotExistError,
    DeadlockDetectedError,
    InterfaceError,
    InternalClientError,
    LockNotAvailableError,
    OperatorInterventionError,
    PostgresConnectionError,
    SerializationError,
)

from settlement.errors import Unavailable

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Pool = asyncpg.Pool[asyncpg.Record]
    ReadConn = NewType("ReadConn", PoolConnectionProxy[asyncpg.Record])
else:
    Pool = asyncpg.Pool
    ReadConn = NewType("ReadConn", object)
Tx = NewType("Tx", ReadConn)
CallConn = NewType("CallConn", ReadConn)

T = TypeVar("T")

# What a lost connection, a restarting server or a lock conflict looks like: worth another try.
TRANSIENT = (
    ConnectionDoesNotExistError,
    ConnectionError,
    DeadlockDetectedError,
    InterfaceError,
    InternalClientError,  # a connection lost in the middle of a word
    LockNotAvailableError,
    OSError,
    OperatorInterventionError,  # the server is stopping, was killed, or is starting again
    PostgresConnectionError,
    SerializationError,
    TimeoutError,
)


# The server asks a silent client whether it lives: its default is two hours.
_NOTICE_THE_DEAD = """
set tcp_keepalives_idle = 3; set tcp_keepalives_interval = 1; set tcp_keepalives_count = 3
"""


class DatabaseUnavailable(Unavailable):
    """The database does not answer."""


class AlreadyRunning(Unavailable):
    """Another process of this kind is already active on this database."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Time limits of a role's connections, in milliseconds."""

    statement_ms: int = 15_000
    lock_ms: int = 5_000
    idle_in_transaction_ms: int = 15_000


async def open_pool(
    dsn: str,
    *,
    role: str,
    application: str,
    size: int = 8,
    limits: Limits | None = None,
) -> Pool:
    """Connect as `role`. Raises `DatabaseUnavailable` when the server cannot be reached."""
    chosen = limits or Limits()
    settings = {
        "application_name": application,
        "statement_timeout": str(chosen.statement_ms),
        "lock_timeout": str(chosen.lock_ms),
        "idle_in_transaction_session_timeout": str(chosen.idle_in_transaction_ms),
        "default_transaction_isolation": "read committed",
        # Set at connection time, so that asyncpg's own RESET ALL between uses comes back to it.
        "role": role,
        "timezone": "UTC",
    }
    try:
        return await asyncpg.create_pool(
            dsn, min_size=1, max_size=size, server_settings=settings, command_timeout=60
        )
    except (OSError, OperatorInterventionError, PostgresConnectionError) as error:
        raise DatabaseUnavailable(problem=str(error)) from error


@asynccontextmanager
async def reading(pool: Pool) -> AsyncGenerator[ReadConn]:
    """A connection for reading."""
    async with pool.acquire() as connection:
        yield ReadConn(connection)


@asynccontextmanager
async def calling(pool: Pool) -> AsyncGenerator[CallConn]:
    """A connection for calls of one statement, each a transaction of its own in one round trip."""
    async with pool.acquire() as connection:
        yield CallConn(ReadConn(connection))


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncGenerator[Tx]:
    """The one maker of a `Tx`: commits at the end, rolls back when anything is raised."""
    async with pool.acquire() as connection, connection.transaction(isolation="read_committed"):
        yield Tx(ReadConn(connection))


async def retried(
    step: Callable[[], Coroutine[Any, Any, T]],
    *,
    attempts: int = 5,
    first_pause_seconds: float = 0.05,
) -> T:
    """Run an idempotent step again when the database was away or chose it as a deadlock's victim.

    Raises `DatabaseUnavailable` after the last attempt.
    """
    pause = first_pause_seconds
    for attempt in range(1, attempts + 1):
        try:
            return await step()
        except TRANSIENT as error:
            if attempt == attempts:
                raise DatabaseUnavailable(problem=str(error)) from error
            await asyncio.sleep(pause)
            pause *= 2
    raise AssertionError("the loop returns or raises")


class HeldLock:
    """An advisory lock; called, it says whether it is still held (it goes with its connection)."""

    def __init__(self, connection: "PoolConnectionProxy[asyncpg.Record]") -> None:
        self._connection = connection

    def __call__(self) -> bool:
        """Whether it is still held, as far as this end of the connection knows."""
        try:
            return not self._connection.is_closed()
        except InterfaceError:  # a lost connection goes back to the pool by itself
            return False

    @asynccontextmanager
    async def hearing(self, channel: str, heard: Callable[[], None]) -> AsyncGenerator[None]:
        """Call `heard` at every notification of a channel while the lock is held."""

        def told(*_: object) -> None:
            heard()

        await self._connection.add_listener(channel, told)
        try:
            yield
        finally:
            with suppress(*TRANSIENT):
                await self._connection.remove_listener(channel, told)

    async def lost(self, *, every_seconds: float = 0.5, answer_seconds: float = 2.0) -> None:
        """Return when it is lost: the connection has ended, or its server does not answer."""
        while self():
            try:
                async with asyncio.timeout(answer_seconds):
                    await self._connection.execute("select 1")
            except TRANSIENT:
                return
            await asyncio.sleep(every_seconds)


@asynccontextmanager
async def only_one(pool: Pool, name: str) -> AsyncGenerator[HeldLock]:
    """Hold the advisory lock `name` on a connection of its own.

    The server lets go of it soon after this end has vanished without a word.
    Raises `AlreadyRunning` when another session has it. Unique keys, not this lock, keep money
    right: the lock only spares two processes each other's work.
    """
    async with pool.acquire() as connection:
        got = await connection.fetchval(
            "select pg_try_advisory_lock(hashtextextended('podledger:' || $1, 0))", name
        )
        if not got:
            raise AlreadyRunning(lock=name)

        await connection.execute(_NOTICE_THE_DEAD)
        try:
            yield HeldLock(connection)
        finally:
            # The lock goes with its connection; an error here would hide why the body ended.
            with suppress(*TRANSIENT):
                await connection.execute(
                    "select pg_advisory_unlock(hashtextextended('podledger:' || $1, 0))", name
                )
