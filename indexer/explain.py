"""One transaction, from the node's answer to the books: how it was decoded, and how booked.

Everything is read from the database. The answer that was recorded is decoded again, so what is told
of instructions and balances is what today's decoder sees; movements, events and entries are the
rows as they stand.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final

from indexer import recorded
from indexer.attribution import SECOND_HALF
from indexer.decode import Instruction, Transaction, Watch, decode
from indexer.memo import MEMO_PROGRAMS
from indexer.raw import Unreadable
from indexer.recorded import PLACE, Recorded, Row
from indexer.rows import BookedAs
from settlement.chain.movement import MovementKey
from settlement.chain.program import TOKEN_PROGRAM
from settlement.chain.signatures import signature_bytes
from settlement.db.pool import ReadConn
from settlement.db.sql import load
from settlement.errors import NotFound, Refused

_SQL: Final = load("indexer", "explain.sql")
_DEPOSITS, _OUTCOME = "settlement.deposits", "settlement.payouts.outcome"
_LIFECYCLE, _SEIZURE, _NOTHING = "settlement.bonds.lifecycle", "settlement.bonds.seizure", "none"
# Who books an event, by its kind; none: it moves nothing and is only kept.
DOORS: Final[Mapping[str, str]] = {
    "deposit": _DEPOSITS,
    "stray_recovered": _DEPOSITS,
    "surplus_swept": _DEPOSITS,
    "outflow": _DEPOSITS,
    "quarantined": _DEPOSITS,
    "paid": _OUTCOME,
    "bond_funded": _OUTCOME,
    "skipped": _OUTCOME,
    "bond_posted": _LIFECYCLE,
    "bond_released": _LIFECYCLE,
    "bond_seized": _LIFECYCLE,
    "bond_retired": _LIFECYCLE,
    "bond_retire_cancelled": _LIFECYCLE,
    "bond_handed_over": _LIFECYCLE,
    "seizure_stepped": _SEIZURE,
    "lamports_moved": "settlement.payer_sol",
    "governed": _NOTHING,
    "unrecognized": _NOTHING,
}


class NotASignature(Refused):
    """A signature is 64 bytes in base58."""


class SignatureUnknown(NotFound):
    """The indexer has not met this signature. See whether it is finalized and names an address that
    is watched, and with `pod index status` how far the indexer has read."""


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What is known of one signature; rows have plain values, amounts are microunits."""

    cluster: str
    signature: str
    slot: int
    state: str
    problem: str | None  # why it cannot be read, or cannot be read any more
    discovered_at: str
    finished_at: str | None
    addresses: Sequence[Row]
    decoder_version: int | None  # of those who recorded it; None while nothing is recorded
    failed: bool | None
    vaults: Sequence[Row]  # what each held before and after, and what the movements add up to
    instructions: Sequence[Row]
    movements: Sequence[Row]
    events: Sequence[Row]  # each with its entries
    incidents: Sequence[Row]

    def as_json(self) -> dict[str, object]:
        """For programs."""
        return asdict(self)


async def explain(conn: ReadConn, cluster: str | None, signature: str) -> Explanation:
    """Explain one signature on a cluster, on the only one where none is named.

    Raises `NotASignature`, `SignatureUnknown`, `NoClusterRecorded` or `ClusterAmbiguous`.
    """
    raw = _raw(signature)
    watch = await recorded.watch_of(conn, cluster)
    row = await conn.fetchrow(_SQL["explained_signature"], watch.cluster, raw)
    if row is None:
        raise SignatureUnknown(signature=signature, cluster=watch.cluster)
    kept = await recorded.of_signatures(conn, watch.cluster, [raw])
    one = kept[0] if kept else None
    read, problem = _decoded(one, watch)
    addresses = await conn.fetch(_SQL["explained_addresses"], watch.cluster, raw)
    return Explanation(
        cluster=watch.cluster,
        signature=signature,
        slot=row["slot"],
        state=row["state"],
        problem=row["problem"] or problem,
        discovered_at=row["discovered_at"].isoformat(),
        finished_at=None if row["finished_at"] is None else row["finished_at"].isoformat(),
        addresses=[dict(found) for found in addresses],
        decoder_version=None if one is None else one.decoder_version,
        failed=None if read is None else read.failed,
        vaults=[] if read is None else _vaults(read),
        instructions=[]
        if read is None
        else [_instruction(found, watch) for found in read.instructions],
        movements=[] if one is None else [_movement(move, read, watch) for move in one.movements],
        events=[] if one is None else await _events(conn, watch.cluster, one),
        incidents=await _incidents(conn, watch.cluster, signature),
    )


async def memos(conn: ReadConn, cluster: str, signatures: Sequence[str]) -> dict[str, list[str]]:
    """What the memos of these transactions say, at any depth; those without any are left out.

    Raises `NotASignature`, `NoClusterRecorded`.
    """
    watch = await recorded.watch_of(conn, cluster)
    kept = await recorded.of_signatures(conn, cluster, [_raw(one) for one in signatures])
    read = {one.signature: _decoded(one, watch)[0] for one in kept}
    said = {
        signature: [
            one.data.decode(errors="backslashreplace")
            for one in found.instructions
            if one.program in MEMO_PROGRAMS
        ]
        for signature, found in read.items()
        if found is not None
    }
    return {signature: texts for signature, texts in said.items() if texts}


def _raw(signature: str) -> bytes:
    try:
        return signature_bytes(signature)
    except ValueError:
        raise NotASignature(got=signature) from None


def _decoded(one: Recorded | None, watch: Watch) -> tuple[Transaction | None, str | None]:
    if one is None:
        return None, None
    try:
        return decode(one.answer, signature=one.signature, watch=watch), None
    except Unreadable as unreadable:
        return None, f"today's decoder cannot read it: {unreadable}"


def _vaults(read: Transaction) -> list[Row]:
    """The delta check, vault by vault."""
    return [
        {
            "vault": vault,
            "before": before,
            "after": after,
            "change": after - before,
            "movements": sum(move.change(vault) for move in read.movements),
            "explained": vault not in read.doubted,
        }
        for vault, (before, after) in read.balances.items()
    ]


def _instruction(one: Instruction, watch: Watch) -> Row:
    names = {
        watch.deployment.program_id: "bond program",
        TOKEN_PROGRAM: "token program",
        **dict.fromkeys(MEMO_PROGRAMS, "memo"),
    }
    return {
        "outer": one.outer,
        "inner": one.inner,
        "depth": one.height,
        "program": str(one.program),
        "known_as": names.get(one.program),
        "accounts": [str(account) for account in one.accounts],
        "data": one.data.hex(),
    }


def _movement(row: Row, read: Transaction | None, watch: Watch) -> Row:
    """The movement as it stands, and the instruction that made it."""
    place = (row["outer_index"], row["inner_index"])
    made = next(
        (
            _instruction(one, watch)
            for one in (read.instructions if read else ())
            if (one.outer, one.inner) == place
        ),
        None,
    )
    return {**row, "instruction": made}


async def _events(conn: ReadConn, cluster: str, one: Recorded) -> list[Row]:
    keys = [_key(cluster, one, row) for row in one.events]
    own = {key.reference for key in keys}
    references = [[key.reference, *_further(key, own)] for key in keys]
    rows = await conn.fetch(_SQL["explained_entries"], [name for few in references for name in few])
    entries = [{**row, "recorded_at": row["recorded_at"].isoformat()} for row in rows]
    return [
        {
            "reference": names[0],
            "kind": row["kind"],
            "booked_as": row["booked_as"],
            "door": _door(row),
            "facts": row["facts"],
            "entries": [entry for entry in entries if entry["reference"] in names],
        }
        for row, names in zip(one.events, references, strict=True)
    ]


def _key(cluster: str, one: Recorded, row: Row) -> MovementKey:
    outer, inner, sub = (int(str(row[name])) for name in PLACE)
    return MovementKey(cluster=cluster, signature=one.signature, outer=outer, inner=inner, sub=sub)


def _further(key: MovementKey, own: set[str]) -> list[str]:
    """Under what else the books may have an event: its second half, and who it was given to."""
    second = replace(key, sub=key.sub + SECOND_HALF).reference
    halves = [key.reference] if second in own else [key.reference, second]
    return [name for half in halves for name in (half, f"assigned:{half}")][1:]


def _door(row: Row) -> str:
    match row["booked_as"]:
        case BookedAs.ITSELF:
            return DOORS[str(row["kind"])]
        case BookedAs.UNEXPLAINED:
            return f"{_DEPOSITS} (what was left of it: the books refused it as itself)"
        case _:
            return _NOTHING


async def _incidents(conn: ReadConn, cluster: str, signature: str) -> list[Row]:
    rows = await conn.fetch(_SQL["explained_incidents"], cluster, signature)
    moments = ("opened_at", "closed_at")
    return [
        {
            name: value.isoformat() if name in moments and value is not None else value
            for name, value in row.items()
        }
        for row in rows
    ]
