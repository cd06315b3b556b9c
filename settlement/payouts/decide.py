"""What a person decides of a payout: let it go on, refuse it, or give its number up.

Four eyes: what awaits approval goes on when one person has approved it, or two when it needs two;
the database counts the names and takes none twice. Refusing gives the money back at once, and is
possible until there is a number. Giving a numbered payout up burns its number on chain: if the
payment lands first it stays paid; if the burn does, the money is back. The chain chooses one.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg
import structlog

from settlement.db.pool import Pool, Tx, transaction
from settlement.db.sql import load
from settlement.errors import Conflict, NotFound, Refused
from settlement.finance import as_finance
from settlement.ledger import store as ledger
from settlement.ledger.operations import Operation, Void, Writer
from settlement.payouts import store
from settlement.payouts.states import (
    ON_THE_ROAD,
    WITH_NUMBER,
    PayoutEvent,
    WrongPayoutState,
    after,
)

_SQL = load("settlement.payouts", "decide.sql")
_ROAD = load("settlement.payouts", "payouts.sql")
_LONGEST_NAME: Final = 100
_LONGEST_REASON: Final = 500
_log = structlog.stdlib.get_logger()


class UnknownPayout(NotFound):
    """There is no payout of this id."""


class PersonUnnamed(Refused):
    """A decision names who made it, and a refusal says why."""


class ApprovedAlready(Conflict):
    """This person has approved this payout before: another one has to."""


class NumberGiven(Conflict):
    """The payout has its number: it can only be given up by burning the number."""


@dataclass(frozen=True, kw_only=True)
class Approved:
    """How many people have approved it, and whether it goes on now."""

    approvals: int
    needed: int

    @property
    def goes_on(self) -> bool:
        """Whether nobody else has to approve it."""
        return self.approvals >= self.needed


async def approve(tx: Tx, payout_id: UUID, *, by: str, now: datetime) -> Approved:
    """Approve a payout that awaits it; with the last approval it needs, it goes on.

    Raises `UnknownPayout`, `WrongPayoutState`, `PersonUnnamed` or `ApprovedAlready`.
    """
    person = _text(by, field="actor", longest=_LONGEST_NAME)
    intent = await store.locked(tx, payout_id)
    if intent is None:
        raise UnknownPayout(payout_id=str(payout_id))
    after(intent.state, PayoutEvent.APPROVE)
    try:
        await tx.execute(_SQL["add_approval"], payout_id, person, now)
    except asyncpg.UniqueViolationError:
        raise ApprovedAlready(field="actor", got=person) from None
    row = await tx.fetchrow(_SQL["approvals"], payout_id)
    assert row is not None, "the payout is locked"
    found = Approved(approvals=row["approvals"], needed=row["needed"])
    _log.info("payout_approved", payout=str(payout_id), by=person, approvals=found.approvals)
    if found.goes_on:
        done = await tx.fetchval(_SQL["approve"], payout_id, person, now)
        assert done is not None, "the payout is locked"
    return found


async def refuse(tx: Tx, payout_id: UUID, *, by: str, reason: str) -> list[Operation]:
    """Refuse a payout that has no number; the caller applies the operations: the money is back.

    Raises `UnknownPayout`, `PersonUnnamed`, `NumberGiven`, `WrongPayoutState` when it is over, or
    `PastUnknown` while restored books may have forgotten that it was paid.
    """
    person = _text(by, field="actor", longest=_LONGEST_NAME)
    why = _text(reason, field="reason", longest=_LONGEST_REASON)
    intent = await store.locked(tx, payout_id)
    if intent is None:
        raise UnknownPayout(payout_id=str(payout_id))
    if intent.state in WITH_NUMBER:
        raise NumberGiven(payout_id=str(payout_id), state=intent.state.value)
    if await tx.fetchval(_ROAD["refused_before"], payout_id, why, person):
        return []  # the answer to the first time was lost
    after(intent.state, PayoutEvent.CANCEL)
    await store.require_known_past(tx, payout_id)
    done = await tx.fetchval(_ROAD["refuse"], payout_id, why, person)
    assert done is not None, "the payout is locked"
    _log.info("payout_refused", payout=str(payout_id), by=person, reason=why)
    return [Void(hold_id=payout_id, reason=f"refused by {person}: {why}")]


async def refuse_now(pool: Pool, payout_id: UUID, *, by: str, reason: str) -> None:
    """Refuse it and give the money back, in one transaction, as what finance decides.

    Raises what `refuse` raises, and `FinanceBusy` when others decide all the time.
    """

    async def once(writer: Writer) -> None:
        async with transaction(pool) as tx:
            operations = await refuse(tx, payout_id, by=by, reason=reason)
            for outcome in await ledger.apply(tx, writer, operations):
                assert outcome.done, f"a refused payout's hold ended as {outcome.code}"

    await as_finance(pool, once)


async def burn(tx: Tx, payout_id: UUID, *, reason: str) -> None:
    """Give a numbered payout up.

    Raises `UnknownPayout`, or `WrongPayoutState` when it is over or has no number yet (cancel it).
    """
    intent = await store.locked(tx, payout_id)
    if intent is None:
        raise UnknownPayout(payout_id=str(payout_id))
    if intent.state not in ON_THE_ROAD:
        raise WrongPayoutState(state=intent.state.value, event="burn")
    await store.want_skip(tx, intent, reason)


def _text(told: str, *, field: str, longest: int) -> str:
    text = told.strip()
    if not 0 < len(text) <= longest or not text.isprintable():
        raise PersonUnnamed(field=field, got=told[:longest])
    return text
