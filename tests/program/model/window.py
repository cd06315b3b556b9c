"""Payout numbers and caps, plainly: two sets of numbers as big integers, and two sums.

`used` and `paid` hold one bit for every number since `origin` and forget nothing; what the chain
keeps of them (a ring of the next 8,192) is cut out of them to be compared.
"""

import struct
from dataclasses import dataclass, replace
from typing import Final

from solders.pubkey import Pubkey

from settlement.chain.layouts import (
    REFERENCE_LENGTH,
    RING_WORDS,
    VACANT,
    WINDOW_NUMBERS,
    WORD_BITS,
    Parameters,
    Payouts,
)
from settlement.money import MicroUsdc

LARGEST: Final = 2**64 - 1
FULL_WORD: Final = 2**WORD_BITS - 1
WORDS_FREED_AT_ONCE: Final = 4
HALF_WINDOW_SECONDS: Final = 43_200


@dataclass(frozen=True, kw_only=True)
class Approval:
    """The one payment above the caps that the admin approved."""

    sequence: int = 0
    amount: int = 0
    destination: Pubkey = VACANT
    reference: bytes = bytes(REFERENCE_LENGTH)
    expires_at: int = 0


@dataclass(frozen=True, kw_only=True)
class Spending:
    """What counts against the window cap: this half of a day, and the half before."""

    started_at: int = 0
    current: int = 0
    previous: int = 0

    def at(self, now: int) -> "Spending":
        """The same a while later; a clock that stepped back finds the same halves."""
        age = now - self.started_at
        if age < HALF_WINDOW_SECONDS:
            return self
        if age < 2 * HALF_WINDOW_SECONDS:
            started_at = self.started_at + HALF_WINDOW_SECONDS
            return Spending(started_at=started_at, previous=self.current)
        return Spending(started_at=now)

    def allows(self, amount: int, now: int, parameters: Parameters) -> bool:
        """Whether the payment is within both caps."""
        recent = self.at(now)
        total = recent.current + recent.previous + amount
        return (
            amount <= parameters.payout_single_cap_microusdc
            and total <= parameters.payout_window_cap_microusdc
        )

    def counted(self, amount: int, now: int) -> "Spending":
        """The same after a payment."""
        recent = self.at(now)
        return replace(recent, current=recent.current + amount)


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """Which numbers are gone, since `origin`: below it all are. And what was paid."""

    origin: int = 0
    base: int = 0
    used: int = 0
    paid: int = 0
    paid_count: int = 0
    paid_total: int = 0
    spending: Spending = Spending()
    approval: Approval = Approval()

    def refusal(self, sequence: int) -> str | None:
        """Why the number cannot be used, if so."""
        if sequence < self.base:
            return "SequenceTooOld"
        if sequence >= self.base + WINDOW_NUMBERS:
            return "SequenceTooFar"
        if self._has(self.paid, 1, sequence):
            return "AlreadyPaid"
        return "AlreadySkipped" if self._has(self.used, 1, sequence) else None

    def skip_refusal(self, first: int, mask: int) -> str | None:
        """Why these numbers cannot be burned, if so."""
        lowest = first + (mask & -mask).bit_length() - 1
        highest = first + mask.bit_length() - 1
        if highest > LARGEST:
            return "SequenceTooFar"
        if lowest < self.base:
            return "SequenceTooOld"
        if highest >= self.base + WINDOW_NUMBERS:
            return "SequenceTooFar"
        if self._has(self.paid, mask, first):
            return "AlreadyPaid"
        nothing_new = self._shifted(mask, first) & ~self.used == 0
        return "AlreadySkipped" if nothing_new else None

    def after(self, mask: int, first: int, *, paid: bool) -> "Numbers | None":
        """With these numbers used, and the full words at the bottom given up: at most four.

        None when there are no numbers left to move on to.
        """
        bits = self._shifted(mask, first)
        used = self.used | bits
        base = self.base
        for _ in range(WORDS_FREED_AT_ONCE):
            if used >> (base - self.origin) & FULL_WORD != FULL_WORD:
                break
            base += WORD_BITS
            if base > LARGEST:
                return None
        return replace(self, base=base, used=used, paid=self.paid | bits if paid else self.paid)

    def _has(self, among: int, mask: int, first: int) -> bool:
        return among & self._shifted(mask, first) != 0

    def _shifted(self, mask: int, first: int) -> int:
        # A mask may start below the origin with empty bits.
        by = first - self.origin
        return mask << by if by >= 0 else mask >> -by

    def account(self) -> Payouts:
        """What the chain must hold."""
        return Payouts(
            base=self.base,
            used=self._ring(self.used),
            paid=self._ring(self.paid),
            paid_count=self.paid_count,
            paid_total_microusdc=MicroUsdc(self.paid_total),
            half_window_started_at=self.spending.started_at,
            half_window_spent_microusdc=MicroUsdc(self.spending.current),
            previous_half_window_spent_microusdc=MicroUsdc(self.spending.previous),
            approved_sequence=self.approval.sequence,
            approved_amount_microusdc=MicroUsdc(self.approval.amount),
            approved_destination=self.approval.destination,
            approved_reference=self.approval.reference,
            approval_expires_at=self.approval.expires_at,
        )

    def _ring(self, numbers: int) -> tuple[int, ...]:
        window = numbers >> (self.base - self.origin) & (1 << WINDOW_NUMBERS) - 1
        words = struct.unpack(f"<{RING_WORDS}Q", window.to_bytes(WINDOW_NUMBERS >> 3, "little"))
        turn = -(self.base // WORD_BITS) % RING_WORDS
        return (*words[turn:], *words[:turn])
