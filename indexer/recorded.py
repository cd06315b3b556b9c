"""What is kept of transactions: the answers of the nodes, and the rows that were made of them.

Read page by page in the order of slots, so that all of it can be gone through in flat memory, by
whoever may only read.
"""

import json
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import asyncpg
from solders.pubkey import Pubkey

from indexer.decode import Watch
from indexer.rows import unpack
from indexer.store import SignatureState
from settlement.chain.program import Deployment
from settlement.chain.signatures import signature_text
from settlement.db.pool import Pool, ReadConn, reading
from settlement.db.sql import load
from settlement.errors import NotFound, Refused
from settlement.money import Slot

_SQL: Final = load("indexer", "replay.sql")
PAGE: Final = 500
PLACE: Final = ("outer_index", "inner_index", "sub_index")  # of a row in its transaction

Row = Mapping[str, object]


class NoClusterRecorded(NotFound):
    """The indexer has followed no chain of that name on this database."""


class ClusterAmbiguous(Refused):
    """This database knows several chains: name the cluster."""


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """One transaction as it was kept; rows are as `store` writes them, in their order."""

    signature: str
    slot: Slot
    state: SignatureState
    decoder_version: int
    answer: object
    movements: Sequence[Row]
    events: Sequence[Row]


async def watch_of(conn: ReadConn, cluster: str | None) -> Watch:
    """What is ours on a cluster; on the only one where none is named. Fee payers of old count.

    Raises `NoClusterRecorded` or `ClusterAmbiguous`.
    """
    rows = await conn.fetch(_SQL["replayed_cluster"], cluster)
    if not rows:
        raise NoClusterRecorded(cluster=cluster)
    if len(rows) > 1:
        raise ClusterAmbiguous(known=", ".join(row["cluster"] for row in rows))
    program_id, mint = (Pubkey.from_string(rows[0][name]) for name in ("program_id", "mint"))
    return Watch(
        cluster=rows[0]["cluster"],
        deployment=Deployment(program_id, mint),
        payers=frozenset(Pubkey.from_string(payer) for payer in rows[0]["payers"]),
    )


async def count(
    conn: ReadConn, cluster: str, *, from_slot: int, decoder_version: int | None
) -> tuple[int, int]:
    """How many answers are kept at or after a slot, and the highest slot of them (0: none)."""
    row = await conn.fetchrow(_SQL["recorded_count"], cluster, from_slot, decoder_version)
    assert row is not None, "a count is one row"
    return row["transactions"], row["last_slot"] or 0


async def pages(
    pool: Pool, cluster: str, *, from_slot: int, to_slot: int
) -> AsyncIterator[list[Recorded]]:
    """What is kept at slots `from_slot` to `to_slot`, in their order, a page at a time."""
    after: tuple[int, bytes] = (from_slot, b"")
    while True:
        async with reading(pool) as conn:
            rows = await conn.fetch(_SQL["recorded_page"], cluster, *after, to_slot, PAGE)
            found = await of_signatures(conn, cluster, [row["signature"] for row in rows])
        if not rows:
            return
        yield found
        after = (rows[-1]["slot"], rows[-1]["signature"])


async def of_signatures(
    conn: ReadConn, cluster: str, signatures: Sequence[bytes]
) -> list[Recorded]:
    """What is kept of these signatures, in this order; those without an answer are left out."""
    answers = {
        row["signature"]: row
        for row in await conn.fetch(_SQL["recorded_answers"], cluster, signatures)
    }
    movements = await _by_signature(conn, _SQL["recorded_movements"], cluster, signatures)
    events = await _by_signature(conn, _SQL["recorded_events"], cluster, signatures)
    return [
        Recorded(
            signature=signature_text(signature),
            slot=Slot(row["slot"]),
            state=SignatureState(row["state"]),
            decoder_version=row["decoder_version"],
            answer=unpack(row["answer"]),
            movements=[_movement(one) for one in movements[signature]],
            events=[_event(one) for one in events[signature]],
        )
        for signature in signatures
        if (row := answers.get(signature)) is not None
    ]


async def _by_signature(
    conn: ReadConn, query: str, cluster: str, signatures: Sequence[bytes]
) -> Mapping[bytes, list[asyncpg.Record]]:
    grouped: defaultdict[bytes, list[asyncpg.Record]] = defaultdict(list)
    for row in await conn.fetch(query, cluster, signatures):
        grouped[row["signature"]].append(row)
    return grouped


def _movement(row: asyncpg.Record) -> Row:
    return {**_but_signature(row), "amount": int(row["amount"])}


def _event(row: asyncpg.Record) -> Row:
    return {**_but_signature(row), "facts": json.loads(row["facts"])}


def _but_signature(row: asyncpg.Record) -> dict[str, object]:
    return {name: value for name, value in row.items() if name != "signature"}
