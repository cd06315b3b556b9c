"""Who is leaving by its own word, and who has come back.

`POST /v1/host/retire` stops new requests at once, before anything is signed on chain. It holds
until the operator says that it stays, pairs again, or stops its retirement on chain: who signs that
wants to work. What came later counts, both told by the database's clock.
"""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from coordinator import store
from settlement.bonds import lifecycle
from settlement.db.pool import ReadConn, Tx


async def in_force(
    conn: ReadConn, retiring: Iterable[tuple[UUID, datetime | None]]
) -> dict[UUID, datetime]:
    """Since when those are leaving that still are; given when each said so, if it did."""
    said = {provider_id: at for provider_id, at in retiring if at is not None}
    if not said:
        return {}
    cancelled = await lifecycle.retirements_cancelled(conn, said)
    return {
        provider_id: at
        for provider_id, at in said.items()
        if provider_id not in cancelled or cancelled[provider_id] < at
    }


async def leave(tx: Tx, provider_id: UUID) -> datetime:
    """Route nothing new to the operator; since when that is so. Saying it again changes nothing."""
    said = await store.lock_retiring(tx, provider_id)
    since = await in_force(tx, [(provider_id, said)])
    return since.get(provider_id) or await store.set_retiring(tx, provider_id)
