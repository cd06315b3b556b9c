"""What the chain says happened: listings of signatures (discovery) and transactions (hydration).

Discovery is the truth, and it is only believed when it hangs together. One pass lists an address's
finalized history from the newest signature down past its frontier, minus an overlap of whole slots,
each call bound to a slot the node must have finalized (`minContextSlot`), so that the answer of a
node that lags is an error and not an omission. Every page is stored as it comes; a pass that breaks
off proves nothing and is simply made again, the frontier has not moved. A pass is believed when it
lists all we knew of these slots from earlier ones and from other providers: a cursor a node has
forgotten (an error on new nodes, an empty page on old ones), or a history it has lost, looks just
like "nothing older" otherwise. A cursor never outlives its pass: the next one begins at the newest
signature again, bounded by slots.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Protocol

from solders.pubkey import Pubkey

from indexer import store
from indexer.store import Listed
from settlement.chain.answers import Commitment, SignatureInfo
from settlement.chain.signatures import is_signature, signature_bytes
from settlement.db.pool import Pool, reading, transaction
from settlement.errors import Unavailable
from settlement.money import Slot

PAGE: Final = 1_000
UNSUPPORTED_VERSION: Final = -32015

Sighting = tuple[Slot, str]  # where a signature was listed


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

    async def transaction_text(self, signature: str) -> bytes | None:
        """The same of a finalized one, as the node wrote it."""
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
    places: bool = True  # whether this listing says in which order a slot's transactions were


@dataclass(frozen=True, kw_only=True)
class Listing:
    """One provider's word about an address between two slots, both included.

    It is whole when nothing is missing that is known from elsewhere: only then it proves anything.
    """

    address: str
    floor: Slot
    slot: Slot
    signatures: int
    digest: bytes  # SHA-256 over what is listed, in the order of slot and signature
    missing: frozenset[Sighting]


async def discover(node: Node, pool: Pool, one: Pass) -> Listing:
    """List and store an address's history above the floor; all it lists is stored when it returns.

    Raises `HistoryUnclear` (or what the node raises) with nothing proven.
    """
    address = str(one.watched.address)
    listed: set[Sighting] = set()
    failed: set[Sighting] = set()
    places = _Places()
    before: str | None = None
    while True:
        page = await node.signatures_for(
            one.watched.address, before=before, min_context_slot=one.target, limit=PAGE
        )
        wanted = [info for info in page if info.slot >= one.floor]
        _check_page(page, wanted, listed, places.lowest, one)
        if wanted:
            ordered = one.watched.orders and one.places
            placed = list(places.of(wanted)) if ordered else _unplaced(wanted)
            places.lowest = wanted[-1].slot
            listed.update((info.slot, info.signature) for info in wanted)
            failed.update((info.slot, info.signature) for info in wanted if info.failed)
            async with transaction(pool) as tx:
                await store.remember_page(tx, one.cluster, address, placed)
        if len(wanted) < len(page) or not page:
            break
        before = page[-1].signature
    # Read last: what another provider has listed meanwhile is known too.
    async with reading(pool) as conn:
        known = await store.known_between(conn, one.cluster, address, one.floor, one.target)
    told = {sighting for sighting in listed if sighting[0] <= one.target}
    return Listing(
        address=address,
        floor=Slot(one.floor),
        slot=one.target,
        signatures=len(told),
        digest=_digest(told, failed),
        missing=frozenset(known - told),
    )


def _digest(listed: set[Sighting], failed: set[Sighting]) -> bytes:
    digest = hashlib.sha256()
    for sighting in sorted(listed):
        slot, signature = sighting
        digest.update(slot.to_bytes(8, "big"))
        digest.update(signature_bytes(signature))
        digest.update(b"\1" if sighting in failed else b"\0")
    return digest.digest()


def _check_page(
    page: Sequence[SignatureInfo],
    wanted: Sequence[SignatureInfo],
    listed: set[Sighting],
    lowest: Slot | None,
    one: Pass,
) -> None:
    """Newest first, nothing twice, real signatures; else no conclusion may be drawn."""
    address = str(one.watched.address)
    slots = [*([] if lowest is None else [lowest]), *(info.slot for info in page)]
    if any(older > newer for newer, older in pairwise(slots)):
        raise HistoryUnclear(address=address, problem="it is not listed newest first")
    sightings = {(info.slot, info.signature) for info in wanted}
    if len({signature for _, signature in sightings}) < len(wanted) or sightings & listed:
        raise HistoryUnclear(address=address, problem="it lists a signature twice")
    if not all(is_signature(info.signature) for info in page):
        raise HistoryUnclear(address=address, problem="it lists what is no signature")


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
