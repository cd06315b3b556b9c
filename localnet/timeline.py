"""Which slots have blocks, when they began, and their hashes: arithmetic, no state per block.

A block without transactions is not stored anywhere: its time follows from the last anchor, its
height from its slot, and its hash from the chain's genesis hash. Every `skipped_every`-th slot has
no block, as a real leader sometimes misses his, so nobody can confuse slots with heights. On top of
that, runs of slots can lose their blocks (a fork), get others (a fork in the same slots) or never
have any (a halt): those runs are listed.
"""

import bisect
import hashlib
import itertools
from dataclasses import dataclass
from typing import Final

from localnet.records import Anchor

SLOTS_PER_EPOCH: Final = 432_000
MAX_PROCESSING_AGE: Final = 150
"""A transaction may refer to a blockhash that is at most this many blocks old."""
_KEPT_HASHES: Final = 2 * MAX_PROCESSING_AGE + 212  # the SlotHashes sysvar shows 512


class Timeline:
    """The order of slots of one chain. Pure but for `add`."""

    def __init__(self, genesis_hash: bytes, skipped_every: int) -> None:
        """`skipped_every` is 0 (no slot is skipped) or at least 2."""
        assert skipped_every == 0 or skipped_every >= 2
        self.genesis_hash = genesis_hash
        self._skipped_every = skipped_every
        self._anchors: list[Anchor] = []
        self._gaps: list[_Gap] = []
        self._replaced: list[tuple[int, int]] = []

    @property
    def last_anchor(self) -> Anchor:
        """The anchor that the newest slots are counted from."""
        return self._anchors[-1]

    def add(self, anchor: Anchor) -> None:
        """Count the slots from `anchor.slot` on from this anchor."""
        if self._anchors and anchor.slot == self.last_anchor.slot:
            self._anchors.pop()
        assert not self._anchors or anchor.slot > self.last_anchor.slot
        self._anchors.append(anchor)

    def skip(self, first: int, last: int) -> None:
        """The slots from `first` to `last` have no block; `last` is above all skipped before."""
        assert 0 < first <= last
        while self._gaps and self._gaps[-1].last >= first - 1:
            first = min(first, self._gaps.pop().first)
        lost = self._regular_blocks(last) - self._regular_blocks(first - 1)
        lost_before = self._gaps[-1].lost if self._gaps else 0
        self._gaps.append(_Gap(first=first, last=last, lost=lost_before + lost))

    def replace(self, first: int, last: int) -> None:
        """The blocks of these slots are others than they were: their hashes change."""
        self._replaced.append((first, last))

    def has_block(self, slot: int) -> bool:
        """Whether the slot is not skipped."""
        gap = self._gap_from(slot)
        return self._is_regular(slot) and (gap is None or slot > gap.last)

    def _is_regular(self, slot: int) -> bool:
        every = self._skipped_every
        return every == 0 or slot % every != every - 1

    def _regular_blocks(self, slot: int) -> int:
        """How many blocks the slots from 0 to this one would have without gaps."""
        every = self._skipped_every
        return slot + 1 if every == 0 else slot + 1 - (slot + 1) // every

    def _gap_from(self, slot: int) -> "_Gap | None":
        """The last gap that begins at or before this slot."""
        if not self._gaps:
            return None
        index = bisect.bisect_right(self._gaps, slot, key=_first_of) - 1
        return self._gaps[index] if index >= 0 else None

    def height(self, slot: int) -> int:
        """How many blocks come before the block of this slot."""
        gap, height = self._gap_from(slot), self._regular_blocks(slot) - 1
        if gap is None:
            return height
        not_yet_lost = self._regular_blocks(max(gap.last, slot)) - self._regular_blocks(slot)
        return height - gap.lost + not_yet_lost

    def at_or_before(self, slot: int) -> int:
        """The newest slot with a block, not after `slot`; at least 0."""
        slot = max(slot, 0)
        while not self.has_block(slot):
            gap = self._gap_from(slot)
            slot = gap.first - 1 if gap is not None and slot <= gap.last else slot - 1
        return slot

    def next(self, slot: int) -> int:
        """The slot of the block after this one."""
        slot += 1
        while not self.has_block(slot):
            gap = self._gap_from(slot)
            slot = gap.last + 1 if gap is not None and slot <= gap.last else slot + 1
        return slot

    def parent(self, slot: int) -> int:
        """The slot of the block before this one; genesis is its own parent."""
        return self.at_or_before(slot - 1)

    def time_ms(self, slot: int) -> int:
        """When the slot began on the chain's clock, in Unix milliseconds."""
        index = bisect.bisect_right(self._anchors, slot, key=_slot_of) - 1
        anchor = self._anchors[max(index, 0)]
        return anchor.time_ms + (slot - anchor.slot) * anchor.slot_ms

    def time_seconds(self, slot: int) -> int:
        """The same in whole Unix seconds, as blocks and the Clock sysvar give it."""
        return self.time_ms(slot) // 1000

    def blockhash(self, slot: int) -> bytes:
        """The hash of the block of this slot."""
        forks = sum(first <= slot <= last for first, last in self._replaced)
        named = self.genesis_hash + slot.to_bytes(8, "little") + b"fork" * forks
        return hashlib.sha256(b"block" + named).digest()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Gap:
    """Slots without a block; `lost` counts the blocks that this gap and all before it cost."""

    first: int
    last: int
    lost: int


def _slot_of(anchor: Anchor) -> int:
    return anchor.slot


def _first_of(gap: _Gap) -> int:
    return gap.first


class Blockhashes:
    """Which block a recent blockhash belongs to, and whether it may still be used."""

    def __init__(self, timeline: Timeline, newest: int) -> None:
        """Know the blocks up to slot `newest`, which must have a block."""
        self._timeline = timeline
        self._slot_by_hash: dict[bytes, int] = {}
        blocks = [newest]
        while blocks[-1] > 0 and len(blocks) < _KEPT_HASHES:
            blocks.append(timeline.parent(blocks[-1]))
        for slot in reversed(blocks):
            self.register(slot)

    def register(self, slot: int) -> None:
        """The block of this slot is complete: its hash may be used from now on."""
        self._slot_by_hash[self._timeline.blockhash(slot)] = slot
        while len(self._slot_by_hash) > _KEPT_HASHES:
            del self._slot_by_hash[next(iter(self._slot_by_hash))]

    def forget_after(self, slot: int) -> None:
        """The blocks above this slot are dropped: their hashes are nobody's."""
        while self._slot_by_hash and next(reversed(self._slot_by_hash.values())) > slot:
            self._slot_by_hash.popitem()

    def is_valid(self, blockhash: bytes, newest: int) -> bool:
        """Whether a bank whose newest complete block is `newest` accepts the hash."""
        slot = self._slot_by_hash.get(blockhash)
        if slot is None or slot > newest:
            return False
        age = self._timeline.height(newest) - self._timeline.height(slot)
        return age <= MAX_PROCESSING_AGE

    def newest_first(self, newest: int) -> list[bytes]:
        """Every hash that a bank whose newest complete block is `newest` accepts."""
        known = reversed(self._slot_by_hash)
        return [blockhash for blockhash in known if self.is_valid(blockhash, newest)]

    def slot_hashes(self, limit: int) -> list[tuple[int, bytes]]:
        """The newest blocks with their slots, newest first."""
        pairs = itertools.islice(reversed(self._slot_by_hash.items()), limit)
        return [(slot, blockhash) for blockhash, slot in pairs]
