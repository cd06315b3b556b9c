"""A person lets an account be credited again whose balance was not the sum of its movements.

The difference that was last seen is taken over with it: from then on it counts as known, and the
account must add up with it. Where the difference went away by itself (a row was put back, a node
was mended) nothing has to be lifted: the indexer proves that, and lifts the stop.
"""

from typing import Final

from settlement.db.pool import Tx
from settlement.db.sql import load
from settlement.reconcile import checkpoint

_SQL: Final = load("indexer", "checkpoint.sql")


async def lift(tx: Tx, stop_id: int, *, by: str, reason: str) -> int:
    """Lift a stop and close its incident; gives the microunits that are taken over.

    Raises `StopNotLifted` when it is not open, or when nobody says who and why.
    """
    taken_over = await checkpoint.lift(tx, stop_id, by=by, reason=reason, checkpoint_id=None)
    await tx.execute(_SQL["close_incident"], stop_id)
    return taken_over
