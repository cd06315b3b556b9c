"""Chain time: the anchors that slots are counted from, and the sysvars that programs read it by.

Chain time follows the wall, plus an offset for what it was moved forward; it never goes back.
"""

import time
from typing import Final

from solders.clock import Clock

from localnet.records import Anchor, pack
from localnet.recovery import ChainState
from localnet.timeline import SLOTS_PER_EPOCH, Blockhashes

_SLOT_HASHES: Final = 512
_DRIFT_MS: Final = 1_000


class Clockwork:
    """The clock of one chain."""

    def __init__(self, state: ChainState, slot_time_ms: int) -> None:
        """A slot takes `slot_time_ms` from the next anchor on."""
        self._state = state
        self.slot_time_ms = slot_time_ms
        self._slot_in_sysvars = -1

    def clock(self, slot: int) -> Clock:
        """The Clock sysvar in the bank of a slot."""
        line = self._state.timeline
        epoch = slot // SLOTS_PER_EPOCH
        start = line.time_seconds(epoch * SLOTS_PER_EPOCH)
        return Clock(slot, start, epoch, epoch + 1, line.time_seconds(slot))

    def set_sysvars(self, slot: int, blockhashes: Blockhashes) -> None:
        """Let programs see this slot: set once per slot, and only if something executes in it."""
        if self._slot_in_sysvars != slot:
            known = blockhashes.slot_hashes(_SLOT_HASHES)
            below = [one for one in known if one[0] < slot]
            self._state.engine.set_time(self.clock(slot), below)
            self._slot_in_sysvars = slot

    def forget_sysvars(self) -> None:
        """Times or hashes are others than they were."""
        self._slot_in_sysvars = -1

    @property
    def offset_ms(self) -> int:
        """How far chain time has been moved ahead of the wall."""
        return self._state.timeline.last_anchor.offset_ms

    def follow_wall(self, slot: int, *, at_once: bool = False) -> None:
        """Count from this open slot on at the wall's time, if the chain's is a second behind it."""
        now_ms = _wall_ms() + self.offset_ms
        if at_once or now_ms - self._state.timeline.time_ms(slot) > _DRIFT_MS:
            self.begin(slot, now_ms)

    def begin(self, slot: int, time_ms: int) -> None:
        """The open slot begins at this time, or with its parent, so that time never goes back."""
        line = self._state.timeline
        time_ms = max(time_ms, line.time_ms(line.parent(slot)))
        self.anchor(slot, time_ms, max(self.offset_ms, time_ms - _wall_ms()))

    def anchor(self, slot: int, time_ms: int, offset_ms: int) -> None:
        """Write down that the open slot begins then."""
        anchor = Anchor(slot=slot, time_ms=time_ms, slot_ms=self.slot_time_ms, offset_ms=offset_ms)
        self._state.journal.append(pack(anchor))
        self._state.timeline.add(anchor)
        self.forget_sysvars()


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
