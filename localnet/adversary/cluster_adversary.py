"""Cluster faults in action: at the end of each slot, what is due of a script.

Pauses (`Skip`, `Halt`) come before forks: a fork that is due in the same slot happens when the
cluster goes on, which is what a restart from an older block is. What is due during a pause waits
for its end.
"""

import random
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from localnet.adversary.cluster_faults import (
    Alpenglow,
    ClusterFault,
    Congestion,
    Fork,
    Halt,
    Skip,
    SlotTime,
)
from localnet.consensus import SlotEnd
from localnet.records import Landed


@dataclass(frozen=True, kw_only=True)
class _Pause:
    """The cluster stands still for `lasts_slots`, then goes on further on."""

    lasts_slots: int
    jumps_slots: int
    empty_blocks: int = 0


class ClusterAdversary:
    """The `Adversary` that does what a script says. One per cluster and run: it counts."""

    def __init__(self, faults: Iterable[ClusterFault], *, origin_slot: int = 0) -> None:
        """`origin_slot` is the slot of the cluster that is slot 0 of the faults."""
        self._script = deque(sorted(faults, key=lambda fault: fault.at_slot))
        self._origin_slot = origin_slot
        self._pauses: deque[_Pause] = deque()
        self._pause_left = 0
        self._fork: Fork | None = None
        self._next = SlotEnd()
        self._congestion: Congestion | None = None
        self._congested_left = 0
        self._chance = random.Random()

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to happen; the cluster goes on calmly."""
        return not (self._script or self._pauses or self._congested_left or self._fork)

    def at_slot_end(self, slot: int) -> SlotEnd | None:
        """What is due when this slot ends; None: the cluster stands still."""
        while self._script and self._script[0].at_slot + self._origin_slot <= slot:
            self._take(self._script.popleft())
        end = self._next
        if self._fork is not None:
            reuses = self._fork.reuses_slots
            end = replace(end, drops_slots=self._fork.depth_slots, reuses_slots=reuses)
        if self._pauses:
            pause = self._pauses[0]
            self._pause_left = (self._pause_left or pause.lasts_slots + 1) - 1
            if self._pause_left > 0:
                return None
            self._pauses.popleft()
            end = replace(end, jumps_slots=pause.jumps_slots, empty_blocks=pause.empty_blocks)
        self._next = SlotEnd()
        self._congested_left = max(self._congested_left - 1, 0)
        return end

    def lands_after(self) -> int | None:
        """In how many slots what is sent now lands."""
        congestion = self._congestion
        if congestion is None or self._congested_left == 0:
            return 0
        if self._chance.randrange(100) < congestion.drops_percent:
            return None
        return self._chance.randint(1, congestion.delay_slots)

    def relands(self, dropped: Sequence[Landed]) -> list[tuple[int, Landed]]:
        """Which of the dropped transactions the new fork gets, and after how many slots."""
        fork, self._fork = self._fork, None
        if fork is None:
            return []
        chance = random.Random(fork.seed)
        chosen = [one for one in dropped if chance.randrange(100) < fork.relands_percent]
        if fork.reorders:
            chance.shuffle(chosen)
        after_slots = sorted(chance.randrange(fork.within_slots) for _ in chosen)
        return list(zip(after_slots, chosen, strict=True))

    def _take(self, fault: ClusterFault) -> None:
        match fault:
            case Fork():
                if self._fork is None or self._fork.depth_slots < fault.depth_slots:
                    self._fork = fault  # of several forks at once, the deepest is the one
            case Skip():
                self._pauses.append(_Pause(lasts_slots=fault.slots, jumps_slots=fault.slots))
            case Halt():
                self._pauses.append(
                    _Pause(
                        lasts_slots=fault.lasts_slots,
                        jumps_slots=fault.jump_slots,
                        empty_blocks=fault.empty_blocks,
                    )
                )
            case SlotTime():
                self._next = replace(self._next, slot_time_ms=fault.slot_time_ms)
            case Alpenglow():
                self._next = replace(self._next, is_alpenglow=True)
            case Congestion():
                self._congestion, self._congested_left = fault, fault.slots + 1
                self._chance = random.Random(fault.seed)
