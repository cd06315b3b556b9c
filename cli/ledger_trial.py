"""`pod ledger trial-balance`: where every account stands, and that debits equal credits."""

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
    database_of,
    progress,
    read_books,
    told_plainly,
    typed_moment,
)
from cli.options import DEFAULT_DIRECTORY, AsJson, Directory
from settlement.db.pool import Pool
from settlement.reports import trial
from settlement.reports.amounts import decimal_text
from settlement.reports.journal import batches_in, read_cut
from settlement.reports.trial import TrialBalance

_WIDTH_OF_NO_TERMINAL: Final = 200


def trial_balance(
    directory: Directory = DEFAULT_DIRECTORY,
    database: Database = None,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="MOMENT",
            help="By what was recorded at or before it, as 2026-11-30T12:00:00Z.",
            show_default="now",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show where every account stands; exits 1 when debits do not equal credits.

    With --at it is added up from the journal, not taken from the balances.

    Example: pod ledger trial-balance --at 2026-11-30T23:59:59Z --json
    """
    with told_plainly(as_json=as_json):
        moment = typed_moment(at, "--at")
        found = read_books(database_of(directory, database), partial(_find, at=moment))
    if as_json:
        print(json.dumps(found.as_json(), indent=2))
    else:
        wide = None if sys.stdout.isatty() else _WIDTH_OF_NO_TERMINAL
        Console(soft_wrap=True, highlight=False, width=wide).print(_table(found))
    sys.exit(0 if found.balanced else 1)


async def _find(pool: Pool, *, at: datetime | None) -> TrialBalance:
    if at is None:
        return await trial.trial_balance(pool)
    cut = await read_cut(pool)
    with progress("batches", total=batches_in(cut), shown=True) as told:
        return await trial.trial_balance_at(pool, cut, at, told)


def _table(found: TrialBalance) -> Table:
    when = "now" if found.at is None else f"at {found.at.isoformat()}"
    table = Table(box=None, pad_edge=False, title=f"trial balance {when}", title_justify="left")
    for heading in ("gl", "account", "asset"):
        table.add_column(heading, overflow="fold")
    for heading in ("debit", "credit"):
        table.add_column(heading, justify="right", no_wrap=True)
    for line in found.lines:
        one = line.account
        texts = (decimal_text(n, one.asset) if n else "" for n in (line.debit, line.credit))
        table.add_row(one.gl_code, one.name, one.asset, *texts)
    for total in found.totals:
        texts = (decimal_text(n, total.asset) for n in (total.debit, total.credit))
        table.add_row("", "total", total.asset, *texts, style="bold")
    return table
