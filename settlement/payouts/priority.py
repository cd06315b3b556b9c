"""What a message offers per compute unit, so that it is taken soon and never costs too much. Pure.

The offer follows what was paid lately for the accounts we write, and rises with every message of a
payout that went out in vain. It has a floor and a cap; the signer has a cap of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class FeePolicy:
    """Bounds of the offer, in microlamports per compute unit."""

    floor_microlamports: int = 1_000
    cap_microlamports: int = 100_000
    percentile: int = 75  # of what was paid lately
    raise_percent: int = 50  # more with every message in vain, on what it was before

    def __post_init__(self) -> None:
        assert 0 <= self.floor_microlamports <= self.cap_microlamports, "a floor above the cap"
        assert 0 <= self.percentile <= 100, "no percentile"


def offer(recent_microlamports: Sequence[int], *, in_vain: int, policy: FeePolicy) -> int:
    """Microlamports per compute unit after so many messages `in_vain`."""
    ordered = sorted(recent_microlamports)
    at = max(0, -(-len(ordered) * policy.percentile // 100) - 1)
    price = max(policy.floor_microlamports, ordered[at] if ordered else 0)
    for _ in range(in_vain):
        if price >= policy.cap_microlamports:
            break
        # At least one more: a price of nothing would stay nothing.
        price = max(price + 1, price * (100 + policy.raise_percent) // 100)
    return min(price, policy.cap_microlamports)
