"""Gives payouts their numbers: without gaps, under one lock, never one the chain has used.

The first number comes from the chain's own Payouts account. Afterwards the counter decides; numbers
that the indexer saw used up by somebody else (an admin's skip, a payment from before the books were
restored) are passed over.
"""

from datetime import datetime
from typing import Final
from uuid import UUID

import structlog

from settlement.chain.program import Deployment
from settlement.db.pool import Pool, Tx, transaction
from settlement.db.sql import load
from settlement.errors import Conflict
from settlement.payouts.intent import destination_account
from settlement.payouts.states import PayoutEvent, PayoutState, after
from settlement.payouts.store import intent_of
from settlement.payouts.survey import Till

_SQL = load("settlement.payouts", "payouts.sql")
_AT_ONCE: Final = 256
_log = structlog.stdlib.get_logger()


class AnotherDeployment(Conflict):
    """These books number the payouts of another program."""


async def number_waiting(pool: Pool, *, till: Till, deployment: Deployment, now: datetime) -> int:
    """Number what may go by now; says how many. Stops where the program's window ends."""
    async with transaction(pool) as tx:
        following = max(await next_number(tx, till, deployment), till.payouts.base)
        gone = {row["sequence"] for row in await tx.fetch(_SQL["numbers_gone"], following)}
        numbered: dict[UUID, tuple[int, str]] = {}
        for row in await tx.fetch(_SQL["requested"], _AT_ONCE, now):
            while following in gone or till.payouts.is_used(following):
                following += 1
            if not till.payouts.in_window(following):
                _log.error("payout_numbers_exhausted", number=following, base=till.payouts.base)
                break
            intent = intent_of(row)
            assert after(intent.state, PayoutEvent.NUMBER) is PayoutState.NUMBERED
            numbered[intent.payout_id] = following, str(destination_account(intent, deployment))
            _log.info("payout_numbered", payout=str(intent.payout_id), number=following)
            following += 1
        numbers, accounts = zip(*numbered.values(), strict=True) if numbered else ((), ())
        given = await tx.fetch(_SQL["give_numbers"], list(numbered), numbers, accounts)
        assert len(given) == len(numbered), "the query and the table of states agree"
        await tx.execute(_SQL["set_counter"], following)
    return len(given)


async def next_number(tx: Tx, till: Till, deployment: Deployment) -> int:
    """The next number to give out, locked. Raises `AnotherDeployment`."""
    program_id = str(deployment.program_id)
    await tx.execute(_SQL["start_counter"], program_id, till.payouts.base)
    counter = await tx.fetchrow(_SQL["lock_counter"])
    assert counter is not None, "the counter was started"
    if counter["program_id"] != program_id:
        raise AnotherDeployment(books=counter["program_id"], asked=program_id)
    return int(counter["next_sequence"])
