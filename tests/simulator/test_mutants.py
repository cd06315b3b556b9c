"""The simulator is no use if it does not see a road that is broken: here are broken ones.

Each mutant changes one thing that somebody might think harmless. Stories are played until one of
them fails; a mutant that none of them notices fails the test.
"""

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import pytest

from settlement import withdrawals
from settlement.chain.movement import ChainMoment, MovementKey
from settlement.clock import SystemClock
from settlement.db.pool import Pool, reading, transaction
from settlement.errors import Conflict
from settlement.ledger import postings, store
from settlement.ledger.operations import Capture, Operation, Void
from settlement.money import Slot
from settlement.payouts import number, outcome, rounds
from settlement.payouts.road import Road
from settlement.payouts.states import PayoutState
from settlement.payouts.store import intent_of
from tests.simulator import world
from tests.simulator.ground import Ground
from tests.simulator.test_seeds import play_all
from tests.simulator.world import Simulation

_MOST_STORIES, _AT_A_TIME = 60, 6
Patch = pytest.MonkeyPatch
Changed = Callable[..., Awaitable[Any]]


def sends_under_new_numbers(patch: Patch) -> None:
    """What was sent and not heard of is sent again, under another number."""
    send_waiting: Changed = rounds.send_waiting

    async def changed(road: Road) -> int:
        async with transaction(road.pool) as tx:
            await tx.execute(
                "update settlement.payout_attempt set closed_at = now() where closed_at is null"
                " and payout_id in (select payout_id from settlement.payout where state = 'sent')"
            )
            await tx.execute(
                "update settlement.payout set state = 'requested', sequence = null,"
                " destination_account = null where state = 'sent'"
            )
        return await send_waiting(road)

    patch.setattr(rounds, "send_waiting", changed)


def captures_when_sent(patch: Patch) -> None:
    """The books take a payment for done as soon as it was sent."""
    send_waiting: Changed = rounds.send_waiting

    async def changed(road: Road) -> int:
        sent = await send_waiting(road)
        writer = await store.open_writer(road.pool, "settlement")
        async with transaction(road.pool) as tx:
            rows = await tx.fetch(
                "select p.* from settlement.payout p join settlement.hold h"
                " on h.hold_id = p.payout_id where p.state = 'sent' and h.state = 'open'"
            )
            captures = [_captured(intent_of(row)) for row in rows]
            if captures:
                await store.apply(tx, writer, captures)
        return sent

    patch.setattr(rounds, "send_waiting", changed)


def _captured(intent: Any) -> Operation:  # noqa: ANN401 -- an intent
    key = MovementKey(cluster="localnet", signature=uuid4().hex, outer=0)
    moment = ChainMoment(slot=Slot(1), block_time=SystemClock().now())
    post = postings.withdrawal_paid(key, moment, intent.account, intent.amount_microusdc, {})
    return Capture(hold_id=intent.payout_id, post=post)


def numbers_from_a_sequence(patch: Patch) -> None:
    """The counter goes on whether or not the number is given: a stop between leaves a hole."""
    give: Changed = number.number_waiting

    async def changed(pool: Pool, **how: Any) -> int:  # noqa: ANN401 -- passed through
        async with reading(pool) as conn:
            waits = await conn.fetchval("select 1 from settlement.payout where state = 'requested'")
        for step in (1, -1) if waits else ():
            async with transaction(pool) as tx:
                await tx.execute(
                    "update settlement.payout_counter set next_sequence = next_sequence + $1", step
                )
        return await give(pool, **how)

    patch.setattr(rounds, "number_waiting", changed)


def refunds_when_given_up(patch: Patch) -> None:
    """Who gives a payout up has the money back at once."""
    give_up: Changed = Simulation._give_up

    async def changed(self: Simulation, payout_id: UUID) -> None:
        await give_up(self, payout_id)
        writer = await store.open_writer(self.pools.settlement, "settlement")
        async with transaction(self.pools.settlement) as tx:
            asked = await tx.fetchval(
                "select skip_reason from settlement.payout where payout_id = $1", payout_id
            )
            if asked is not None:
                await store.apply(tx, writer, [Void(hold_id=payout_id, reason="given up")])

    patch.setattr(Simulation, "_give_up", changed)


def books_no_payment(patch: Patch) -> None:
    """A payout ends without its entry."""
    paid: Changed = outcome.paid

    async def changed(*fact: Any) -> list[Operation]:  # noqa: ANN401 -- passed through
        await paid(*fact)
        return []

    patch.setattr("indexer.doors.outcome.paid", changed)


def voids_nothing(patch: Patch) -> None:
    """A burned number leaves its hold open."""
    skipped: Changed = outcome.skipped

    async def changed(*fact: Any) -> list[Operation]:  # noqa: ANN401 -- passed through
        await skipped(*fact)
        return []

    patch.setattr("indexer.doors.outcome.skipped", changed)


def asks_again_without_a_key(patch: Patch) -> None:
    """Who hears nothing asks for another withdrawal."""
    submit: Changed = withdrawals.submit

    async def changed(pool: Any, writer: Any, asked: Any, **how: Any) -> Any:  # noqa: ANN401
        return await submit(pool, writer, replace(asked, idempotency_key=None), **how)

    patch.setattr(world.withdrawals, "submit", changed)


def cancels_what_has_a_number(patch: Patch) -> None:
    """Taken back as long as it is not seen on chain."""

    async def changed(self: Simulation, wish: Any, payout_id: UUID) -> None:  # noqa: ANN401
        writer = await self.serving.begin()
        async with reading(self.pools.coordinator) as conn:
            state = await conn.fetchval(
                "select state from settlement.payout where payout_id = $1", payout_id
            )
        if PayoutState(state) in (PayoutState.NUMBERED, PayoutState.SIGNED, PayoutState.SENT):
            with contextlib.suppress(Conflict):
                async with transaction(self.pools.coordinator) as tx:
                    await store.apply(tx, writer, [Void(hold_id=payout_id, reason="taken back")])

    patch.setattr(Simulation, "_cancel", changed)


MUTANTS: Final[dict[str, Callable[[Patch], None]]] = {
    change.__name__: change
    for change in (
        sends_under_new_numbers,
        captures_when_sent,
        numbers_from_a_sequence,
        refunds_when_given_up,
        books_no_payment,
        voids_nothing,
        asks_again_without_a_key,
        cancels_what_has_a_number,
    )
}
# The normal run looks at one, so that this test itself does not rot.
_QUICK = "books_no_payment"


@contextlib.asynccontextmanager
async def broken(name: str) -> AsyncGenerator[None]:
    with pytest.MonkeyPatch.context() as patch:
        MUTANTS[name](patch)
        yield


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name == _QUICK else pytest.mark.nightly) for name in MUTANTS],
)
async def test_a_broken_road_is_seen(ground: Ground, tmp_path: Path, name: str) -> None:
    async with broken(name):
        for first in range(1, _MOST_STORIES, _AT_A_TIME):
            wrong = await play_all(ground, tmp_path, range(first, first + _AT_A_TIME))
            if wrong:
                print(wrong[0])
                return
    raise AssertionError(f"none of {_MOST_STORIES} stories noticed: {name}")
