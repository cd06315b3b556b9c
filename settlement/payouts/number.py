"""Gives payouts their numbers: without gaps, under one lock, never one the chain has used.

The first number comes from the chain's own Payouts account. Afterwards the counter decides; numbers
that the indexer saw used up by somebody else (an admin's skip, a payment from before the books were
restored) are passed over.
"""

from typing import Final

import structlog

from settlement.chain.program import Deployment
from settlement.db.pool import Pool, Tx, transaction
from settlement.db.sql import load
from settlement.errors import Conflict
from settlement.payouts.intent import destination_account
from settlement.payouts.states import PayoutEvent, after
from settlement.payouts.store import intent_of
from settlement.payouts.survey import Till

_SQL = load("settlement.payouts", "payouts.sql")
_BATCH: Final = 50
_log = structlog.stdlib.get_logger()


class AnotherDeployment(Conflict):
    """These books number the payouts of another program."""


async def number_waiting(pool: Pool, *, till: Till, deployment: Deployment) -> int:
    """Number what was requested; says how many. Stops where the program's window ends."""
    async with transaction(pool) as tx:
        following = max(await _next_number(tx, till, deployment), till.payouts.base)
        gone = {row["sequence"] for row in await tx.fetch(_SQL["numbers_gone"], following)}
        given = 0
        for row in await tx.fetch(_SQL["requested"], _BATCH):
            while following in gone or till.payouts.is_used(following):
                following += 1
            if not till.payouts.in_window(following):
                _log.error("payout_numbers_exhausted", number=following, base=till.payouts.base)
                break
            intent = intent_of(row)
            state = after(intent.state, PayoutEvent.NUMBER)
            account = str(destination_account(intent, deployment))
            moved = await tx.fetchval(_SQL["give_number"], intent.payout_id, following, account)
            assert moved == state, "the query and the table of states agree"
            _log.info("payout_numbered", payout=str(intent.payout_id), number=following)
            following += 1
            given += 1
        await tx.execute(_SQL["set_counter"], following)
    return given


async def _next_number(tx: Tx, till: Till, deployment: Deployment) -> int:
    program_id = str(deployment.program_id)
    await tx.execute(_SQL["start_counter"], program_id, till.payouts.base)
    counter = await tx.fetchrow(_SQL["lock_counter"])
    assert counter is not None, "the counter was started"
    if counter["program_id"] != program_id:
        raise AnotherDeployment(books=counter["program_id"], asked=program_id)
    return int(counter["next_sequence"])
