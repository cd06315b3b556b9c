"""Identity of what moved on chain. Pure.

A movement is named by (cluster, signature, outer instruction, inner instruction or −1, sub
instruction or 0): the sub index exists because one token Batch instruction can move money several
times without inner instructions (chain.md §7.2).
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from settlement.money import Slot


class Vault(StrEnum):
    """The two token accounts whose money is ours to account for."""

    TILL = "till"
    BOND = "bond"


@dataclass(frozen=True, kw_only=True)
class MovementKey:
    """The name of one movement, unique over all clusters and for ever."""

    cluster: str
    signature: str
    outer: int
    inner: int = -1
    sub: int = 0

    @property
    def reference(self) -> str:
        """The text under which the books know it."""
        return f"chain:{self.cluster}:{self.signature}:{self.outer}:{self.inner}:{self.sub}"


@dataclass(frozen=True, kw_only=True)
class ChainMoment:
    """Where a finalized transaction stands: its slot and the block's own time."""

    slot: Slot
    block_time: datetime
