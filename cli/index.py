"""`pod index`: what the indexer has read of the chain, whom it asks, and what waits for a person.

Everything is read from the database, so it can be asked while the indexer is away.
"""

import json
import sys
from functools import partial
from typing import Annotated, Final, cast

import typer
from rich.console import Console, Group
from rich.table import Table

from cli.index_backfill import backfill
from cli.index_explain import explain
from cli.index_replay import replay
from cli.ledger_reading import Database, database_of, read_books, told_plainly
from cli.options import DEFAULT_DIRECTORY, AsJson, Cluster, Directory
from indexer import overview, stops
from indexer.overview import Overview, Row
from settlement.db.pool import Pool, reading, transaction
from settlement.reports.amounts import decimal_text

_WIDTH_OF_NO_TERMINAL: Final = 200

index = typer.Typer(
    no_args_is_help=True,
    help="The indexer: how far it has read the chain, and what waits for a person.",
)


@index.callback()
def following() -> None:
    """The indexer: how far it has read the chain, and what waits for a person."""


index.command("replay")(replay)
index.command("explain")(explain)
index.command("backfill")(backfill)


@index.command()
def status(
    directory: Directory = DEFAULT_DIRECTORY,
    database: Database = None,
    cluster: Cluster = None,
    as_json: AsJson = False,
) -> None:
    """Show frontiers, providers, queues and incidents; exits 1 when something waits for a person.

    Example: pod index status --json
    """
    with told_plainly(as_json=as_json):
        found = read_books(database_of(directory, database), partial(_look, cluster=cluster))
    if as_json:
        print(json.dumps(found.as_json(), indent=2))
    else:
        wide = None if sys.stdout.isatty() else _WIDTH_OF_NO_TERMINAL
        Console(highlight=False, width=wide).print(_for_people(found))
    sys.exit(0 if found.well else 1)


@index.command()
def decide(
    signature: Annotated[str, typer.Argument(help="What one provider lists and another does not.")],
    by: Annotated[str, typer.Option(help="Who decides; it is kept.")],
    directory: Directory = DEFAULT_DIRECTORY,
    database: Database = None,
    cluster: Cluster = None,
    as_json: AsJson = False,
) -> None:
    """Let the frontiers go on without a signature that not every provider lists.

    Look it up elsewhere first: should it exist after all, it is booked when somebody tells it.

    Example: pod index decide SIGNATURE --by ada
    """
    with told_plainly(as_json=as_json):
        work = partial(_decide, cluster=cluster, signature=signature, by=by)
        decided = read_books(database_of(directory, database), work)
    if as_json:
        print(json.dumps([{"provider": one, "address": address} for one, address in decided]))
        return
    for provider, address in decided:
        print(f"{provider} need not list it for {address}")


@index.command()
def close(
    incident: Annotated[int, typer.Argument(help="Its number, as `pod index status` shows it.")],
    by: Annotated[str, typer.Option(help="Who has looked at it; it is kept.")],
    directory: Directory = DEFAULT_DIRECTORY,
    database: Database = None,
    cluster: Cluster = None,
    as_json: AsJson = False,
) -> None:
    """Close an incident that a person has looked at.

    Example: pod index close 17 --by ada
    """
    with told_plainly(as_json=as_json):
        work = partial(_close, cluster=cluster, incident=incident, by=by)
        about = read_books(database_of(directory, database), work)
    print(json.dumps({"closed": incident, "about": about}) if as_json else f"closed: {about}")


@index.command()
def lift(
    stop: Annotated[int, typer.Argument(help="The stop that the incident names.")],
    by: Annotated[str, typer.Option(help="Who decides; it is kept.")],
    reason: Annotated[str, typer.Option(help="Why the difference is taken over; it is kept.")],
    directory: Directory = DEFAULT_DIRECTORY,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Credit a vault again whose balance is not the sum of its movements, as it is.

    What the balance is off by counts as known from then on. When that went away by itself, nothing
    has to be lifted: the indexer sees it and lifts the stop.

    Example: pod index lift 3 --by ada --reason "sent before we began, ticket 88"
    """
    with told_plainly(as_json=as_json):
        work = partial(_lift, stop=stop, by=by, reason=reason)
        taken_over = read_books(database_of(directory, database), work)
    told = {"lifted": stop, "taken_over_microusdc": taken_over}
    print(json.dumps(told) if as_json else f"lifted; {taken_over:+d} microunits are taken over")


async def _lift(pool: Pool, *, stop: int, by: str, reason: str) -> int:
    async with transaction(pool) as tx:
        return await stops.lift(tx, stop, by=by, reason=reason)


async def _close(pool: Pool, *, cluster: str | None, incident: int, by: str) -> str:
    async with transaction(pool) as tx:
        known = await overview.known_cluster(tx, cluster)
        return await overview.close_incident(tx, known, incident, by)


async def _look(pool: Pool, *, cluster: str | None) -> Overview:
    async with reading(pool) as conn:
        return await overview.read(conn, cluster)


async def _decide(
    pool: Pool, *, cluster: str | None, signature: str, by: str
) -> list[tuple[str, str]]:
    async with transaction(pool) as tx:
        known = await overview.known_cluster(tx, cluster)
        return await overview.decide_unlisted(tx, known, signature, by)


def _for_people(found: Overview) -> Group:
    parts: list[Table | str] = [_headline(found), _frontiers(found), _providers(found)]
    parts.append(_queues(found))
    if found.newest_incidents:
        parts.append(_incidents(found))
    return Group(*parts)


def _headline(found: Overview) -> str:
    at = "not every address has a frontier yet"
    if found.frontier is not None:
        at = f"frontier {found.frontier}, {found.lag_slots} slots"
        at += "" if found.lag_seconds is None else f" and {found.lag_seconds:.1f} s"
        at += " behind"
    source = ", on one provider's word" if found.single_source else ""
    return f"{found.cluster}: finalized {found.finalized_slot}, {at}{source}\n"


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _frontiers(found: Overview) -> Table:
    table = _table("address", "", "frontier", "behind", "sources")
    for row in found.frontiers:
        behind = "-" if row["lag_seconds"] is None else f"{row['lag_seconds']} s"
        slot = "-" if row["slot"] is None else str(row["slot"])
        table.add_row(str(row["purpose"]), str(row["address"]), slot, behind, str(row["sources"]))
    table.add_row()
    return table


def _providers(found: Overview) -> Table:
    table = _table("provider", "", "slot", "lag", "latency", "errors", "cannot be trusted with")
    for row in found.providers:
        table.add_row(
            str(row["provider"]),
            "leads" if row["leads"] else "demoted" if row["demoted"] else "",
            str(row["finalized_slot"]),
            str(row["lag_slots"]),
            f"{row['latency_ms']} ms",
            f"{row['errors_per_mille']} ‰",
            _distrust(row),
        )
    table.add_row()
    return table


def _distrust(row: Row) -> str:
    words = cast("list[str]", row["distrust"])
    return "; ".join(words) or "-"


def _queues(found: Overview) -> Table:
    table = _table("waiting", "", "")
    queues = found.queues
    table.add_row("to be fetched", str(queues["wanted"]), "")
    table.add_row("to be readable", str(queues["unreadable"]), "")
    table.add_row("to be listed by every provider", str(queues["unlisted"]), "")
    table.add_row("to be final (arriving)", str(queues["arriving"]), "")
    for row in found.unattributed:
        amount = row["net_microusdc"]
        assert isinstance(amount, int), "the books are whole numbers"
        table.add_row(
            str(row["name"]), f"{decimal_text(amount, 'USDC')} USDC", f"{row['entries']} entries"
        )
    table.add_row("incidents", str(found.incidents), "")
    return table


def _incidents(found: Overview) -> Table:
    table = _table("", "incident", "about", "")
    for row in found.newest_incidents:
        number, kind = str(row["incident_id"]), str(row["kind"])
        table.add_row(number, kind, str(row["reference"]), str(row["detail"]))
    return table
