"""What the chain says happened: listings of signatures (discovery) and transactions (hydration).

Discovery is the truth, and it is only believed when it hangs together. One pass lists an address's
finalized history from the newest signature down past its frontier, minus an overlap of whole slots,
each call bound to a slot the node must have finalized (`minContextSlot`), so that the answer of a
node that lags is an error and not an omission. Every page is stored as it comes; a pass that breaks
off proves nothing and is simply made again, the frontier has not moved. A pass is believed when it
lists all we knew of the overlap from earlier ones: a cursor a node has forgotten, or a history it
has lost, looks just like "nothing older" otherwise.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Protocol

import base58
from solders.pubkey import Pubkey

from indexer import store
from indexer.raw import Unreadable
from indexer.store import Listed
from settlement.chain.answers import Commitment, SignatureInfo
from settlement.chain.rpc import RpcRefused
from settlement.db.pool import Pool, reading, transaction
from settlement.errors import Unavailable
from settlement.money import Slot

PAGE: Final = 1_000
_UNSUPPORTED_VERSION: Final = -32015
_SIGNATURE_BYTES: Final = 64


class HistoryUnclear(Unavailable):
    """A node's history of an address does not hang together: it is read again."""


class Node(Protocol):
    """What discovery and hydration ask of the chain; `RpcClient` is one."""

    async def signatures_for(
        self,
        address: Pubkey,
        *,
        before: str | None = None,
        min_context_slot: Slot | None = None,
        limit: int = PAGE,
        commitment: Commitment = Commitment.FINALIZED,
    ) -> tuple[SignatureInfo, ...]:
        """One page of an address's history, newest first."""
        ...

    async def transaction(
        self, signature: str, *, commitment: Commitment = Commitment.FINALIZED
    ) -> dict[str, object] | None:
        """The raw JSON of a transaction; None proves nothing."""
        ...


@dataclass(frozen=True, kw_only=True)
class Watched:
    """An address whose every signature is wanted."""

    address: Pubkey
    purpose: str
    # Whether this address's listing orders all transactions that matter inside a slot: every
    # instruction of our program mentions the program itself.
    orders: bool = False


@dataclass(frozen=True, kw_only=True)
class Pass:
    """What one listing is to prove: everything about an address from `floor` to `target`."""

    cluster: str
    watched: Watched
    floor: int
    target: Slot


async def discover(node: Node, pool: Pool, one: Pass) -> int:
    """List and store an address's history above the floor; returns how many signatures it has.

    When it returns, everything finalized at or below `target` is stored. Raises `HistoryUnclear`
    (or what the node raises) with nothing proven.
    """
    address = str(one.watched.address)
    async with reading(pool) as conn:
        known = await store.known_between(conn, one.cluster, address, one.floor, one.target)
    listed: set[str] = set()
    places = _Places()
    before: str | None = None
    while True:
        page = await node.signatures_for(
            one.watched.address, before=before, min_context_slot=one.target, limit=PAGE
        )
        wanted = [info for info in page if info.slot >= one.floor]
        _check_page(page, wanted, listed, places.lowest, one)
        if wanted:
            placed = list(places.of(wanted)) if one.watched.orders else _unplaced(wanted)
            places.lowest = wanted[-1].slot
            listed.update(info.signature for info in wanted)
            async with transaction(pool) as tx:
                await store.remember_page(tx, one.cluster, address, placed)
        if len(wanted) < len(page) or not page:
            break
        before = page[-1].signature
    if missing := known - listed:
        raise HistoryUnclear(address=address, problem="it lost signatures", lost=len(missing))
    return len(listed)


def _check_page(
    page: Sequence[SignatureInfo],
    wanted: Sequence[SignatureInfo],
    listed: set[str],
    lowest: Slot | None,
    one: Pass,
) -> None:
    """Newest first, nothing twice, real signatures; else no conclusion may be drawn."""
    address = str(one.watched.address)
    slots = [*([] if lowest is None else [lowest]), *(info.slot for info in page)]
    if any(older > newer for newer, older in pairwise(slots)):
        raise HistoryUnclear(address=address, problem="it is not listed newest first")
    signatures = {info.signature for info in wanted}
    if len(signatures) < len(wanted) or signatures & listed:
        raise HistoryUnclear(address=address, problem="it lists a signature twice")
    if not all(_is_signature(info.signature) for info in page):
        raise HistoryUnclear(address=address, problem="it lists what is no signature")


def _is_signature(text: str) -> bool:
    try:
        return len(base58.b58decode(text)) == _SIGNATURE_BYTES
    except ValueError:
        return False


class _Places:
    """Numbers signatures inside their slot downwards, as a listing goes: 0 is the newest."""

    def __init__(self) -> None:
        self.lowest: Slot | None = None
        self._slot: Slot | None = None
        self._place = 0

    def of(self, page: Sequence[SignatureInfo]) -> Iterator[Listed]:
        for info in page:
            self._place = self._place - 1 if info.slot == self._slot else 0
            self._slot = info.slot
            yield Listed(info=info, place=self._place)


def _unplaced(page: Sequence[SignatureInfo]) -> list[Listed]:
    return [Listed(info=info, place=None) for info in page]


Hydrated = dict[str, object] | Unreadable | None


async def hydrate(node: Node, signatures: Sequence[str], *, at_once: int) -> dict[str, Hydrated]:
    """Fetch transactions; None where no node has it yet, `Unreadable` where it is too new for us.

    Raises what the node raises for anything else.
    """
    gate = asyncio.Semaphore(at_once)

    async def one(signature: str) -> Hydrated:
        async with gate:
            try:
                return await node.transaction(signature)
            except RpcRefused as refused:
                if refused.error_code == _UNSUPPORTED_VERSION:
                    return Unreadable(signature=signature, problem=refused.text)
                raise

    found = await asyncio.gather(*map(one, signatures), return_exceptions=True)
    hydrated: dict[str, Hydrated] = {}
    for signature, result in zip(signatures, found, strict=True):
        if isinstance(result, BaseException) and not isinstance(result, Unreadable):
            raise result
        hydrated[signature] = result
    return hydrated
