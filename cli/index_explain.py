"""`pod index explain`: one transaction, from what the chain said to what the books say.

Reads as the role that may only read. Exit codes: 0 explained; 1 not known, or no answer.
"""

import json
from collections.abc import Iterator
from functools import partial
from typing import Annotated, cast

import typer

from cli.ledger_reading import Database, database_of, read_books, told_plainly
from cli.options import DEFAULT_DIRECTORY, AsJson, Cluster, Directory
from cli.printable import printable
from indexer.explain import Explanation
from indexer.explain import explain as explained
from indexer.recorded import Row
from settlement.db.pool import Pool, reading
from settlement.reports.amounts import decimal_text


def explain(
    signature: Annotated[str, typer.Argument(help="Of the transaction, in base58.")],
    cluster: Cluster = None,
    directory: Directory = DEFAULT_DIRECTORY,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Show how each movement of a transaction was decoded, and how it was booked.

    Example: pod index explain SIGNATURE
    """
    with told_plainly(as_json=as_json):
        dsn = database_of(directory, database)
        found = read_books(dsn, partial(_explained, cluster=cluster, signature=signature))
    if as_json:
        print(json.dumps(found.as_json(), indent=2))
    else:
        print("\n".join(printable(line) for line in _lines(found)))


async def _explained(pool: Pool, *, cluster: str | None, signature: str) -> Explanation:
    async with reading(pool) as conn:
        return await explained(conn, cluster, signature)


def _lines(found: Explanation) -> Iterator[str]:
    yield from _head(found)
    for row in found.vaults:
        yield from _vault(row)
    for row in found.movements:
        yield from _movement(row)
    for row in found.events:
        yield from _event(row)
    for row in found.incidents:
        closed = f", closed by {row['closed_by']}" if row["closed_by"] else ""
        yield f"incident {row['incident_id']}: {row['kind']}{closed}"
        yield f"  {row['detail']}"


def _head(found: Explanation) -> Iterator[str]:
    yield f"{found.signature} on {found.cluster}"
    yield f"  slot {found.slot}, {found.state}, first seen {found.discovered_at}"
    if found.problem is not None:
        yield f"  problem: {found.problem}"
    for row in found.addresses:
        yield f"  about {row['purpose']} {row['address']}"
    if found.decoder_version is None:
        yield "  nothing is recorded of it yet"
    else:
        yield f"  recorded by decoder version {found.decoder_version}"
    if found.failed:
        yield "  it failed on chain: nothing moved but the fee"


def _vault(row: Row) -> Iterator[str]:
    yield (
        f"vault {row['vault']}: {_usdc(row['before'])} before, {_usdc(row['after'])} after;"
        f" a change of {_usdc(row['change'])}, movements of {_usdc(row['movements'])}:"
        f" {'explained' if row['explained'] else 'NOT explained, nobody is credited'}"
    )


def _movement(row: Row) -> Iterator[str]:
    ways = [
        f"{word} the {row[name]} vault"
        for word, name in (("out of", "from_vault"), ("into", "to_vault"))
        if row[name] is not None
    ]
    yield (
        f"movement {row['outer_index']}:{row['inner_index']}:{row['sub_index']}"
        f" {row['kind']} of {_usdc(row['amount'])} USDC {' and '.join(ways)}"
    )
    yield f"  from {row['source'] or 'nowhere'} to {row['destination'] or 'nowhere'}"
    made = cast("Row | None", row["instruction"])
    if made is None:
        yield "  no instruction accounts for it"
        return
    called = "" if made["inner"] == -1 else f", call {made['inner']} inside it"
    name = made["known_as"] or made["program"]
    yield f"  by {name} at depth {made['depth']}: instruction {made['outer']}{called}"
    yield f"  accounts {' '.join(cast('list[str]', made['accounts']))}"


def _event(row: Row) -> Iterator[str]:
    yield f"event {row['kind']} {row['reference']}"
    yield f"  booked as {row['booked_as']}, by {row['door']}"
    for name, value in cast("Row", row["facts"]).items():
        yield f"  {name} {value}"
    entries = cast("list[Row]", row["entries"])
    if not entries:
        yield "  no entry in the books"
    for entry in entries:
        why = f", {entry['reason']}" if entry["reason"] else ""
        yield (
            f"  {entry['kind']}: debit {entry['debit']}, credit {entry['credit']},"
            f" {_usdc(entry['amount'])} USDC"
        )
        yield f"    at {entry['recorded_at']} by {entry['actor']}{why}, as {entry['reference']}"


def _usdc(amount: object) -> str:
    return decimal_text(cast("int", amount), "USDC")
