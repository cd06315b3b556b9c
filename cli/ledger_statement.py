"""`pod ledger statement` and `pod ledger balance`: what happened to an account, where it stands."""

import json
import sys
from datetime import datetime
from functools import partial
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from cli.ledger_reading import (
    Database,
    Mistyped,
    database_of,
    read_books,
    told_plainly,
    typed_moment,
)
from cli.options import DEFAULT_DIRECTORY, AsJson, Directory
from settlement.db.pool import Pool, reading
from settlement.ledger.operations import AccountName
from settlement.money import Slot
from settlement.reports import statement as statements
from settlement.reports.amounts import decimal_text
from settlement.reports.statement import LINES_PER_PAGE, MOST_LINES, Line, Standing, Statement

_WIDTH_OF_NO_TERMINAL: Final = 200
_LARGEST: Final = 2**63 - 1

Account = Annotated[
    str,
    typer.Argument(metavar="ACCOUNT", help="By its name: user:<uuid>, host:<uuid>, chain:till, …"),
]


class OneTimeOnly(Mistyped):
    """Name one of --at, --slot and --entry, or none for now."""


class MomentsReversed(Mistyped):
    """--from is after --to."""


def statement(
    account: Account,
    after: Annotated[
        int,
        typer.Option(
            min=0, max=_LARGEST, metavar="N", help="Only what comes after this entry number."
        ),
    ] = 0,
    limit: Annotated[
        int, typer.Option(min=1, max=MOST_LINES, metavar="N", help="How many lines at most.")
    ] = LINES_PER_PAGE,
    since: Annotated[
        str | None,
        typer.Option("--from", metavar="MOMENT", help="Only what was recorded at or after it."),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option("--to", metavar="MOMENT", help="Only what was recorded at or before it."),
    ] = None,
    directory: Directory = DEFAULT_DIRECTORY,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Show an account's entries, oldest first, with the balance before, after each, and at the end.

    The next page comes --after the last entry shown, also while entries are being added.

    Example: pod ledger statement user:0b1c… --after 100 --limit 50
    """
    with told_plainly(as_json=as_json):
        first, last = typed_moment(since, "--from"), typed_moment(until, "--to")
        if first is not None and last is not None and first > last:
            raise MomentsReversed(first=since, last=until)

        async def find(pool: Pool) -> Statement:
            async with reading(pool) as conn:
                return await statements.statement(
                    conn, AccountName(account), after=after, limit=limit, since=first, until=last
                )

        found = read_books(database_of(directory, database), find)
    if as_json:
        print(json.dumps(_as_json(found), indent=2))
    else:
        wide = None if sys.stdout.isatty() else _WIDTH_OF_NO_TERMINAL
        console = Console(soft_wrap=True, highlight=False, width=wide)
        console.print(_table(found))
        if found.more:
            console.print(f"more: --after {found.last}")


def balance(
    account: Account,
    at: Annotated[
        str | None,
        typer.Option(metavar="MOMENT", help="By what was recorded at or before it."),
    ] = None,
    slot: Annotated[
        int | None, typer.Option(min=0, max=_LARGEST, metavar="S", help="As of this slot.")
    ] = None,
    entry: Annotated[
        int | None,
        typer.Option(min=0, max=_LARGEST, metavar="N", help="After its entry of this number."),
    ] = None,
    directory: Directory = DEFAULT_DIRECTORY,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Show where an account stands, or stood at a moment, at a slot or after one of its entries.

    At a slot, entries that have none of their own (charges, adjustments) count up to the newest
    time that the books know of at or below it.

    Example: pod ledger balance chain:till --slot 1200
    """
    with told_plainly(as_json=as_json):
        if sum(one is not None for one in (at, slot, entry)) > 1:
            raise OneTimeOnly
        moment = typed_moment(at, "--at")
        find = partial(_find, name=AccountName(account), at=moment, slot=slot, entry=entry)
        found = read_books(database_of(directory, database), find)
    if as_json:
        print(json.dumps(_standing_as_json(found), indent=2))
        return
    asset = found.account.asset
    print(f"{decimal_text(found.units, asset)} {asset} after {found.turnover.entries} entries")
    if found.held:
        print(f"{decimal_text(found.held, asset)} {asset} of it set aside")


async def _find(
    pool: Pool, *, name: AccountName, at: datetime | None, slot: int | None, entry: int | None
) -> Standing:
    async with reading(pool) as conn:
        if at is not None:
            return await statements.balance_at(conn, name, at)
        if slot is not None:
            return await statements.balance_at_slot(conn, name, Slot(slot))
        if entry is not None:
            return await statements.balance_at_entry(conn, name, entry)
        return await statements.balance_now(conn, name)


def _table(found: Statement) -> Table:
    asset = found.account.asset
    title = f"{found.account.name}, {asset}"
    table = Table(box=None, pad_edge=False, title=title, title_justify="left")
    for heading in ("entry", "debit", "credit", "balance"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("recorded", "what", "cause"):
        table.add_column(heading, overflow="fold")
    table.add_row("", "", "", decimal_text(found.opening, asset), "", "opening")
    for line in found.lines:
        table.add_row(
            str(line.entry),
            *(decimal_text(n, asset) if n else "" for n in (line.dr, line.cr)),
            decimal_text(line.balance, asset),
            f"{line.recorded_at:%Y-%m-%d %H:%M:%S}Z",
            line.kind,
            str(line.cause_id),
        )
    table.add_row("", "", "", decimal_text(found.closing, asset), "", "closing", style="bold")
    return table


def _as_json(found: Statement) -> dict[str, object]:
    return {
        "account": found.account.name,
        "side": found.account.side.value,
        "asset": found.account.asset,
        "after": found.after,
        "opening": found.opening,
        "lines": [_line_as_json(line) for line in found.lines],
        "closing": found.closing,
        "last": found.last,
        "more": found.more,
    }


def _line_as_json(line: Line) -> dict[str, object]:
    return {
        "entry": line.entry,
        "dr": line.dr,
        "cr": line.cr,
        "balance": line.balance,
        "kind": line.kind,
        "cause_id": str(line.cause_id),
        "external_ref": line.external_ref,
        "slot": line.slot,
        "event_at": line.event_at.isoformat(),
        "recorded_at": line.recorded_at.isoformat(),
    }


def _standing_as_json(found: Standing) -> dict[str, object]:
    return {
        "account": found.account.name,
        "side": found.account.side.value,
        "asset": found.account.asset,
        "dr": found.turnover.dr,
        "cr": found.turnover.cr,
        "balance": found.units,
        "amount": decimal_text(found.units, found.account.asset),
        "held": found.held,
        "entries": found.turnover.entries,
    }
