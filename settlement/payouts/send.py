"""The end of the road to the chain: what is signed is sent, again and again, until it is over.

Nothing here decides that money moved: that is the indexer seeing `Paid #n` or `Skipped #n`
finalized. So every step may be repeated, lost, or done by two senders at once: the chain takes a
number once. What is stored comes first: a message before it can be signed, the signed bytes before
they can be sent, "about to send" before the send; and a send only ever repeats the stored bytes.
A message that is over sends its numbers back to be built again.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import asyncpg
import structlog

from settlement.chain.transport import RpcRefused, RpcUnavailable
from settlement.db.pool import reading, transaction
from settlement.db.sql import load
from settlement.payouts import store
from settlement.payouts.refusals import lasts, program_said_no, refusal_text
from settlement.payouts.road import Road
from settlement.payouts.states import PayoutEvent, PayoutState
from settlement.payouts.store import Ended, end_message

_SQL = load("settlement.payouts", "messages.sql")
_AT_ONCE: Final = 256
_IN_FLIGHT: Final = 16  # so many sends wait for an answer at a time
_log = structlog.stdlib.get_logger()


async def send_waiting(road: Road) -> int:
    """Send what is signed, and again what was sent a while ago; says how many went out."""
    async with reading(road.pool) as conn:
        before = road.clock.now() - road.policy.resend_after
        rows = await conn.fetch(_SQL["to_send"], before, _AT_ONCE)
    sent = 0
    for first in range(0, len(rows), _IN_FLIGHT):
        some = rows[first : first + _IN_FLIGHT]
        due = await _about_to_send(road, [row["message_id"] for row in some])
        going = [_send(road, row) for row in some if row["message_id"] in due]
        sent += len(going)
        if not all(await asyncio.gather(*going)):
            break  # nobody answers: the rest can wait for the next round
    return sent


async def _about_to_send(road: Road, message_ids: Sequence[int]) -> set[int]:
    async with transaction(road.pool) as tx:
        payouts = [
            store.intent_of(row) for row in await tx.fetch(_SQL["lock_members"], message_ids)
        ]
        rows = await tx.fetch(_SQL["about_to_send"], message_ids, road.clock.now())
        # Nothing of a message that was closed meanwhile: it is dead, or its end was seen.
        due = {int(row["message_id"]) for row in rows}
        members = await tx.fetch(_SQL["members"], list(due))
        going = {row["payout_id"] for row in members}
        await store.move_all(
            tx,
            (i for i in payouts if i.payout_id in going and i.state is PayoutState.SIGNED),
            PayoutEvent.SEND,
        )
    return due


async def _send(road: Road, row: asyncpg.Record) -> bool:
    """Whether any node answered."""
    message_id, members = row["message_id"], row["members"]
    log = _log.bind(message=message_id, payouts=members, signature=row["signature"])
    try:
        await road.chain.send(bytes(row["wire"]))
        log.info("payouts_sent", times=row["sends"] + 1)
    except RpcRefused as error:
        problem = refusal_text(error)
        log.warning("payouts_send_refused", problem=problem)
        shared = members > 1 and program_said_no(error)
        await _note(road, message_id, problem, rejected=lasts(error), ends=shared)
    except RpcUnavailable as error:
        log.warning("payouts_send_unanswered", problem=str(error))
        await _note(road, message_id, str(error), rejected=False, ends=False)
        return False
    return True


async def _note(road: Road, message_id: int, problem: str, *, rejected: bool, ends: bool) -> None:
    """Keep what the node said. A message that several share ends there: each then goes alone."""
    async with transaction(road.pool) as tx:
        if ends:
            # Payouts are locked before their message.
            await tx.fetch(_SQL["lock_members"], [message_id])
        await tx.execute(_SQL["note_problem"], message_id, problem[:1_000], rejected)
        if ends:
            await end_message(tx, message_id, Ended.REFUSED, now=road.clock.now())


async def expire_dead(road: Road) -> int:
    """Close messages whose blockhash is dead at a finalized height; says how many."""
    height = await road.chain.block_height()
    async with reading(road.pool) as conn:
        rows = await conn.fetch(_SQL["to_expire"], height, _AT_ONCE)
    return sum([await _end(road, row["message_id"], Ended.EXPIRED) for row in rows])


async def break_up(road: Road) -> int:
    """Close messages that cannot happen any more, without waiting for them; says how many."""
    async with reading(road.pool) as conn:
        rows = await conn.fetch(_SQL["to_break"], bytes(road.payer), _AT_ONCE)
    ended = 0
    for row in rows:
        how = Ended.REFUSED if row["refused"] else Ended.BROKEN
        ended += await _end(road, row["message_id"], how)
    return ended


async def _end(road: Road, message_id: int, how: Ended) -> bool:
    async with transaction(road.pool) as tx:
        intents = await end_message(tx, message_id, how, now=road.clock.now())
    if intents:
        _log.info("payouts_message_ended", message=message_id, how=how, payouts=len(intents))
    return bool(intents)
