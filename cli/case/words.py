"""`pod case review | close | list | show`: what people say of a case, and how it stands."""

import json
from typing import Annotated
from uuid import UUID

import typer

from cli.case import shown
from cli.case.noun import Actor, CaseId, Note, case, case_id_of, operator_of, write_books
from cli.case.shown import Whole
from cli.ledger_reading import Database, database_of, read_books, told_plainly
from cli.options import DEFAULT_DIRECTORY, AsJson, Directory
from settlement.cases import lists, opening, reading
from settlement.cases.reading import Case
from settlement.cases.states import CaseState
from settlement.clock import SystemClock
from settlement.db import pool as db
from settlement.db.pool import Pool, ReadConn


@case.command()
def review(
    case_id: CaseId,
    actor: Actor,
    note: Note,
    refuse: Annotated[bool, typer.Option("--refuse", help="Do not agree: the case ends.")] = False,
    directory: Directory = DEFAULT_DIRECTORY,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Agree to a case that somebody else opened, or refuse it.

    Example: pod case review CASE --actor bob --note "logs compared with the model's own"
    """
    with told_plainly(as_json=as_json):
        wanted = case_id_of(case_id)
        done = write_books(
            directory,
            database,
            lambda pool: opening.review(
                pool, SystemClock(), wanted, actor=actor, note=note, accepts=not refuse
            ),
        )
    _tell(done, as_json=as_json)


@case.command()
def close(
    case_id: CaseId,
    actor: Actor,
    note: Note,
    directory: Directory = DEFAULT_DIRECTORY,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """End a case that is over. What its bond left over stays in the refund pool.

    Example: pod case close CASE --actor bob --note "all credited"
    """
    with told_plainly(as_json=as_json):
        wanted = case_id_of(case_id)
        done = write_books(
            directory,
            database,
            lambda pool: opening.close(pool, SystemClock(), wanted, actor=actor, note=note),
        )
    _tell(done, as_json=as_json)


@case.command("list")
def list_(
    operator: Annotated[
        str | None, typer.Option(metavar="ID|CODE", help="Only those about this operator.")
    ] = None,
    state: Annotated[
        CaseState | None, typer.Option(help="Only those that stand there now.")
    ] = None,
    directory: Directory = DEFAULT_DIRECTORY,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Show cases, newest first, as they stand on chain now.

    Example: pod case list --state contested --json
    """

    async def work(pool: Pool) -> list[Case]:
        async with db.reading(pool) as conn:
            provider_id = None if operator is None else await operator_of(conn, operator)
            return await _all(conn, provider_id)

    with told_plainly(as_json=as_json):
        found = read_books(database_of(directory, database), work)
    wanted = [one for one in found if state is None or one.state is state]
    if as_json:
        print(json.dumps([shown.case_json(one) for one in wanted], indent=2))
    elif not wanted:
        print("no such case")
    else:
        shown.console().print(shown.case_table(wanted))


@case.command()
def show(
    case_id: CaseId,
    directory: Directory = DEFAULT_DIRECTORY,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Show everything about a case: what was said, what the chain did, what was credited.

    Example: pod case show CASE
    """

    async def work(pool: Pool) -> Whole:
        async with db.reading(pool) as conn:
            return await _whole(conn, wanted)

    with told_plainly(as_json=as_json):
        wanted = case_id_of(case_id)
        whole = read_books(database_of(directory, database), work)
    if as_json:
        print(json.dumps(shown.whole_json(whole), indent=2))
        return
    shown.show_whole(whole)


async def _all(conn: ReadConn, provider_id: UUID | None) -> list[Case]:
    found = await reading.cases(conn, provider_id)
    page = found
    while len(page) == reading.PAGE:
        page = await reading.cases(conn, provider_id, before=found[-1].case_id)
        found += page
    return found


async def _whole(conn: ReadConn, case_id: UUID) -> Whole:
    found = await reading.case(conn, case_id)
    drawn = await lists.lists(conn, case_id)
    last = next((one for one in drawn if one.approved_at), drawn[-1] if drawn else None)
    return Whole(
        case=found,
        steps=await reading.steps(conn, case_id),
        files=await reading.files(conn, case_id),
        requests=await reading.requests(conn, case_id),
        lists=drawn,
        credits=[] if last is None else await lists.credits_of(conn, case_id, last.list_no),
    )


def _tell(done: Case, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(shown.case_json(done), indent=2))
    else:
        print(f"case {done.case_id} is {done.state.value}")
