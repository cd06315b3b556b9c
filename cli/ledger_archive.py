"""`pod ledger archive` and `pod ledger verify-archive`: days that are over leave for files.

Archiving connects as the role of settlement, which alone may let a day go. Exit codes: 0 done or
right, 1 refused, wrong or no answer, 2 typed wrongly, 130 stopped. Stopped or crashed, the same
command goes on.
"""

import asyncio
import json
import signal
import sys
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import asyncpg
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from cli.ledger_reading import (
    BooksUnreadable,
    Database,
    Mistyped,
    database_of,
    progress,
    told_plainly,
    typed_day,
)
from cli.options import DEFAULT_DIRECTORY, AsJson, Directory, give_up, workspace_at
from settlement.clock import SystemClock
from settlement.db.pool import TRANSIENT, DatabaseUnavailable, Limits, Pool, open_pool
from settlement.errors import PodError
from settlement.ledger.archive import Phase, Step, archive_day
from settlement.ledger.archive_check import check_files
from settlement.ledger.archive_file import DayFiles, read_manifest
from settlement.ledger.archive_manifest import Manifest
from settlement.ledger.archive_read import Due, due
from settlement.ledger.merkle import HASH_BYTES

T = TypeVar("T")

_KEEP_DAYS: Final = 30
# Nobody who settles waits for us for longer than this; we try again.
_LIMITS: Final = Limits(statement_ms=60_000, lock_ms=2_000)


class NoSuchHash(Mistyped):
    """Write the seal's hash as 64 hexadecimal digits."""


Before = Annotated[
    str | None,
    typer.Option(
        metavar="DAY",
        help="Archive what is older than this day, as 2026-11-30.",
        show_default="--keep-days ago",
    ),
]
KeepDays = Annotated[int, typer.Option(min=2, max=36_500, help="How many days stay at hand.")]
Into = Annotated[
    Path | None,
    typer.Option(
        metavar="DIRECTORY", help="Where the files go.", show_default="archive in --directory"
    ),
]


def archive(
    before: Before = None,
    keep_days: KeepDays = _KEEP_DAYS,
    into: Into = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say which days would go; change nothing.")
    ] = False,
    directory: Directory = DEFAULT_DIRECTORY,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Take days that are over out of the journal, into Parquet files with the seal's proof.

    Oldest first. A day goes only after its files were read again and found to be what the database
    has; what it added up to stays, so balances and checks are as before. Requests of a day that
    went are refused for ever. Seal first: rows that no seal holds stay.

    Example: pod ledger archive --keep-days 30 --into /mnt/archive
    """
    target = into or workspace_at(directory).directory.joinpath("archive")
    with told_plainly(as_json=as_json):
        limit = typed_day(before, "--before")
        limit = limit or SystemClock().now().date() - timedelta(days=keep_days)
        dsn = database_of(directory, database)
        if dry_run:
            days = _run(dsn, lambda pool: due(pool, limit))
            print(_due_as_json(days, target) if as_json else _due_in_words(days, target))
            return
        done: list[Manifest] = []

        def told(manifest: Manifest) -> None:
            done.append(manifest)
            if not as_json:
                print(_in_words(manifest, target), flush=True)

        try:
            _run(dsn, lambda pool: _archive_all(pool, limit, target, told))
        except PodError as error:
            if not as_json:
                raise
            failed = {"status": "failed", "error": error.code, "message": str(error)}
            print(json.dumps({**failed, "archived": _as_json(done, target)}, indent=2))
            give_up(str(error))
    if as_json:
        print(json.dumps({"status": "done", "archived": _as_json(done, target)}, indent=2))
    elif not done:
        print("no day is older")


def verify_archive(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The Parquet file; its proof lies beside it.")
    ],
    manifest: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Its manifest.", show_default="beside it, .json"),
    ] = None,
    seal_hash: Annotated[
        str | None,
        typer.Option(
            "--seal-hash", metavar="HEX", help="The seal's hash, as it was published or signed."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check the files of an archived day by themselves: no database is asked.

    Rows keep their rules, are of that day and add up to what is told; each is what its leaf was
    made of, and all leaves stand at their places in the tree of the seal. Without --seal-hash this
    seal is taken as the manifest tells it.

    Example: pod ledger verify-archive archive/charges-20261101.parquet --seal-hash 5f0c…
    """
    with told_plainly(as_json=as_json):
        trusted = _typed_hash(seal_hash)
        files = DayFiles.beside(file, manifest)
        found = read_manifest(files.manifest)
        with progress("rows", total=found.sums.rows, shown=True) as told:
            check_files(files, found, told, seal_hash=trusted)
    if as_json:
        print(json.dumps({"status": "right", **found.as_json()}, indent=2))
        return
    print(f"the archive of {found.day} is right: {found.sums.rows} charges")
    if found.seal is not None and trusted is None:
        print(f"if the hash of seal {found.seal.seal_no} is {found.seal.hash.hex()}")


def _typed_hash(text: str | None) -> bytes | None:
    if text is None:
        return None
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != HASH_BYTES:
        raise NoSuchHash(got=text)
    return found


async def _archive_all(
    pool: Pool, limit: date, target: Path, told: Callable[[Manifest], None]
) -> None:
    for one in await due(pool, limit):
        with _bars(one.day) as step:
            manifest = await archive_day(pool, target, one.day, step)
        told(manifest)


def _run(dsn: str, work: Callable[[Pool], Coroutine[Any, Any, T]]) -> T:
    """Work in the role that archives. Raises `PodError`."""
    try:
        return asyncio.run(_connected(dsn, work))
    except TRANSIENT as error:
        raise DatabaseUnavailable(problem=error) from error
    except asyncpg.PostgresError as error:
        raise BooksUnreadable(problem=error) from error


async def _connected(dsn: str, work: Callable[[Pool], Coroutine[Any, Any, T]]) -> T:
    task = asyncio.current_task()
    assert task is not None, "asyncio.run has a task"
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    pool = await open_pool(
        dsn, role="pod_settlement", application="ledger-archive", size=3, limits=_LIMITS
    )
    try:
        return await work(pool)
    finally:
        await pool.close()


@contextmanager
def _bars(day: date) -> Generator[Callable[[Step], None]]:
    """A bar for each phase of a day, on a terminal."""
    tasks: dict[Phase, TaskID] = {}
    shown = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed} {task.fields[of]}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
        transient=True,
    )

    def told(step: Step) -> None:
        if step.phase not in tasks:
            tasks[step.phase] = shown.add_task(f"{day} {step.phase.value}", total=None, of="")
        of = "" if step.total is None else f"of {step.total}"
        shown.update(tasks[step.phase], completed=step.done, total=step.total, of=of)

    with shown:
        yield told


def _as_json(done: list[Manifest], target: Path) -> list[dict[str, object]]:
    return [{"directory": str(target), **manifest.as_json()} for manifest in done]


def _in_words(manifest: Manifest, target: Path) -> str:
    seal = "no seal" if manifest.seal is None else f"seal {manifest.seal.seal_no}"
    return (
        f"{manifest.day}: {manifest.sums.rows} charges, {seal}, {manifest.file.bytes} bytes in"
        f" {target.joinpath(manifest.file.name)}"
    )


def _due_as_json(days: list[Due], target: Path) -> str:
    told = [{**asdict(one), "day": one.day.isoformat()} for one in days]
    return json.dumps({"status": "dry run", "directory": str(target), "due": told}, indent=2)


def _due_in_words(days: list[Due], target: Path) -> str:
    if not days:
        return "no day is older"
    lines = [
        f"{one.day}: about {one.about_rows} charges, {one.bytes} bytes"
        + ("" if one.sealed else ", not sealed yet")
        for one in days
    ]
    return "\n".join([f"would go into {target}, oldest first:", *lines])
