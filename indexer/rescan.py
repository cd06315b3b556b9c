"""Looks for what a listing did not show, from the last good checkpoint on.

First every provider's own listing, then block by block: a transaction that moved our money stands
in a block, whatever an index says. What is found is kept as if it had been listed, together with
the story of where it was hidden; it is booked by the ordinary road, and only when it adds up. The
place reached in the blocks is kept, so a rescan goes on where another life left it.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol, runtime_checkable

import structlog

from indexer import raw, store
from indexer.backlog import Answering
from indexer.providers import Provider, Providers
from indexer.raw import Unreadable
from indexer.source import PAGE, Watched
from indexer.store import Listed
from settlement.chain.answers import SignatureInfo
from settlement.chain.blocks import BlockLine
from settlement.chain.rpc import RpcRefused
from settlement.chain.signatures import is_signature, signature_bytes
from settlement.db.pool import Pool, ReadConn, reading, transaction
from settlement.db.sql import load
from settlement.errors import Unavailable
from settlement.money import Slot
from settlement.reconcile import checkpoint
from settlement.reconcile.checkpoint import Stop

_SQL: Final = load("indexer", "checkpoint.sql")
_MOST_PAGES: Final = 50
_log = structlog.stdlib.get_logger()


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much of a rescan is done at once, and how far back blocks are read at all."""

    blocks: int = 64
    at_once: int = 8
    most_slots: int = 500_000


@runtime_checkable
class BlockReader(Protocol):
    """A node that serves whole blocks; `RpcClient` is one."""

    async def blocks(self, first: Slot, last: Slot) -> tuple[Slot, ...]: ...

    async def block_lines(self, slot: Slot) -> tuple[BlockLine, ...]: ...


class Rescan:
    """Rescans of one cluster's accounts."""

    def __init__(
        self,
        *,
        providers: Providers,
        node: Answering,
        pool: Pool,
        watched: Sequence[Watched],
        effort: Effort | None = None,
    ) -> None:
        self._providers = providers
        self._node = node  # whose transactions are believed
        self._pool = pool
        self._watched = {str(one.address): one for one in watched}
        self._effort = effort or Effort()

    async def step(self, stop: Stop, *, seen: Slot) -> Stop | None:
        """One portion, of what should be known up to slot `seen`.

        Returns the stop as far as it is scanned while there are blocks to read, then None. What
        a node does not answer is left for the next time.
        """
        for provider in self._asked():
            try:
                await self._relist(provider, stop, seen)
            except (Unavailable, RpcRefused) as error:
                _log.warning("relisting_failed", provider=provider.name, problem=str(error))
        return await self._scan(stop)

    def _asked(self) -> list[Provider]:
        return [one for one in self._providers.all if one.usable]

    async def _relist(self, provider: Provider, stop: Stop, seen: Slot) -> None:
        address = self._watched[stop.address].address
        before: str | None = None
        for _ in range(_MOST_PAGES):
            page = await provider.rpc.signatures_for(address, before=before, limit=PAGE)
            above = [one for one in page if one.slot > stop.above_slot]
            known_by_now = [one for one in above if one.slot <= seen]
            await self._keep(provider, stop, known_by_now, f"listing of {provider.name}")
            if not page or len(above) < len(page):
                return
            before = page[-1].signature

    async def _scan(self, stop: Stop) -> Stop | None:
        """The next portion of blocks, from any node that has them."""
        first = Slot(1 + max(stop.above_slot, stop.scanned_to_slot or -1))
        if first > stop.up_to_slot:
            return None
        if stop.up_to_slot - first > self._effort.most_slots:
            _log.error("too_far_to_scan", first=first, last=stop.up_to_slot)
            return None
        for provider in self._asked():
            if not isinstance(provider.rpc, BlockReader):
                continue
            try:
                return await self._scan_blocks(provider, provider.rpc, stop, first)
            except (Unavailable, RpcRefused) as error:
                _log.warning("blocks_unread", provider=provider.name, problem=str(error))
        return None

    async def _scan_blocks(
        self, provider: Provider, node: BlockReader, stop: Stop, first: Slot
    ) -> Stop:
        slots = await node.blocks(first, stop.up_to_slot)
        portion = slots[: self._effort.blocks]
        gate = asyncio.Semaphore(self._effort.at_once)

        async def lines(slot: Slot) -> tuple[BlockLine, ...]:
            async with gate:
                return await node.block_lines(slot)

        read = await asyncio.gather(*map(lines, portion))
        found = [
            SignatureInfo(signature=line.signature, slot=slot, failed=line.failed, block_time=None)
            for slot, block in zip(portion, read, strict=True)
            for line in block
            if stop.address in line.addresses
        ]
        await self._keep(provider, stop, found, f"blocks of {provider.name}")
        done = stop.up_to_slot if len(portion) == len(slots) else portion[-1]
        async with transaction(self._pool) as tx:
            await checkpoint.scanned(tx, stop, done)
        return replace(stop, scanned_to_slot=done)

    async def _keep(
        self, provider: Provider, stop: Stop, shown: Sequence[SignatureInfo], found_in: str
    ) -> None:
        """Keep what nobody has listed yet, if it can be believed; what is no signature is not."""
        real = [one for one in shown if is_signature(one.signature)]
        if len(real) < len(shown):
            _log.warning("no_signatures", lines=len(shown) - len(real), said_by=provider.name)
        by_name = {signature_bytes(one.signature): one for one in real}
        async with reading(self._pool) as conn:
            unknown = await _unknown(conn, stop.cluster, stop.address, list(by_name))
        for name in unknown:
            info = by_name[name]
            addresses = self._ours(await mentioned(self._node, info.signature))
            if stop.address not in addresses:
                _log.warning("not_there", signature=info.signature, said_by=provider.name)
                continue
            _log.error("hidden_signature", signature=info.signature, found_in=found_in)
            async with transaction(self._pool) as tx:
                for address in addresses:
                    if await _unknown(tx, stop.cluster, address, [name]):
                        listed = [Listed(info=info, place=None)]
                        await store.remember_page(tx, stop.cluster, address, listed)
                        await checkpoint.remember_hidden(
                            tx, stop, address, name, slot=info.slot, found_in=found_in
                        )

    def _ours(self, addresses: Iterable[str]) -> list[str]:
        return sorted(set(addresses) & self._watched.keys())


async def _unknown(
    conn: ReadConn, cluster: str, address: str, signatures: list[bytes]
) -> list[bytes]:
    """Those that no listing of the address has shown."""
    rows = await conn.fetch(_SQL["unknown"], cluster, address, signatures)
    return [row["signature"] for row in rows]


async def mentioned(node: Answering, signature: str) -> frozenset[str]:
    """Every account that a finalized transaction names; empty where nobody can be believed."""
    try:
        told = await node.believed(signature)
        if told is None:
            return frozenset()
        read = raw.read(told.answer)
    except (Unreadable, Unavailable, RpcRefused):
        return frozenset()
    loaded = None if read.meta is None else read.meta.loaded_addresses
    keys = read.transaction.message.account_keys
    return frozenset(keys if loaded is None else [*keys, *loaded.writable, *loaded.readonly])
