"""What is held of a vault: read and decoded without being booked, to see what it would change."""

import asyncio
from collections.abc import Sequence

import structlog

from indexer import store
from indexer.backlog import Answering
from indexer.decode import Watch
from indexer.raw import Unreadable
from indexer.store import OpenSignature
from settlement.chain.movement import Vault
from settlement.chain.rpc import RpcRefused
from settlement.db.pool import Pool, reading
from settlement.errors import Unavailable
from settlement.money import Slot

_PAGE = 500
_log = structlog.stdlib.get_logger()


class Held:
    """The held transactions of one vault, each read once."""

    def __init__(
        self, *, node: Answering, pool: Pool, watch: Watch, vault: Vault, at_once: int
    ) -> None:
        self._node = node
        self._pool = pool
        self._watch = watch
        self._vault = vault
        self._at_once = at_once
        self._changes: dict[str, tuple[Slot, int]] = {}

    async def changes(self, to: Slot) -> list[tuple[Slot, int]] | None:
        """By how much each would change the vault, and at which slot; None: not all can be read."""
        held = await self._signatures(to)
        await self._read([name for name in held if name not in self._changes])
        known = {name: self._changes[name] for name in held if name in self._changes}
        self._changes = known
        return list(known.values()) if len(known) == len(held) else None

    async def _signatures(self, to: Slot) -> list[str]:
        address = str(self._watch.address(self._vault))
        found: list[str] = []
        last: OpenSignature | None = None
        while True:
            async with reading(self._pool) as conn:
                page = await store.open_signatures(
                    conn, self._watch.cluster, to=to, limit=_PAGE, after=last
                )
            found += [one.signature for one in page if address in one.addresses]
            if len(page) < _PAGE:
                return found
            last = page[-1]

    async def _read(self, wanted: Sequence[str]) -> None:
        gate = asyncio.Semaphore(self._at_once)

        async def read(signature: str) -> None:
            async with gate:
                try:
                    told = await self._node.believed(signature)
                except (Unreadable, Unavailable, RpcRefused) as error:
                    _log.warning("held_unread", signature=signature, problem=str(error))
                    return
            if told is not None:
                change = sum(move.change(self._vault) for move in told.read.movements)
                self._changes[signature] = (told.read.moment.slot, change)

        await asyncio.gather(*map(read, wanted))
