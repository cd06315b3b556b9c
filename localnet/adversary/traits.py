"""How one backend sees the truth at one moment: the sum of the view faults that are on."""

from collections.abc import Iterable
from dataclasses import dataclass

from localnet.adversary.faults import ViewFault


@dataclass(frozen=True, kw_only=True)
class Traits:
    """All as it should be, unless said otherwise. Lags are in slots behind the truth."""

    lag_slots: int = 0
    index_lag_slots: int = 0
    transaction_lag_slots: int = 0
    pruned_below_slot: int = 0
    lost_signatures: float = 0.0
    lost_transactions: float = 0.0
    is_reordered: bool = False
    has_old_cursors: bool = False
    ignores_min_context_slot: bool = False
    version_ceiling: int | None = None
    has_no_history: bool = False
    is_foreign_chain: bool = False


CALM = Traits()


def traits_of(faults: Iterable[ViewFault]) -> Traits:
    """The faults together: the worst of each kind."""
    by_kind: dict[str, list[ViewFault]] = {}
    for fault in faults:
        by_kind.setdefault(fault.kind, []).append(fault)
    if not by_kind:
        return CALM

    def slots(kind: str) -> int:
        return max((fault.slots for fault in by_kind.get(kind, ())), default=0)

    def share(kind: str) -> float:
        return max((fault.share for fault in by_kind.get(kind, ())), default=0.0)

    return Traits(
        lag_slots=slots("lag"),
        index_lag_slots=slots("index-lag"),
        transaction_lag_slots=slots("transaction-lag"),
        pruned_below_slot=max((one.below_slot for one in by_kind.get("pruned", ())), default=0),
        lost_signatures=share("lost-signatures"),
        lost_transactions=share("lost-transactions"),
        is_reordered="reordered" in by_kind,
        has_old_cursors="old-cursors" in by_kind,
        ignores_min_context_slot="ignores-min-context-slot" in by_kind,
        version_ceiling=min(
            (one.version for one in by_kind.get("version-ceiling", ())), default=None
        ),
        has_no_history="no-history" in by_kind,
        is_foreign_chain="foreign-chain" in by_kind,
    )
