"""What can go wrong between a cluster and those who ask it, as frozen values.

Whether a fault happens is decided by counts of calls, by slots and by dice that a seed has loaded;
never by a clock. Slots are counted from the one in which the fleet began to answer, calls are those
that a fault is about (its method, backend and slots), from 1. What is "until" is not included.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, get_args

from localnet.adversary.cluster_faults import ClusterFault

CallKind = Literal[
    "http-429",
    "rpc-429",
    "rpc-32429",
    "http-error",
    "html",
    "empty",
    "truncated",
    "foreign",
    "wrong-id",
    "null",
    "unknown-enum",
    "error",
    "timeout",
    "reset-before",
    "reset-middle",
    "duplicate",
    "repeated",
    "stale",
]
ViewKind = Literal[
    "lag",
    "index-lag",
    "transaction-lag",
    "pruned",
    "lost-signatures",
    "lost-transactions",
    "reordered",
    "old-cursors",
    "ignores-min-context-slot",
    "version-ceiling",
    "no-history",
    "foreign-chain",
]
SocketKind = Literal[
    "ws-refuse",
    "ws-drop",
    "ws-stall",
    "ws-overflow",
    "ws-lose",
    "ws-foreign",
    "ws-malformed",
    "ws-repeat",
]
Routing = Literal["random", "round-robin"]


@dataclass(frozen=True, kw_only=True)
class Window:
    """Where and when: a backend (None: each of them) and slots (until None: for ever)."""

    backend: str | None = None
    from_slot: int = 0
    until_slot: int | None = None

    def covers(self, backend: str, slot: int) -> bool:
        """Whether it is about this backend in this slot."""
        return self.backend in (None, backend) and _within(slot, self.from_slot, self.until_slot)


@dataclass(frozen=True, kw_only=True)
class CallFault(Window):
    """Something happens to the answer of a call. `method` None: of every method."""

    kind: CallKind
    method: str | None = None
    from_call: int = 1
    until_call: int | None = None
    probability: float = 1.0
    status: int = 503  # of http-error
    code: int = -32005  # of error
    with_data: bool = True  # of error: whether the error object has its documented data
    retry_after_seconds: int | None = None  # of http-429; None: the header is missing
    executed: bool = True  # of timeout and reset-before: whether the call was carried out

    def counts(self, call: int) -> bool:
        """Whether it is about the `call`-th of its calls."""
        return _within(call, self.from_call, self.until_call)


@dataclass(frozen=True, kw_only=True)
class ViewFault(Window):
    """A backend sees the truth late, in part, or in another way than others."""

    kind: ViewKind
    slots: int = 8  # of the lags
    below_slot: int = 0  # of pruned: a slot of the chain, not counted from the start
    share: float = 0.25  # of the losses: which part of all transactions
    version: int = 0  # of version-ceiling: the newest it can read


@dataclass(frozen=True, kw_only=True)
class SocketFault(Window):
    """Something happens to a websocket, from its `after_messages`-th message on."""

    kind: SocketKind
    after_messages: int = 0
    probability: float = 1.0


Fault = CallFault | ViewFault | SocketFault | ClusterFault


@dataclass(frozen=True, kw_only=True)
class Script:
    """All that will go wrong. `seed` loads the dice of probabilities and of the routing."""

    seed: int = 0
    backends: tuple[str, ...] = ("a",)
    routing: Routing = "random"
    faults: tuple[Fault, ...] = ()

    def of_cluster(self) -> tuple[ClusterFault, ...]:
        """What happens to the cluster itself."""
        return tuple(one for one in self.faults if isinstance(one, ClusterFault))


_CALLS: Final = ("backend", "method", "from_slot", "until_slot", "from_call", "until_call")
_VIEWS: Final = ("backend", "from_slot", "until_slot")
_SOCKETS: Final = (*_VIEWS, "after_messages", "probability")
_CALL_OPTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "http-429": ("retry_after_seconds",),
    "http-error": ("status",),
    "error": ("code", "with_data"),
    "timeout": ("executed",),
    "reset-before": ("executed",),
}
_VIEW_OPTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "lag": ("slots",),
    "index-lag": ("slots",),
    "transaction-lag": ("slots",),
    "pruned": ("below_slot",),
    "lost-signatures": ("share",),
    "lost-transactions": ("share",),
    "version-ceiling": ("version",),
}
OPTIONS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {kind: (*_CALLS, "probability", *_CALL_OPTIONS.get(kind, ())) for kind in get_args(CallKind)}
    | {kind: (*_VIEWS, *_VIEW_OPTIONS.get(kind, ())) for kind in get_args(ViewKind)}
    | {kind: _SOCKETS for kind in get_args(SocketKind)}
)
"""What may be said about a fault of each kind, in the order it is printed."""


def _within(number: int, start: int, until: int | None) -> bool:
    return start <= number and (until is None or number < until)
