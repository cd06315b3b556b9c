"""What the words that read the books share: which database, days and moments, how they fail.

They read as the role that may only read. Exit codes: 0 answered, 1 refused or no answer, 2 typed
wrongly, 130 stopped.
"""

import asyncio
import json
import signal
import sys
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Final, NoReturn, TypeVar

import asyncpg
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cli.options import give_up, workspace_at
from settlement.db.pool import TRANSIENT, DatabaseUnavailable, Limits, Pool, open_pool
from settlement.errors import NotFound, PodError, Refused, Unavailable

T = TypeVar("T")

_MISTYPED: Final = 2
_STOPPED: Final = 130
# A sum over all that one account ever did may take a while.
_PATIENT: Final = Limits(statement_ms=60_000)

Database = Annotated[
    str | None,
    typer.Option(
        envvar="POD_DATABASE",
        help="Which database, when it is not that of the system running in the directory.",
    ),
]


class Mistyped(Refused):
    """The command was typed wrongly."""


class NoSuchDay(Mistyped):
    """Write a day as 2026-11-30."""


class NoSuchMoment(Mistyped):
    """Write a moment with its zone, as 2026-11-30T12:00:00Z."""


class NothingRuns(NotFound):
    """Nothing is running in the directory; name a database with POD_DATABASE."""


class BooksUnreadable(Unavailable):
    """The database does not answer as our books do."""


def database_of(directory: Path, database: str | None) -> str:
    """Where to connect. Raises `NothingRuns`."""
    running = workspace_at(directory).running()
    dsn = database or (running.database if running else None)
    if dsn is None:
        raise NothingRuns(directory=directory)
    return dsn


def typed_day(text: str | None, option: str) -> date | None:
    """The day that an option names. Raises `NoSuchDay`."""
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise NoSuchDay(option=option, got=text) from None


def typed_moment(text: str | None, option: str) -> datetime | None:
    """The moment that an option names. Raises `NoSuchMoment`; one without a zone is none."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise NoSuchMoment(option=option, got=text)


def read_books(dsn: str, work: Callable[[Pool], Awaitable[T]]) -> T:
    """What `work` finds in the books. Raises `PodError`."""
    try:
        return asyncio.run(_read(dsn, work))
    except BrokenPipeError:  # of our own output: the reader had enough
        raise
    except TRANSIENT as error:
        raise DatabaseUnavailable(problem=error) from error
    except asyncpg.PostgresError as error:
        raise BooksUnreadable(problem=error) from error


async def _read(dsn: str, work: Callable[[Pool], Awaitable[T]]) -> T:
    task = asyncio.current_task()
    assert task is not None, "asyncio.run has a task"
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    pool = await open_pool(dsn, role="pod_finance", application="ledger", size=2, limits=_PATIENT)
    try:
        return await work(pool)
    finally:
        await pool.close()


@contextmanager
def told_plainly(*, as_json: bool = False) -> Generator[None]:
    """Errors in the block end the command: with their words, and as JSON where that was asked."""
    try:
        yield
    except PodError as error:
        _fail(error, as_json=as_json)
    except (KeyboardInterrupt, asyncio.CancelledError):
        give_up("stopped", _STOPPED)


def _fail(error: PodError, *, as_json: bool) -> NoReturn:
    if as_json:
        told = {"status": "failed", "error": error.code, "message": str(error)}
        print(json.dumps(told, indent=2), flush=True)
    give_up(str(error), _MISTYPED if isinstance(error, Mistyped) else 1)


@contextmanager
def progress(what: str, *, total: int, shown: bool) -> Generator[Callable[[int], None]]:
    """A bar on a terminal; yields what is to be told of each step forward."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        disable=not (shown and sys.stderr.isatty()),
        transient=True,
    )
    with bar:
        task = bar.add_task(what, total=total)
        yield lambda more: bar.advance(task, more)
