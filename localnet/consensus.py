"""What a cluster agrees on, apart from what it executes: how far it is settled, and what is next.

Calmly, each slot is followed by the next. An `Adversary` may say otherwise when a slot ends; the
cluster does what it says, writes it down and survives it. Whatever it says, finalized stays
finalized.
"""

import heapq
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from solders.signature import Signature
from solders.transaction import VersionedTransaction

from localnet.records import Landed

Commitment = Literal["processed", "confirmed", "finalized"]
MAX_WAITING: Final = 10_000
"""How many transactions a node keeps for later before it loses some."""


@dataclass(frozen=True, kw_only=True)
class Bank:
    """A point to read at: its slot, and the newest block whose hash it knows."""

    slot: int
    newest_block: int


@dataclass(kw_only=True)
class Tip:
    """The newest slot of each commitment, and the newest complete block.

    After a fork, complete and confirmed may be lower than they were; finalized never is.
    """

    complete: int
    confirmed: int
    finalized: int


@dataclass(frozen=True, kw_only=True)
class SlotEnd:
    """How a slot ends. As it is: the open block is complete and the next slot opens.

    `drops_slots`: the newest slots, the open one among them, are dropped with what is in them;
    never a finalized one. `reuses_slots`: the new fork has blocks of its own in those slots.
    `jumps_slots`: so many slots after the open one have no block. `empty_blocks`: so many blocks
    pass before anything can land. `slot_time_ms`: what a slot takes from the next on.
    `is_alpenglow`: what is confirmed is finalized from now on.
    """

    drops_slots: int = 0
    reuses_slots: bool = False
    jumps_slots: int = 0
    empty_blocks: int = 0
    slot_time_ms: int | None = None
    is_alpenglow: bool = False


class Adversary(Protocol):
    """Who decides what a cluster goes through."""

    def at_slot_end(self, slot: int) -> SlotEnd | None:
        """How the open slot ends; None: it does not, the cluster stands still for a slot time."""
        ...

    def lands_after(self) -> int | None:
        """In how many slots what is sent now lands (0: at once); None: never by itself."""
        ...

    def relands(self, dropped: Sequence[Landed]) -> list[tuple[int, Landed]]:
        """Which dropped transactions are sent to the new fork: after how many slots, in order."""
        ...


@dataclass(order=True)
class _Waiting:
    slot: int
    ticket: int
    transaction: VersionedTransaction
    wire: bytes


class Waiting:
    """Transactions that a node holds for a later slot. They are in memory only, as on a node."""

    def __init__(self) -> None:
        """Nothing waits."""
        self._heap: list[_Waiting] = []
        self._tickets = itertools.count()

    def add(self, slot: int, transaction: VersionedTransaction, wire: bytes) -> bool:
        """Keep one until this slot; whether there was room."""
        if len(self._heap) >= MAX_WAITING:
            return False
        heapq.heappush(self._heap, _Waiting(slot, next(self._tickets), transaction, wire))
        return True

    def __contains__(self, signature: Signature) -> bool:
        """Whether the transaction with this first signature waits."""
        return any(one.transaction.signatures[0] == signature for one in self._heap)

    def due(self, slot: int) -> Iterator[tuple[VersionedTransaction, bytes]]:
        """Hand out what waited for this slot or an earlier one, in order."""
        while self._heap and self._heap[0].slot <= slot:
            one = heapq.heappop(self._heap)
            yield one.transaction, one.wire
