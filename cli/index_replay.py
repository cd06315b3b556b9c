"""`pod index replay`: what was recorded of the chain, read again with today's decoder.

Reads as the role that may only read, beside the running system. Exit codes: 0 the same rows; 1 not;
2 no answer; 130 stopped, with the slot to go on from.
"""

import asyncio
import json
import sys
from typing import Annotated, Final

import typer

from cli.ledger_reading import Database, database_of, progress, read_books
from cli.options import DEFAULT_DIRECTORY, AsJson, Cluster, Directory, give_up
from indexer import recorded
from indexer.replay import Difference, Verdict
from indexer.replay import replay as compare
from settlement.db.pool import Pool, reading
from settlement.errors import PodError

_NO_ANSWER: Final = 2
_STOPPED: Final = 130


def replay(
    from_slot: Annotated[
        int, typer.Option("--from-slot", min=0, help="Begin here: where a stopped replay was.")
    ] = 0,
    decoder_version: Annotated[
        int | None,
        typer.Option(
            "--decoder-version",
            min=1,
            help="Only what this version recorded; what leaves quarantine is then told apart.",
        ),
    ] = None,
    cluster: Cluster = None,
    directory: Directory = DEFAULT_DIRECTORY,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Decode recorded transactions again and compare: the same movements and events, or which not.

    Nothing is written and no chain is asked. Exits 1 at any difference and names the first one.

    Example: pod index replay --json
    """
    seen: list[Verdict] = []
    try:
        dsn = database_of(directory, database)
        verdict = read_books(
            dsn, lambda pool: _replayed(pool, cluster, from_slot, decoder_version, seen)
        )
    except PodError as error:
        give_up(f"nothing could be compared: {error}", _NO_ANSWER)
    except (KeyboardInterrupt, asyncio.CancelledError):
        reached = seen[0].to_slot if seen else from_slot
        give_up(f"stopped; go on with --from-slot {reached}", _STOPPED)
    print(json.dumps(verdict.as_json(), indent=2, default=str) if as_json else _words(verdict))
    sys.exit(0 if verdict.identical else 1)


async def _replayed(
    pool: Pool,
    cluster: str | None,
    from_slot: int,
    recorded_by: int | None,
    seen: list[Verdict],
) -> Verdict:
    async with reading(pool) as conn:
        watch = await recorded.watch_of(conn, cluster)
        total, _ = await recorded.count(
            conn, watch.cluster, from_slot=from_slot, decoder_version=recorded_by
        )
    verdict = Verdict(cluster=watch.cluster, from_slot=from_slot, to_slot=from_slot)
    seen.append(verdict)
    with progress("transactions", total=total, shown=True) as told:
        return await compare(pool, verdict, watch=watch, recorded_by=recorded_by, told=told)


def _words(verdict: Verdict) -> str:
    seen = (
        f"{verdict.transactions} transactions, {verdict.movements} movements,"
        f" {verdict.events} events, up to slot {verdict.to_slot - 1},"
        f" by decoder version {verdict.decoder_version}"
    )
    lines = [f"the same rows: {seen}"]
    first = verdict.first_difference
    if first is not None:
        lines = [f"not the same rows in {verdict.different} of {seen}", *_difference(first)]
    if verdict.reclassified:
        lines.append(
            f"understood now, and no longer for quarantine: {len(verdict.reclassified)},"
            f" {verdict.reclassified[0]} for one"
        )
    return "\n".join(lines)


def _difference(first: Difference) -> list[str]:
    return [
        f"  first in {first.signature} at slot {first.slot}"
        f" (recorded by version {first.decoder_version}):",
        f"  {first.row}, {first.column}",
        f"    recorded  {first.recorded}",
        f"    decoded   {first.decoded}",
    ]
