"""`pod ledger export`: the journal for beancount, hledger or a program of one's own."""

import hashlib
import os
import sys
from collections.abc import Callable, Generator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from cli.ledger_reading import (
    Database,
    Mistyped,
    database_of,
    progress,
    read_books,
    told_plainly,
    typed_day,
)
from cli.options import DEFAULT_DIRECTORY, Directory
from settlement.db.pool import Pool
from settlement.errors import Refused
from settlement.reports.export import READINGS, Format
from settlement.reports.export import export as pieces_of
from settlement.reports.journal import batches_in, read_cut
from settlement.reports.transaction import Days, NoSuchDays


class DaysReversed(Mistyped):
    """--from is after --to."""


class NotAFile(Refused):
    """The export cannot be written there."""


@dataclass(frozen=True, kw_only=True)
class _Written:
    transactions: int
    sha256: str


def export(
    format_: Annotated[Format, typer.Option("--format", help="Who is to read it.")],
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Replaced in one step.", show_default="stdout"),
    ] = None,
    first: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="DAY",
            help="The first accounting day; what was before it is one opening entry.",
            show_default="the first of the books",
        ),
    ] = None,
    last: Annotated[
        str | None,
        typer.Option("--to", metavar="DAY", help="The last accounting day.", show_default="no end"),
    ] = None,
    directory: Directory = DEFAULT_DIRECTORY,
    database: Database = None,
) -> None:
    """Write the journal as balanced transactions; beside the live system, up to where it is now.

    The first lines name the cut: up to which batch each writer was read. The same cut gives the
    same bytes.

    Example: pod ledger export --format beancount --output books.beancount
    """
    with told_plainly():
        days = _days(first, last)
        dsn = database_of(directory, database)
        if output is None:
            # Where the text itself goes to the terminal, a bar would stand in it.
            shown = not sys.stdout.isatty()
            read_books(dsn, lambda pool: _export(pool, format_, days, sys.stdout.write, shown))
            sys.stdout.flush()
            return
        with _replacing(output) as write:
            done = read_books(dsn, lambda pool: _export(pool, format_, days, write, True))
    print(f"{output}: {done.transactions} transactions, SHA-256 {done.sha256}")


def _days(first: str | None, last: str | None) -> Days:
    try:
        return Days(first=typed_day(first, "--from"), last=typed_day(last, "--to"))
    except NoSuchDays as error:
        raise DaysReversed(first=first, last=last) from error


async def _export(
    pool: Pool, format_: Format, days: Days, write: Callable[[str], object], shown: bool
) -> _Written:
    cut = await read_cut(pool)
    digest = hashlib.sha256()
    count = -1  # the first piece is the head
    with progress("batches", total=READINGS * batches_in(cut), shown=shown) as told:
        async with aclosing(pieces_of(pool, format_, cut, days, told)) as pieces:
            async for piece in pieces:
                write(piece)
                digest.update(piece.encode())
                count += 1
    return _Written(transactions=count, sha256=digest.hexdigest())


@contextmanager
def _replacing(file: Path) -> Generator[Callable[[str], object]]:
    """Write beside the file and then take its place: readers see all of it or the old one.

    Raises `NotAFile`.
    """
    if file.exists() and not file.is_file():
        raise NotAFile(output=file)
    fresh = file.with_name(f"{file.name}.new")
    try:
        with fresh.open("w", encoding="utf-8", newline="\n") as opened:
            yield opened.write
            opened.flush()
            os.fsync(opened.fileno())
        fresh.replace(file)
    except OSError as error:
        raise NotAFile(output=file, problem=error.strerror) from error
    finally:
        fresh.unlink(missing_ok=True)
