"""What is kept of a transaction, as it goes into the tables. Pure.

Rows are plain tuples: a run of transactions is written column by column, and what another process
has read comes over a pipe.
"""

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import IntEnum, StrEnum
from functools import cache
from typing import TYPE_CHECKING, Final

import msgspec

from indexer.decode import Movement, Transaction
from indexer.events import Event
from settlement.chain.movement import MovementKey
from settlement.chain.signatures import signature_bytes
from settlement.errors import snake_case

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

# An answer is a few kilobytes: a small window packs it as well as a large one, in half the time.
_LEVEL, _WINDOW_BITS, _MEMORY_LEVEL = 6, 13, 6
# Outer, inner and sub index, kind, the two vaults, source, destination, amount.
MovementRow = tuple[int, int, int, str, str | None, str | None, str | None, str | None, int]
# Outer, inner and sub index, kind, what the books took it as, facts in JSON.
EventRow = tuple[int, int, int, str, str, str]


class BookedAs(StrEnum):
    """What the books took an event as."""

    ITSELF = "itself"
    UNEXPLAINED = "unexplained"  # refused as what it was: the money is booked as unexplained
    NOTHING = "nothing"  # not even that: a person has to look


class Record(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Everything that is kept of a booked transaction."""

    signature: bytes
    slot: int
    block_seconds: int
    failed: bool
    answer: bytes  # packed
    movements: list[MovementRow]
    events: list[EventRow]


_PLACES: Final = ("outer_index", "inner_index", "sub_index")


def record_of(read: Transaction, booked: Sequence[tuple[Event, BookedAs]], packed: bytes) -> Record:
    """The rows of a transaction, what the books took its events as, and its packed answer."""
    return Record(
        signature=signature_bytes(read.signature),
        slot=read.moment.slot,
        block_seconds=int(read.moment.block_time.timestamp()),
        failed=read.failed,
        answer=packed,
        movements=[_movement(move) for move in read.movements],
        events=[
            (
                *_place(event.key),
                kind_of(event),
                booked_as.value,
                as_json(facts_of(event)),
            )
            for event, booked_as in booked
        ],
    )


def _place(key: MovementKey) -> tuple[int, int, int]:
    return key.outer, key.inner, key.sub


def _movement(move: Movement) -> MovementRow:
    return (
        *_place(move.key),
        move.kind.value,
        None if move.from_vault is None else move.from_vault.value,
        None if move.to_vault is None else move.to_vault.value,
        None if move.source is None else str(move.source),
        None if move.destination is None else str(move.destination),
        move.amount_microusdc,
    )


def place_row(key: MovementKey) -> dict[str, object]:
    """Where in its transaction a thing stands."""
    return dict(zip(_PLACES, _place(key), strict=True))


def movement_row(move: Movement) -> dict[str, object]:
    """A movement as it is kept, but for the signature and slot of its transaction."""
    names = (*_PLACES, "kind", "from_vault", "to_vault", "source", "destination", "amount")
    return dict(zip(names, _movement(move), strict=True))


def kind_of(event: Event) -> str:
    """The event's class name in snake case, for rows and metrics."""
    return _kind_of_class(type(event))


@cache
def _kind_of_class(kind: type[Event]) -> str:
    return snake_case(kind.__name__)


def facts_of(event: Event) -> dict[str, object]:
    """The event's fields as JSON, without its key."""
    facts = _fields(event)
    del facts["key"]
    return facts


def _fields(one: "DataclassInstance") -> dict[str, object]:
    return {name: _plain(getattr(one, name)) for name in _names(type(one))}


@cache
def _names(kind: type["DataclassInstance"]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def _plain(value: object) -> object:
    match value:
        case bytes():
            return value.hex()
        case IntEnum():
            return value.name.lower()
        case int() | str() | None:
            return value
        case _ if is_dataclass(value) and not isinstance(value, type):
            return _fields(value)
        case _:
            return str(value)


def pack(answer: Mapping[str, object] | bytes) -> bytes:
    """An answer, or its JSON as a node wrote it, as it is kept."""
    text = answer if isinstance(answer, bytes) else as_json(answer).encode()
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW_BITS, _MEMORY_LEVEL)
    return packer.compress(text) + packer.flush()


def unpack(packed: bytes) -> object:
    """The answer that was packed."""
    return json.loads(zlib.decompress(packed))


def as_json(value: object) -> str:
    """JSON in as few characters as possible."""
    try:
        return msgspec.json.encode(value).decode()
    except UnicodeEncodeError:  # half a character, which no honest node sends
        return json.dumps(value, separators=(",", ":"))
