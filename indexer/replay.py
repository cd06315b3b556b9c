"""Reads recorded transactions again, with today's decoder, and compares: are the rows the same?

Nothing is asked of a chain and nothing is written. What a node answered was kept as it came, so
reading it again must give the same movements and the same events, field by field; whatever does
not is told by its first difference. What an older decoder could not explain, and today's can, is
told apart: money that leaves quarantine by being understood changes no vault.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Final, cast

import msgspec

from indexer import recorded
from indexer.attribution import events_of
from indexer.decode import DECODER_VERSION, Transaction, Watch, decode
from indexer.raw import Unreadable
from indexer.recorded import PLACE, Recorded, Row
from indexer.rows import facts_of, kind_of, movement_row, place_row
from indexer.store import SignatureState
from indexer.token import MovementKind
from settlement.chain.movement import Vault
from settlement.db.pool import Pool, reading

_KEPT_OPEN: Final = 1_000  # reclassified transactions that are named


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One field of one row that is not what it was; None where there is, or was, no such row."""

    signature: str
    slot: int
    decoder_version: int  # of those who recorded it
    row: str  # transaction, movement or event, and where in the transaction it stands
    column: str
    recorded: object
    decoded: object


@dataclass(kw_only=True)
class Verdict:
    """What a replay came to, or where it was stopped."""

    cluster: str
    decoder_version: int = DECODER_VERSION
    from_slot: int
    to_slot: int  # everything below it has been compared
    transactions: int = 0
    movements: int = 0
    events: int = 0
    different: int = 0  # transactions
    first_difference: Difference | None = None
    reclassified: list[str] = field(default_factory=list[str])  # signatures, the first of them

    @property
    def identical(self) -> bool:
        """Whether nothing differs but what was in quarantine and is understood now."""
        return self.different == 0

    def as_json(self) -> dict[str, object]:
        """For programs."""
        return {"identical": self.identical, **asdict(self)}


async def replay(
    pool: Pool,
    verdict: Verdict,
    *,
    watch: Watch,
    recorded_by: int | None,
    told: Callable[[int], None],
) -> Verdict:
    """Compare everything from `verdict.from_slot` on, or what one decoder version recorded of it.

    `told` hears of every step how many transactions it was; `verdict` always says how far it is.
    """
    async with reading(pool) as conn:
        _, last = await recorded.count(
            conn, watch.cluster, from_slot=verdict.from_slot, decoder_version=recorded_by
        )
    async for page in recorded.pages(
        pool, watch.cluster, from_slot=verdict.from_slot, to_slot=last
    ):
        chosen = [one for one in page if recorded_by in (None, one.decoder_version)]
        for one in chosen:
            _compare(one, verdict, watch, apart=recorded_by is not None)
        told(len(chosen))
        if page:
            verdict.to_slot = page[-1].slot
    verdict.to_slot = max(verdict.to_slot, last + 1)
    return verdict


def _compare(one: Recorded, verdict: Verdict, watch: Watch, *, apart: bool) -> None:
    verdict.transactions += 1
    verdict.movements += len(one.movements)
    verdict.events += len(one.events)
    try:
        read = decode(one.answer, signature=one.signature, watch=watch)
    except Unreadable as unreadable:
        differences = [_difference(one, "transaction", "state", one.state, str(unreadable))]
    else:
        differences = list(_differences(one, read, watch))
        if differences and apart and _explains(one, read):
            if len(verdict.reclassified) < _KEPT_OPEN:
                verdict.reclassified.append(one.signature)
            return
    if differences:
        verdict.different += 1
        verdict.first_difference = verdict.first_difference or differences[0]


def _differences(one: Recorded, read: Transaction, watch: Watch) -> Iterator[Difference]:
    state = SignatureState.FAILED if read.failed else SignatureState.BOOKED
    if state is not one.state:
        yield _difference(one, "transaction", "state", one.state, state)
    moment = {"slot": read.moment.slot}
    movements = [{**movement_row(move), **moment} for move in read.movements]
    yield from _rows_differ(one, "movement", one.movements, movements)
    at = {"event_at": read.moment.block_time}
    events = [
        {**place_row(event.key), "kind": kind_of(event), "facts": facts_of(event), **at}
        for event in events_of(read, watch)
    ]
    # What the books took it as was their decision, not the decoder's.
    kept = [{name: row[name] for name in row if name != "booked_as"} for row in one.events]
    yield from _rows_differ(one, "event", kept, events)


def _rows_differ(
    one: Recorded, kind: str, kept: Sequence[Row], made: Sequence[Row]
) -> Iterator[Difference]:
    then, now = _by_place(kept), _by_place(made)
    for place in sorted(then.keys() | now.keys()):
        name = f"{kind} {':'.join(map(str, place))}"
        before, after = then.get(place), now.get(place)
        if before is None or after is None:
            yield _difference(one, name, "row", before, after)
            continue
        for column in after:
            # The time of events read by the first versions was not kept.
            untold = column == "event_at" and before[column] is None
            if before[column] != after[column] and not untold:
                yield _difference(one, name, column, before[column], after[column])


def _by_place(rows: Sequence[Row]) -> Mapping[tuple[int, ...], Row]:
    plain = [cast("Row", {name: _plain(value) for name, value in row.items()}) for row in rows]
    return {tuple(cast("int", row[name]) for name in PLACE): row for row in plain}


def _plain(value: object) -> object:
    """As it reads after it was JSON: an enum and its text are the same."""
    return cast("object", msgspec.json.decode(msgspec.json.encode(value)))


def _difference(one: Recorded, row: str, column: str, then: object, now: object) -> Difference:
    return Difference(
        signature=one.signature,
        slot=one.slot,
        decoder_version=one.decoder_version,
        row=row,
        column=column,
        recorded=then,
        decoded=now,
    )


def _explains(one: Recorded, read: Transaction) -> bool:
    """Whether what was unexplained is explained now, with every vault as it was."""
    if not any(row["kind"] == MovementKind.UNEXPLAINED for row in one.movements):
        return False
    if read.doubted or read.failed or one.state is not SignatureState.BOOKED:
        return False
    return all(
        _change(one.movements, vault) == sum(move.change(vault) for move in read.movements)
        for vault in Vault
    )


def _change(rows: Sequence[Row], vault: Vault) -> int:
    return sum(
        cast("int", row["amount"]) * ((row["to_vault"] == vault) - (row["from_vault"] == vault))
        for row in rows
    )
