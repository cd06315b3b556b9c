"""Several backends behind one address, and which fault meets which call.

Everything is decided by counts of calls, slots and dice loaded with the script's seed: the same
script and the same calls in the same order give the same faults. Of the faults that meet a call the
first in the script happens; all of them count it.
"""

import dataclasses
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import structlog

from localnet.adversary.backend import Backend
from localnet.adversary.chance import chance, choice
from localnet.adversary.cluster_adversary import ClusterAdversary
from localnet.adversary.faults import CallFault, Script, SocketFault, ViewFault
from localnet.adversary.gate import FaultyGate
from localnet.adversary.past import Past
from localnet.adversary.spoil import spoiled
from localnet.adversary.view import View
from localnet.adversary.wire import Reply, Request, read_request, result_of
from localnet.cluster import Cluster
from localnet.rpc import Method

_REMEMBERED_ANSWERS: Final = 256
_REMEMBERED_FAULTS: Final = 100_000
_log = structlog.get_logger()


class UnknownBackend(KeyError):
    """No backend of the fleet has this name."""


@dataclass(frozen=True, kw_only=True)
class Happened:
    """A fault that met a call; `call` counts all calls of the fleet from 1."""

    call: int
    slot: int
    backend: str
    method: str
    kind: str


@dataclass(kw_only=True)
class _Dice:
    """One fault of calls with how many it has been about. Equal faults throw different dice."""

    fault: CallFault
    twin: int
    calls: int = 0

    def falls(self, seed: int) -> bool:
        fault = self.fault
        self.calls += 1
        if not fault.counts(self.calls):
            return False
        return chance(seed, repr(fault), self.twin, self.calls) < fault.probability


class Fleet:
    """The one door to a cluster's nodes."""

    def __init__(
        self,
        cluster: Cluster,
        methods: Mapping[str, Method],
        script: Script,
        *,
        observe: Callable[[str, str], None],
        fail: Callable[[BaseException], None],
    ) -> None:
        """Slots count from the cluster's open one. The callbacks are those of `Dispatcher`.

        What the script does to the cluster itself begins to happen too.
        """
        self.script = script
        self.happened: deque[Happened] = deque(maxlen=_REMEMBERED_FAULTS)
        self.calls = 0
        self._cluster = cluster
        if script.of_cluster():
            cluster.adversary = ClusterAdversary(script.of_cluster(), origin_slot=cluster.slot)
        self._start_slot = cluster.slot
        self._views = [fault for fault in script.faults if isinstance(fault, ViewFault)]
        self._sockets = [fault for fault in script.faults if isinstance(fault, SocketFault)]
        on_calls = [fault for fault in script.faults if isinstance(fault, CallFault)]
        self._dice = [
            _Dice(fault=fault, twin=on_calls[:place].count(fault))
            for place, fault in enumerate(on_calls)
        ]
        self._remembers = any(fault.kind == "stale" for fault in on_calls)
        self._earlier: OrderedDict[bytes, bytes] = OrderedDict()
        self._connections = 0
        self._backends = {
            name: Backend(
                name,
                cluster,
                methods,
                seed=script.seed,
                faults=self._views,
                slot=lambda: self.slot,
                past=lambda: self.past,
                observe=observe,
                fail=fail,
            )
            for name in script.backends
        }

    @property
    def slot(self) -> int:
        """How many slots have passed since the fleet began to answer."""
        return self._cluster.slot - self._start_slot

    @cached_property
    def past(self) -> Past:
        """What every account has been."""
        return View.past_of(self._cluster)

    async def post(self, body: bytes, backend: str | None = None) -> Reply:
        """Answer a request, from one backend or from whichever the routing takes.

        Raises `UnknownBackend`.
        """
        self.calls += 1
        chosen = self._backend(backend)
        request = read_request(body)
        fault = self._fault_for(request.method, chosen.name)
        if fault is None:
            answered = await chosen.answer(body)
            if self._remembers:
                self._remember(request, answered)
            return Reply(body=answered)
        self._note(request.method, chosen.name, fault.kind)
        earlier = self._earlier.get(request.key()) if fault.kind == "stale" else None
        return await spoiled(fault, request, lambda: chosen.answer(body), earlier)

    def gate(self, backend: str | None = None) -> FaultyGate | None:
        """What a new websocket goes through; None: it is refused. Raises `UnknownBackend`."""
        self._connections += 1
        name = self._backend(backend).name
        gate = FaultyGate(
            [fault for fault in self._sockets if fault.backend in (None, name)],
            name,
            seed=self.script.seed,
            connection=self._connections,
            slot=lambda: self.slot,
            note=lambda method, kind: self._note(method, name, kind),
        )
        return None if gate.refuses() else gate

    def _backend(self, name: str | None) -> Backend:
        if name is not None:
            if name not in self._backends:
                raise UnknownBackend(name)
            return self._backends[name]
        names = self.script.backends
        if self.script.routing == "round-robin":
            return self._backends[names[self.calls % len(names)]]
        count = self.calls + self._connections
        return self._backends[choice(names, self.script.seed, "route", count)]

    def _fault_for(self, method: str, backend: str) -> CallFault | None:
        slot = self.slot
        fallen = [
            dice.fault
            for dice in self._dice
            if dice.fault.method in (None, method)
            and dice.fault.covers(backend, slot)
            and dice.falls(self.script.seed)
        ]
        return fallen[0] if fallen else None

    def _remember(self, request: Request, answered: bytes) -> None:
        result = result_of(answered)
        if result is None:
            return
        self._earlier[request.key()] = result
        while len(self._earlier) > _REMEMBERED_ANSWERS:
            self._earlier.popitem(last=False)

    def _note(self, method: str, backend: str, kind: str) -> None:
        happened = Happened(
            call=self.calls, slot=self.slot, backend=backend, method=method, kind=kind
        )
        self.happened.append(happened)
        _log.debug("fault", **dataclasses.asdict(happened))
