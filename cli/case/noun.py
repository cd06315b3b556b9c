"""The noun itself, which the files of its verbs add to; their shared arguments and ways."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar
from uuid import UUID

import asyncpg
import typer

from cli.ledger_reading import BooksUnreadable, Mistyped, database_of
from cli.transaction.codes import bond_code
from settlement.cases import opening
from settlement.db.pool import TRANSIENT, DatabaseUnavailable, Pool, ReadConn, open_pool
from settlement.errors import PodError

T = TypeVar("T")

case = typer.Typer(
    no_args_is_help=True,
    help="Cases against operators: the accusation, its review, the seizure, the credits.",
)


@case.callback()
def accusing() -> None:
    """Cases against operators: the accusation, its review, the seizure, the credits."""


class NotACase(Mistyped):
    """A case is named by its id, as `pod case list` shows it."""


class NotAnOperator(Mistyped):
    """An operator is named by its id, or by its code (POD-BOND- and eight letters or digits)."""


CaseId = Annotated[
    str, typer.Argument(metavar="CASE", help="The case's id, as `pod case list` shows it.")
]
Actor = Annotated[str, typer.Option(metavar="NAME", help="Who does it; it is written down.")]
Note = Annotated[str, typer.Option(metavar="TEXT", help="Why; it is written down.")]


def case_id_of(text: str) -> UUID:
    """The id that was typed. Raises `NotACase`."""
    try:
        return UUID(text)
    except ValueError:
        raise NotACase(field="case", got=text) from None


async def operator_of(conn: ReadConn, text: str) -> UUID:
    """The operator that was typed. Raises `NotAnOperator` or `OperatorUnknown`."""
    try:
        return UUID(text)
    except ValueError:
        pass
    try:
        code = bond_code(text)
    except PodError:
        raise NotAnOperator(field="operator", got=text) from None
    return await opening.operator_of_code(conn, code)


def write_books(directory: Path, database: str | None, work: Callable[[Pool], Awaitable[T]]) -> T:
    """What `work` does as the settlement's role. Raises `PodError`."""
    return asyncio.run(_write(database_of(directory, database), work))


async def _write(dsn: str, work: Callable[[Pool], Awaitable[T]]) -> T:
    try:
        pool = await open_pool(dsn, role="pod_settlement", application="pod", size=2)
        try:
            return await work(pool)
        finally:
            await pool.close()
    except TRANSIENT as error:
        raise DatabaseUnavailable(problem=error) from error
    except asyncpg.PostgresError as error:
        raise BooksUnreadable(problem=error) from error
