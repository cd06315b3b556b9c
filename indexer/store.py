"""What the indexer keeps in Postgres: signatures, movements, events, incidents.

Inserts of the same thing again do nothing, so every step may be run twice. Signatures are 64 bytes
here and base58 everywhere else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from solders.pubkey import Pubkey

from indexer.decode import DECODER_VERSION
from indexer.rows import Record
from settlement.chain.answers import SignatureInfo
from settlement.chain.signatures import signature_bytes, signature_text
from settlement.db.pool import ReadConn, Tx
from settlement.db.sql import load
from settlement.errors import Conflict
from settlement.money import Slot

_SQL: Final = load("indexer", "indexer.sql")
_BEFORE_ALL: Final = -(2**31)


class WrongCluster(Conflict):
    """This database follows another chain or another deployment under this cluster's name."""


class SignatureState(StrEnum):
    """Where a signature is; booked and failed are final."""

    WANTED = "wanted"
    BOOKED = "booked"
    FAILED = "failed"
    UNREADABLE = "unreadable"


_OPEN: Final = frozenset({SignatureState.WANTED, SignatureState.UNREADABLE})


class IncidentKind(StrEnum):
    """What a person has to look at."""

    UNREADABLE = "unreadable transaction"
    UNEXPLAINED_DELTA = "movements do not add up"
    UNRECOGNIZED = "unknown instruction of our program"
    OUTFLOW = "unexplained outflow"
    REFUSED = "the books refused an event"
    UNBOOKABLE = "an amount the books cannot hold"
    UNLISTED = "a provider does not list a signature"
    FABRICATED = "a provider's answer is not what was signed"
    CONTRADICTED = "two providers tell a transaction differently"
    BALANCE = "the balance is not the sum of the movements"
    DISSENT = "a provider's balance is not that of the others"


@dataclass(frozen=True, kw_only=True)
class OpenSignature:
    """A signature that is still to be booked, and the watched addresses it is about."""

    signature: str
    slot: Slot
    place: int | None
    state: SignatureState
    addresses: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What waits and what is wrong."""

    wanted: int
    unreadable: int
    incidents: int


@dataclass(frozen=True, kw_only=True)
class Listed:
    """One line of a listing with its place inside the slot, where the listing tells it."""

    info: SignatureInfo
    place: int | None


async def claim_cluster(
    tx: Tx, cluster: str, *, genesis_hash: str, program_id: Pubkey, mint: Pubkey
) -> None:
    """Bind the cluster's name to a chain and a deployment, for ever. Raises `WrongCluster`."""
    wanted = (genesis_hash, str(program_id), str(mint))
    await tx.execute(_SQL["remember_cluster"], cluster, *wanted)
    row = await tx.fetchrow(_SQL["read_cluster"], cluster)
    assert row is not None, "it was just remembered"
    known = (row["genesis_hash"], row["program_id"], row["mint"])
    if known != wanted:
        raise WrongCluster(cluster=cluster, known=known, found=wanted)


async def genesis_hash_of(conn: ReadConn, cluster: str) -> str | None:
    """The chain that the cluster's name was bound to; None while it is not."""
    row = await conn.fetchrow(_SQL["read_cluster"], cluster)
    return None if row is None else str(row["genesis_hash"])


async def watch(tx: Tx, cluster: str, addresses: Mapping[str, str]) -> None:
    """Remember what is watched, address by address, and what for."""
    for address, purpose in addresses.items():
        await tx.execute(_SQL["watch"], cluster, address, purpose)


async def remember_page(tx: Tx, cluster: str, address: str, page: Sequence[Listed]) -> None:
    """Store one page of an address's history."""
    # Pages of several addresses name the same signatures: everybody locks them in one order.
    page = sorted(page, key=lambda one: (one.info.slot, one.info.signature))
    signatures = [signature_bytes(one.info.signature) for one in page]
    slots = [one.info.slot for one in page]
    await tx.execute(
        _SQL["remember_signatures"],
        cluster,
        signatures,
        slots,
        [one.place for one in page],
        [one.info.failed for one in page],
    )
    await tx.execute(_SQL["remember_mentions"], cluster, address, signatures, slots)


async def known_between(
    conn: ReadConn, cluster: str, address: str, first: int, last: int
) -> set[tuple[Slot, str]]:
    """The signatures of an address at slots `first` to `last`, each with its slot."""
    rows = await conn.fetch(_SQL["known_between"], cluster, address, first, last)
    return {(Slot(row["slot"]), signature_text(row["signature"])) for row in rows}


async def open_signatures(
    conn: ReadConn, cluster: str, *, to: Slot, limit: int, after: OpenSignature | None = None
) -> list[OpenSignature]:
    """What is to be booked up to a slot, in the order of the chain; `after` gives the next page."""
    cursor: tuple[int, int, bytes] = (-1, _BEFORE_ALL, b"")
    if after is not None:
        place = _BEFORE_ALL if after.place is None else after.place
        cursor = (after.slot, place, signature_bytes(after.signature))
    rows = await conn.fetch(_SQL["next_open"], cluster, to, *cursor, limit)
    return [
        OpenSignature(
            signature=signature_text(row["signature"]),
            slot=Slot(row["slot"]),
            place=row["place"],
            state=SignatureState(row["state"]),
            addresses=frozenset(row["addresses"]),
        )
        for row in rows
    ]


async def lock_open(tx: Tx, cluster: str, signatures: Sequence[bytes]) -> frozenset[bytes]:
    """Lock signatures; which of them are still to be booked. The others, somebody has booked."""
    rows = await tx.fetch(_SQL["lock"], cluster, signatures)
    return frozenset(row["signature"] for row in rows if row["state"] in _OPEN)


async def set_unreadable(tx: Tx, cluster: str, signature: str, problem: str) -> None:
    """The signature cannot be read for now."""
    await tx.execute(_SQL["set_unreadable"], cluster, signature_bytes(signature), problem)


async def record(tx: Tx, cluster: str, found: Sequence[Record]) -> None:
    """Keep what transactions were; they are final then."""
    movements = [(at, *row) for at, one in enumerate(found, 1) for row in one.movements]
    events = [(at, *row) for at, one in enumerate(found, 1) for row in one.events]
    await tx.execute(
        _SQL["record"],
        cluster,
        [one.signature for one in found],
        [one.answer for one in found],
        [one.slot for one in found],
        [datetime.fromtimestamp(one.block_seconds, UTC) for one in found],
        [one.signature for one in found if one.failed],
        DECODER_VERSION,
        *_columns(movements, 9),
        [str(row[9]) for row in movements],
        *_columns(events, 7),
    )


def _columns(rows: Sequence[tuple[object, ...]], count: int) -> list[list[object]]:
    return [[row[at] for row in rows] for at in range(count)]


async def open_incident(
    tx: Tx, cluster: str, kind: IncidentKind, *, reference: str, detail: str
) -> None:
    """Tell people, once for each kind and reference."""
    await tx.execute(_SQL["open_incident"], cluster, kind, reference, detail)


async def lowest_open(conn: ReadConn, cluster: str, address: str, *, to: Slot) -> Slot | None:
    """The lowest slot up to `to` where this address has a signature that is not final."""
    found = await conn.fetchval(_SQL["lowest_open"], cluster, address, to)
    return None if found is None else Slot(found)


async def standing(conn: ReadConn, cluster: str) -> Standing:
    """What waits and what is wrong."""
    row = await conn.fetchrow(_SQL["standing"], cluster)
    assert row is not None, "counts are one row"
    return Standing(wanted=row["wanted"], unreadable=row["unreadable"], incidents=row["incidents"])
