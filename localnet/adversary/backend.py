"""One node behind the address: answers every method from its own view of the truth."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from inspect import isawaitable
from typing import Final, cast

from localnet.adversary.chance import chance
from localnet.adversary.error_codes import error_body
from localnet.adversary.faults import ViewFault
from localnet.adversary.past import Past
from localnet.adversary.traits import CALM, Traits, traits_of
from localnet.adversary.view import HistoryView, View
from localnet.cluster import Cluster
from localnet.history import Entry
from localnet.rpc import Dispatcher, Handler, Method
from localnet.rpc_errors import RpcError, block_cleaned_up
from localnet.rpc_params import Params, as_u64

_LISTING: Final = "getSignaturesForAddress"
_TRANSACTION: Final = "getTransaction"
_HISTORY: Final = frozenset({_LISTING, _TRANSACTION, "getBlock", "getSignatureStatuses"})
_FIRST_BLOCK: Final = frozenset({"getFirstAvailableBlock", "minimumLedgerSlot"})
_BLOCKS: Final = frozenset({"getBlocks", "getBlocksWithLimit"})
_CURSOR_NOT_FOUND: Final = -32020
_NO_HISTORY: Final = -32011


class Backend:
    """A node with a name, and what is wrong with how it sees."""

    def __init__(
        self,
        name: str,
        cluster: Cluster,
        methods: Mapping[str, Method],
        *,
        seed: int,
        faults: Sequence[ViewFault],
        slot: Callable[[], int],
        past: Callable[[], Past],
        observe: Callable[[str, str], None],
        fail: Callable[[BaseException], None],
    ) -> None:
        """`faults` are all of the script; `slot` counts as they do."""
        self.name = name
        self._cluster = cluster
        self._seed = seed
        self._faults = [fault for fault in faults if fault.backend in (None, name)]
        self._slot = slot
        self._past = past
        seen = {
            known: Method(
                partial(self._handle, known, method.handler), method.at_least, method.at_most
            )
            for known, method in methods.items()
        }
        self._dispatcher = Dispatcher(cluster, seen, observe=observe, fail=fail)

    async def answer(self, body: bytes) -> bytes:
        """The response to a request or a batch, as this node sees the chain."""
        return await self._dispatcher.answer(body)

    @property
    def traits(self) -> Traits:
        """How it sees right now."""
        slot = self._slot()
        return traits_of(fault for fault in self._faults if fault.covers(self.name, slot))

    async def _handle(self, name: str, handler: Handler, truth: Cluster, params: Params) -> object:
        traits = self.traits
        if traits is CALM:
            return await _settled(handler(truth, params))
        if traits.has_no_history and name in _HISTORY:
            told = error_body(_NO_HISTORY, with_data=True)
            raise RpcError(_NO_HISTORY, str(told["message"]))
        if name in _FIRST_BLOCK:
            return traits.pruned_below_slot
        if name == "getBlock" and as_u64(params[0]) < traits.pruned_below_slot:
            raise block_cleaned_up(as_u64(params[0]), traits.pruned_below_slot)
        try:
            answered = await _settled(
                handler(self._view(name, traits), params.edited(partial(_edit, traits)))
            )
        except RpcError as error:
            if error.code == _CURSOR_NOT_FOUND and traits.has_old_cursors:
                return []
            raise
        if name in _BLOCKS:
            slots = cast("list[int]", answered)
            return [slot for slot in slots if slot >= traits.pruned_below_slot]
        return answered

    def _view(self, method: str, traits: Traits) -> View:
        lag_slots = traits.lag_slots
        if method == _TRANSACTION:
            lag_slots += traits.transaction_lag_slots
        return View(
            self._cluster,
            lag_slots=lag_slots,
            is_foreign=traits.is_foreign_chain,
            past=self._past,
            history=partial(self._history, method, traits),
        )

    def _history(self, method: str, traits: Traits, newest_slot: int) -> HistoryView:
        """The transactions that this node has when it is asked by a method."""
        lost = 0.0
        if method == _LISTING:
            lost = traits.lost_signatures
        elif method == _TRANSACTION:
            lost = traits.lost_transactions

        def has(entry: Entry) -> bool:
            if traits.is_foreign_chain:
                return False
            if not traits.pruned_below_slot <= entry.slot <= newest_slot:
                return False
            return not lost or chance(self._seed, self.name, "lost", entry.ordinal) >= lost

        def order(entry: Entry) -> float:
            return chance(self._seed, self.name, "order", entry.ordinal)

        return HistoryView(
            self._cluster.history,
            has,
            order if traits.is_reordered else None,
            index_lag_slots=traits.index_lag_slots,
        )


def _edit(traits: Traits, config: dict[str, object]) -> dict[str, object]:
    """The settings object of a call as this node understands it."""
    edited = dict(config)
    if traits.ignores_min_context_slot:
        edited.pop("minContextSlot", None)
    asked = edited.get("maxSupportedTransactionVersion")
    if traits.version_ceiling is not None and isinstance(asked, int):
        edited["maxSupportedTransactionVersion"] = min(asked, traits.version_ceiling)
    return edited


async def _settled(result: object) -> object:
    return await cast("Awaitable[object]", result) if isawaitable(result) else result
