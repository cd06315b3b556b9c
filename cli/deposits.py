"""`pod deposits`: money that arrived without a name, and saying whose it is.

`list` reads as the role that may only read; `assign` posts as the settlement's role, by a writer
that no service uses. Exit codes: 0 done; 1 refused, or no answer; 2 typed wrongly.
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated

import asyncpg
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.ledger_reading import (
    BooksUnreadable,
    Database,
    Mistyped,
    database_of,
    read_books,
    told_plainly,
)
from cli.options import DEFAULT_DIRECTORY, AsJson, Directory
from cli.printable import printable
from indexer import explain
from settlement import assignments
from settlement.assignments import Assigned, Assignment, Unassigned
from settlement.clock import SystemClock
from settlement.db.pool import TRANSIENT, DatabaseUnavailable, Pool, open_pool, reading
from settlement.errors import PodError
from settlement.ledger.operations import AccountName
from settlement.money import MicroUsdc, parse_usdc
from settlement.reports.amounts import decimal_text

deposits = typer.Typer(
    no_args_is_help=True, help="Money that arrived without a name, and whose it is found to be."
)
_AT_ONCE = 500
_AGES = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


class OwnerTwice(Mistyped):
    """An account is named once: `--to user:… --to user:…=2.5` are two."""


@deposits.callback()
def waiting() -> None:
    """Money that arrived without a name, and whose it is found to be."""


@deposits.command("list")
def list_(
    directory: Directory = DEFAULT_DIRECTORY, database: Database = None, as_json: AsJson = False
) -> None:
    """Show what waits in suspense and quarantine: how much, since when, and what was said.

    Example: pod deposits list --json
    """
    with told_plainly(as_json=as_json):
        found, memos = read_books(database_of(directory, database), _waiting)
    if as_json:
        print(json.dumps([_as_json(one, memos) for one in found], indent=2))
        return
    if not found:
        print("nothing waits in suspense or quarantine")
        return
    Console(soft_wrap=True, highlight=False).print(_table(found, memos))


@deposits.command()
def assign(
    reference: Annotated[str, typer.Argument(help="Of the movement, as `list` shows it.")],
    to: Annotated[
        list[str],
        typer.Option(
            metavar="ACCOUNT",
            help="user:ID, host:ID or bond-pending:ID; what was in quarantine may have several,"
            " each with its part: user:ID=2.5.",
        ),
    ],
    actor: Annotated[str, typer.Option(metavar="NAME", help="Who decided it.")],
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why it is theirs.")],
    directory: Directory = DEFAULT_DIRECTORY,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Say whose a movement is: a later entry of its own, once; what was seen is never rewritten.

    Typed again, it answers with what there is.

    Example: pod deposits assign chain:localnet:… --to user:… --actor ann --reason "ticket 12"
    """
    with told_plainly(as_json=as_json):
        wanted = Assignment(reference=reference, owners=_owners(to), actor=actor, reason=reason)
        done = asyncio.run(_assigned(database_of(directory, database), wanted))
    if as_json:
        print(json.dumps(_done_json(done), indent=2))
        return
    word = "was assigned before" if done.before else "assigned"
    for owner, amount in done.shares.items():
        print(f"{word}: {_usdc(amount)} USDC to {owner}, by {done.actor}: {done.reason}")


def _owners(texts: Iterable[str]) -> dict[AccountName, MicroUsdc | None]:
    """Raises `OwnerTwice`, `InvalidAmount`."""
    owners: dict[AccountName, MicroUsdc | None] = {}
    for text in texts:
        name, parted, amount = text.partition("=")
        if name in owners:
            raise OwnerTwice(field="to", got=name)
        owners[AccountName(name)] = parse_usdc(amount, field="to") if parted else None
    return owners


async def _assigned(dsn: str, wanted: Assignment) -> Assigned:
    try:
        pool = await open_pool(dsn, role="pod_settlement", application="pod", size=2)
        try:
            return await assignments.assign(pool, SystemClock(), wanted)
        finally:
            await pool.close()
    except TRANSIENT as error:
        raise DatabaseUnavailable(problem=error) from error
    except asyncpg.PostgresError as error:
        raise BooksUnreadable(problem=error) from error


async def _waiting(pool: Pool) -> tuple[list[Unassigned], Mapping[str, list[str]]]:
    """Everything that waits, and what the memos of its transactions say."""
    found = [one async for one in assignments.unassigned(pool)]
    by_cluster: defaultdict[str, list[str]] = defaultdict(list)
    for one in found:
        cluster, signature = _place(one.reference)
        by_cluster[cluster].append(signature)
    memos: dict[str, list[str]] = {}
    for cluster, signatures in by_cluster.items():
        for at in range(0, len(signatures), _AT_ONCE):
            few = sorted(set(signatures[at : at + _AT_ONCE]))
            async with reading(pool) as conn:
                try:
                    memos |= await explain.memos(conn, cluster, few)
                except PodError:  # booked by something that was not the indexer
                    continue
    return found, memos


def _place(reference: str) -> tuple[str, str]:
    """The cluster and signature of a movement's reference."""
    head = reference.removeprefix("chain:").rsplit(":", 4)
    return head[0], head[1] if len(head) > 1 else ""


def _as_json(one: Unassigned, memos: Mapping[str, Sequence[str]]) -> dict[str, object]:
    _, signature = _place(one.reference)
    return {
        "reference": one.reference,
        "account": one.account,
        "amount_microusdc": one.amount_microusdc,
        "slot": one.slot,
        "event_at": one.event_at.isoformat(),
        "age_seconds": one.age_seconds,
        "signature": signature,
        "source": one.source,
        "code": one.code,
        "memos": list(memos.get(signature, ())),
    }


def _done_json(done: Assigned) -> dict[str, object]:
    return {
        "reference": done.reference,
        "transaction_id": str(done.transaction_id),
        "shares": dict(done.shares),
        "actor": done.actor,
        "reason": done.reason,
        "recorded_at": done.recorded_at.isoformat(),
        "before": done.before,
    }


def _table(found: Sequence[Unassigned], memos: Mapping[str, Sequence[str]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("in", "USDC", "age", "slot", "said", "reference"):
        table.add_column(heading, justify="right" if heading in ("USDC", "slot") else "left")
    for one in found:
        said = [f"code {one.code}"] if one.code else []
        said += [f"memo {printable(text)}" for text in memos.get(_place(one.reference)[1], ())]
        cells = (
            one.account,
            _usdc(one.amount_microusdc),
            _age(one.age_seconds),
            str(one.slot),
            "; ".join(said) or "-",
            one.reference,
        )
        # A memo is a stranger's text: no markup of it counts.
        table.add_row(*(Text(cell) for cell in cells))
    return table


def _age(seconds: int) -> str:
    unit, name = next((one for one in _AGES if seconds >= one[0]), _AGES[-1])
    return f"{seconds // unit} {name}"


def _usdc(amount: MicroUsdc) -> str:
    return decimal_text(amount, "USDC")
