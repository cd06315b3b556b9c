"""Where the indexer stands, as the database tells it: for `pod index status`, by whoever may read.

Nothing here asks a chain or the indexer itself: it can be read while the indexer is away, and how
long ago it said something is part of the answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final, cast

import asyncpg

from settlement.chain.signatures import signature_bytes, signature_text
from settlement.db.pool import ReadConn, Tx
from settlement.db.sql import load
from settlement.errors import NotFound

_SQL: Final = load("indexer", "overview.sql")
_SHOWN: Final = 20
Row = Mapping[str, object]


class NoSuchCluster(NotFound):
    """The indexer has never followed this cluster on this database."""


class NothingToDecide(NotFound):
    """There is nothing open of that kind: it never was, or it was decided before."""


@dataclass(frozen=True, kw_only=True)
class Overview:
    """One look. Every row has plain JSON values; ages and lags are in seconds and slots."""

    cluster: str
    finalized_slot: int | None  # as the providers told when they were last looked at
    frontier: int | None  # the lowest one: everything at or below it is in the books
    lag_slots: int | None
    lag_seconds: float | None  # None until every address has a frontier
    single_source: bool  # whether a frontier rests on one provider's word
    frontiers: Sequence[Row]
    providers: Sequence[Row]
    queues: Row
    unattributed: Sequence[Row]
    incidents: int
    newest_incidents: Sequence[Row]
    unlisted: Sequence[Row]

    def as_json(self) -> dict[str, object]:
        """Everything, for programs."""
        return asdict(self)

    @property
    def well(self) -> bool:
        """Whether nothing waits for a person."""
        return not self.incidents and not self.queues["unreadable"] and not self.queues["unlisted"]


async def known_cluster(conn: ReadConn, cluster: str | None) -> str:
    """The cluster of this name; the only one where none is named. Raises `NoSuchCluster`."""
    known = [str(row["cluster"]) for row in await conn.fetch(_SQL["clusters"])]
    if cluster is None and len(known) == 1:
        cluster = known[0]
    if cluster is None or cluster not in known:
        raise NoSuchCluster(cluster=cluster, known=known)
    return cluster


async def read(conn: ReadConn, cluster: str | None) -> Overview:
    """Look at one cluster; at the only one where none is named. Raises `NoSuchCluster`."""
    cluster = await known_cluster(conn, cluster)
    frontiers = _rows(await conn.fetch(_SQL["frontiers"], cluster))
    providers = _rows(await conn.fetch(_SQL["providers"], cluster))
    incidents = _rows(await conn.fetch(_SQL["incidents"], cluster, _SHOWN))
    queues = await conn.fetchrow(_SQL["queues"], cluster)
    assert queues is not None, "counts are one row"
    slots = [row["finalized_slot"] for row in providers if row["finalized_slot"] is not None]
    finalized = max((cast("int", slot) for slot in slots), default=None)
    frontier = _lowest(frontiers)
    behind = None if finalized is None or frontier is None else max(0, finalized - frontier)
    lags = [row["lag_seconds"] for row in frontiers]
    return Overview(
        cluster=cluster,
        finalized_slot=finalized,
        frontier=frontier,
        lag_slots=behind,
        lag_seconds=None if None in lags else max((cast("float", lag) for lag in lags), default=0),
        single_source=any(row["sources"] == 1 for row in frontiers),
        frontiers=frontiers,
        providers=providers,
        queues=_plain(queues),
        unattributed=_rows(await conn.fetch(_SQL["unattributed"])),
        incidents=cast("int", incidents[0]["of_all"]) if incidents else 0,
        newest_incidents=[
            {name: value for name, value in row.items() if name != "of_all"} for row in incidents
        ],
        unlisted=_rows(await conn.fetch(_SQL["unlisted"], cluster, _SHOWN)),
    )


async def decide_unlisted(tx: Tx, cluster: str, signature: str, by: str) -> list[tuple[str, str]]:
    """Let the frontiers go on without a signature that not every provider lists.

    Returns the providers and addresses it is about. Raises `NothingToDecide`.
    """
    try:
        raw = signature_bytes(signature)
    except ValueError:
        raise NothingToDecide(signature=signature, problem="it is no signature") from None
    rows = await tx.fetch(_SQL["decide_unlisted"], cluster, raw, by)
    if not rows:
        raise NothingToDecide(cluster=cluster, signature=signature)
    return [(row["provider"], row["address"]) for row in rows]


async def close_incident(tx: Tx, cluster: str, incident_id: int, by: str) -> str:
    """Close an incident; returns what it was about. Raises `NothingToDecide`."""
    row = await tx.fetchrow(_SQL["close_incident"], cluster, incident_id, by)
    if row is None:
        raise NothingToDecide(cluster=cluster, incident=incident_id)
    return f"{row['kind']}: {row['reference']}"


def _lowest(frontiers: Sequence[Row]) -> int | None:
    slots = [row["slot"] for row in frontiers]
    return None if not slots or None in slots else min(cast("int", slot) for slot in slots)


def _rows(records: Sequence[asyncpg.Record]) -> list[Row]:
    return [_plain(record) for record in records]


def _plain(record: asyncpg.Record) -> Row:
    return {name: _value(name, value) for name, value in record.items()}


def _value(name: str, value: object) -> object:
    if name == "signature" and isinstance(value, bytes):
        return signature_text(value)
    if name.endswith("_at") and value is not None:
        return str(value)
    if isinstance(value, float):
        return round(value, 3)
    return value
