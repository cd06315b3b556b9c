"""`pod case credit-list | approve | credit`: who gets how much, who agrees, and that it is done."""

import json
from typing import Annotated
from uuid import UUID

import typer

from cli.case import shown
from cli.case.noun import Actor, CaseId, case, case_id_of, write_books
from cli.ledger_reading import Database, told_plainly
from cli.options import DEFAULT_DIRECTORY, AsJson, Directory
from settlement.cases import crediting, lists
from settlement.cases.crediting import Credited
from settlement.cases.lists import Credit, CreditList
from settlement.clock import SystemClock
from settlement.db import pool as db
from settlement.db.pool import Pool
from settlement.money import MicroUsdc, parse_usdc


@case.command("credit-list")
def credit_list(
    case_id: CaseId,
    actor: Actor,
    backstop: Annotated[
        bool,
        typer.Option(
            "--backstop", help="The treasury pays what the bond does not; else all get a part."
        ),
    ] = False,
    directory: Directory = DEFAULT_DIRECTORY,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Draw up who is to be credited how much, once the bond is seized or there is none to seize.

    Example: pod case credit-list CASE --actor ann
    """

    async def work(pool: Pool) -> tuple[CreditList, list[Credit]]:
        made = await lists.draw(pool, SystemClock(), wanted, actor=actor, backed=backstop)
        async with db.reading(pool) as conn:
            return made, await lists.credits_of(conn, wanted, made.list_no)

    with told_plainly(as_json=as_json):
        wanted = case_id_of(case_id)
        drawn, lines = write_books(directory, database, work)
    if as_json:
        told = shown.list_json(drawn) | {"credits": [shown.credit_json(one) for one in lines]}
        print(json.dumps(told, indent=2))
        return
    shown.console().print(shown.list_table(drawn, lines))
    print(shown.list_words(drawn))
    backing = shown.usdc(drawn.funds.backing_microusdc)
    confirmed = f" --backstop {backing}" if drawn.funds.backing_microusdc else ""
    command = f"pod case approve {wanted} --list {drawn.list_no}{confirmed} --actor NAME"
    print(f"next, somebody else: {command}")


@case.command()
def approve(
    case_id: CaseId,
    list_no: Annotated[int, typer.Option("--list", min=1, help="Which list, by its number.")],
    actor: Actor,
    backstop: Annotated[
        str, typer.Option(metavar="USDC", help="How much of it the treasury pays.")
    ] = "0",
    directory: Directory = DEFAULT_DIRECTORY,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Agree to a list that somebody else drew up; from then on it can be credited.

    Example: pod case approve CASE --list 1 --backstop 12.5 --actor bob
    """
    with told_plainly(as_json=as_json):
        wanted, backing = case_id_of(case_id), _backing(backstop)
        done = write_books(
            directory,
            database,
            lambda pool: lists.approve(
                pool, SystemClock(), wanted, list_no, actor=actor, backing_microusdc=backing
            ),
        )
    _tell(wanted, done, as_json=as_json, before=False)


@case.command()
def credit(
    case_id: CaseId,
    directory: Directory = DEFAULT_DIRECTORY,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Credit the users of the approved list. Stopped and typed again, it goes on where it was.

    Example: pod case credit CASE
    """

    async def work(pool: Pool) -> Credited:
        return await crediting.credit(pool, SystemClock(), wanted)

    with told_plainly(as_json=as_json):
        wanted = case_id_of(case_id)
        done = write_books(directory, database, work)
    _tell(wanted, done.list, as_json=as_json, before=done.before)


def _backing(text: str) -> MicroUsdc:
    """Raises `InvalidAmount`; `0` is nothing."""
    return MicroUsdc(0) if text.strip("0.") == "" else parse_usdc(text, field="backstop")


def _tell(case_id: UUID, done: CreditList, *, as_json: bool, before: bool) -> None:
    if as_json:
        told = {"case_id": str(case_id)} | shown.list_json(done) | {"before": before}
        print(json.dumps(told, indent=2))
        return
    print(shown.list_words(done))
    if done.settled:
        word = "was credited before" if before else "credited"
        print(f"{word}: {shown.usdc(done.credited_microusdc)} USDC")
