"""The writer of what people decide about money: no service posts as it.

A process that posts opens its writer once and keeps it. A person's command comes and goes, maybe
beside another one; each begins a new life of the writer `finance`, which ends the other's. So what
is done as finance is done again as a whole when its life was ended, and must be idempotent.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from settlement.db.pool import Pool, retried
from settlement.errors import Unavailable
from settlement.ledger import store
from settlement.ledger.operations import Writer

T = TypeVar("T")

WRITER: Final = "finance"
_TRIES: Final = 8
_PAUSE_SECONDS: Final = 0.05  # at most, after the first time; twice that after the second


class FinanceBusy(Unavailable):
    """Others post for finance all the time; try again later."""


async def as_finance(pool: Pool, step: Callable[[Writer], Coroutine[Any, Any, T]]) -> T:
    """Do an idempotent step with a new life of the writer; again when somebody else began one.

    The pool has the role `pod_settlement`. Raises `FinanceBusy`.
    """
    for attempt in range(_TRIES):
        writer = await store.open_writer(pool, WRITER)
        try:
            return await retried(lambda: step(writer))  # noqa: B023
        except store.WriterFenced:
            # Chance decides who waits for whom: else two would fence each other for ever.
            await asyncio.sleep(random.uniform(0, _PAUSE_SECONDS * 2**attempt))
    raise FinanceBusy(writer=WRITER)
