"""What a cluster itself may do to its readers: fork, skip, halt, jump, slow down, be congested.

A fault is a plain value and happens when the slot `at_slot` ends (when that slot has no block: at
the end of the next block). Slots count from where the script begins. Nothing is drawn while the
chain runs: what a fault leaves open (which transactions land again, in which order) follows from
its own `seed`, by the position of the transaction among those it is about, not by its signature.
So the same faults do the same to the same sends, whatever keys and blockhashes they are made with.

    cluster.adversary = ClusterAdversary(cluster_faults(7, first_slot=20, last_slot=400))
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final


def _check(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name}: expected a whole number from {low} to {high}, not {value}")


_MAX_SLOTS: Final = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Fork:
    """The cluster goes on from an older block: the newest `depth_slots` slots are dropped.

    The open slot is the first of them, so 1 drops only what nobody has seen in a block. A fork
    never reaches a finalized block: it stops above it. Of the transactions in the dropped slots,
    `relands_percent` are sent to the new fork and execute there, each within `within_slots` slots,
    in the old order or, with `reorders`, in any; whether they land and how they end is up to the
    new fork's state and blockhashes. The others are never heard of again unless somebody sends
    them.

    The new fork goes on behind the dropped slots, which are skipped; with `reuses_slots` it has
    blocks of its own in them, as when leaders made two: other blocks of the same slots.
    """

    at_slot: int
    depth_slots: int
    relands_percent: int = 100
    reorders: bool = False
    within_slots: int = 4
    reuses_slots: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what is out of range with a `ValueError` that names the field."""
        _check("fork.at_slot", self.at_slot, 0, 2**63)
        _check("fork.depth_slots", self.depth_slots, 1, _MAX_SLOTS)
        _check("fork.relands_percent", self.relands_percent, 0, 100)
        _check("fork.within_slots", self.within_slots, 1, _MAX_SLOTS)


@dataclass(frozen=True, kw_only=True)
class Skip:
    """The `slots` slots after `at_slot` have no block: their leaders are away."""

    at_slot: int
    slots: int

    def __post_init__(self) -> None:
        """Refuse what is out of range with a `ValueError` that names the field."""
        _check("skip.at_slot", self.at_slot, 0, 2**63)
        _check("skip.slots", self.slots, 1, _MAX_SLOTS)


@dataclass(frozen=True, kw_only=True)
class Halt:
    """The cluster stands still in `at_slot`, and is restarted after `lasts_slots` slot times.

    Meanwhile nodes answer as of the halt and take transactions, which wait. The restart goes on
    `jump_slots` slots further on, and makes `empty_blocks` blocks before anything lands: each ages
    the blockhashes by one, so 150 of them expire all that was signed before.
    """

    at_slot: int
    lasts_slots: int
    jump_slots: int = 0
    empty_blocks: int = 0

    def __post_init__(self) -> None:
        """Refuse what is out of range with a `ValueError` that names the field."""
        _check("halt.at_slot", self.at_slot, 0, 2**63)
        _check("halt.lasts_slots", self.lasts_slots, 1, _MAX_SLOTS)
        _check("halt.jump_slots", self.jump_slots, 0, _MAX_SLOTS)
        _check("halt.empty_blocks", self.empty_blocks, 0, 1_000)


@dataclass(frozen=True, kw_only=True)
class SlotTime:
    """From the slot after `at_slot` on, a slot takes `slot_time_ms`."""

    at_slot: int
    slot_time_ms: int

    def __post_init__(self) -> None:
        """Refuse what is out of range with a `ValueError` that names the field."""
        _check("slot-time.at_slot", self.at_slot, 0, 2**63)
        _check("slot-time.slot_time_ms", self.slot_time_ms, 5, 60_000)


@dataclass(frozen=True, kw_only=True)
class Congestion:
    """In the `slots` slots after `at_slot`, what is sent does not land at once.

    `drops_percent` of it never lands by itself; the rest waits up to `delay_slots` slots, each
    for its own time, and lands then if its blockhash still lives.
    """

    at_slot: int
    slots: int
    delay_slots: int
    drops_percent: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what is out of range with a `ValueError` that names the field."""
        _check("congestion.at_slot", self.at_slot, 0, 2**63)
        _check("congestion.slots", self.slots, 1, _MAX_SLOTS)
        _check("congestion.delay_slots", self.delay_slots, 1, _MAX_SLOTS)
        _check("congestion.drops_percent", self.drops_percent, 0, 100)


@dataclass(frozen=True, kw_only=True)
class Alpenglow:
    """The cluster changes its consensus: from now on, for good, what is confirmed is finalized."""

    at_slot: int

    def __post_init__(self) -> None:
        """Refuse what is out of range with a `ValueError` that names the field."""
        _check("alpenglow.at_slot", self.at_slot, 0, 2**63)


ClusterFault = Fork | Skip | Halt | SlotTime | Congestion | Alpenglow

CLUSTER_FAULTS: Final[Mapping[str, type[ClusterFault]]] = {
    "fork": Fork,
    "skip": Skip,
    "halt": Halt,
    "slot-time": SlotTime,
    "congestion": Congestion,
    "alpenglow": Alpenglow,
}
"""Each kind of fault by the name it has in a script; the fields are those of the dataclass."""


def cluster_faults(
    seed: int, *, first_slot: int, last_slot: int, slot_time_ms: int = 200, mean_gap_slots: int = 12
) -> tuple[ClusterFault, ...]:
    """Faults drawn by a seed, in order, none before `first_slot`.

    About one each `mean_gap_slots` slots; what they do is over by `last_slot`, but for the slot
    times, which stay between half and twice `slot_time_ms`. The consensus is never changed: put
    `Alpenglow` in by hand.
    """
    chance = random.Random(seed)
    faults: list[ClusterFault] = []
    slot = first_slot + chance.randint(0, mean_gap_slots)
    while slot <= last_slot:
        (draw,) = chance.choices([one for one, _ in _DRAWN], [weight for _, weight in _DRAWN])
        fault = draw(chance, slot, slot_time_ms)
        if slot + _lasts_slots(fault) <= last_slot:
            faults.append(fault)
            slot += _passes_slots(fault)
        slot += chance.randint(1, 2 * mean_gap_slots - 1)
    return tuple(faults)


def _passes_slots(fault: ClusterFault) -> int:
    """How many slots are gone at once."""
    match fault:
        case Skip():
            return fault.slots
        case Halt():
            return fault.jump_slots + fault.empty_blocks
        case _:
            return 0


def _lasts_slots(fault: ClusterFault) -> int:
    """In how many slots everything that it does has been done."""
    match fault:
        case Fork():
            return fault.within_slots
        case Congestion():
            return fault.slots + fault.delay_slots
        case _:
            return _passes_slots(fault)


def _fork(chance: random.Random, slot: int, _slot_time_ms: int) -> ClusterFault:
    return Fork(
        at_slot=slot,
        depth_slots=chance.randint(1, 12),
        relands_percent=chance.choice([0, 30, 70, 100, 100]),
        reorders=chance.choice([False, True]),
        within_slots=chance.randint(1, 8),
        reuses_slots=chance.choice([False, False, True]),
        seed=chance.getrandbits(32),
    )


def _skip(chance: random.Random, slot: int, _slot_time_ms: int) -> ClusterFault:
    return Skip(at_slot=slot, slots=chance.choice([1, 2, 3, 4, 8, 40]))


def _halt(chance: random.Random, slot: int, _slot_time_ms: int) -> ClusterFault:
    return Halt(
        at_slot=slot,
        lasts_slots=chance.randint(1, 30),
        jump_slots=chance.choice([0, 1, 20, 300]),
        empty_blocks=chance.choice([0, 0, 20, 160]),
    )


def _slot_time(chance: random.Random, slot: int, slot_time_ms: int) -> ClusterFault:
    drawn = chance.randint(slot_time_ms // 2, 2 * slot_time_ms)
    return SlotTime(at_slot=slot, slot_time_ms=max(drawn, 5))


def _congestion(chance: random.Random, slot: int, _slot_time_ms: int) -> ClusterFault:
    return Congestion(
        at_slot=slot,
        slots=chance.randint(1, 12),
        delay_slots=chance.randint(1, 20),
        drops_percent=chance.choice([0, 0, 20, 50]),
        seed=chance.getrandbits(32),
    )


_Draw = Callable[[random.Random, int, int], ClusterFault]
_DRAWN: Final[tuple[tuple[_Draw, int], ...]] = (
    (_fork, 6),
    (_skip, 3),
    (_halt, 1),
    (_slot_time, 2),
    (_congestion, 2),
)
