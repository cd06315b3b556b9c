"""Who is to be credited how much: a list that one person draws up and another approves.

A loss is what is claimed of a request and was not given back. There is the bond of the case, what
earlier cases of the same operator left over, and, if the list asks for it, the treasury for the
rest. Without the treasury a pool that is too small is shared pro rata (`shares`). A list is made
from the books as they are; one that they have moved away from is not approved but drawn up again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg

from settlement.cases.opening import checked_text, locked, other_person
from settlement.cases.reading import Case
from settlement.cases.shares import Loss, Share, credit_shares, loss_of
from settlement.cases.states import CaseNotThere, CaseState, moved
from settlement.clock import Clock
from settlement.db import sql
from settlement.db.pool import Pool, ReadConn, Tx, transaction
from settlement.errors import Conflict, NotFound, Refused
from settlement.ledger.operations import AccountName
from settlement.money import MicroUsdc

_QUERIES: Final = sql.load("settlement.cases", "lists.sql")
_MOVE: Final = sql.load("settlement.cases", "opening.sql")


class NothingToCredit(Refused):
    """There is no loss that was not given back, or no money to give: the treasury can pay."""


class ListUnknown(NotFound):
    """The case has no list of this number."""


class ListOutdated(Conflict):
    """The books have moved since the list was drawn up: draw up another one."""


class ApprovedBefore(Conflict):
    """A list of this case was approved before."""


class BackingNotConfirmed(Refused):
    """Who approves a list says how much of it the treasury pays."""


class NotReviewed(Conflict):
    """Nobody but who opened it has looked at this case and agreed."""


@dataclass(frozen=True, kw_only=True)
class Funds:
    """What a list is paid from."""

    seized_microusdc: MicroUsdc
    carried_microusdc: MicroUsdc  # left over by closed cases of the same operator
    backing_microusdc: MicroUsdc  # by the treasury


@dataclass(frozen=True, kw_only=True)
class CreditList:
    """A list as it stands."""

    list_no: int
    drawn_at: datetime
    drawn_by: str
    losses_microusdc: MicroUsdc
    credits_microusdc: MicroUsdc
    funds: Funds
    approved_at: datetime | None
    approved_by: str | None
    backing_transaction: UUID | None
    settled: int
    open: int
    credited_microusdc: MicroUsdc


@dataclass(frozen=True, kw_only=True)
class Credit:
    """One line of a list; `credited_microusdc` is None until it is settled."""

    request_id: UUID
    user: AccountName
    loss_microusdc: MicroUsdc
    amount_microusdc: MicroUsdc
    credited_microusdc: MicroUsdc | None
    transaction_id: UUID | None


@dataclass(frozen=True, kw_only=True)
class _Drawn:
    shares: Sequence[Share]
    losses_microusdc: MicroUsdc
    credits_microusdc: MicroUsdc
    funds: Funds


async def draw(pool: Pool, clock: Clock, case_id: UUID, *, actor: str, backed: bool) -> CreditList:
    """Draw up a list from the books as they are; `backed`: the treasury pays what is missing.

    Raises `NotReviewed`, `CaseNotThere`, `ApprovedBefore`, `NothingToCredit`, `CaseUnknown` or
    `TextMissing`.
    """
    actor = checked_text("actor", actor)
    async with transaction(pool) as tx:
        await _ready(tx, case_id)
        drawn = await _drawn(tx, case_id, backed=backed)
        funds = drawn.funds
        list_no: int = await tx.fetchval(
            _QUERIES["add_list"],
            case_id,
            clock.now(),
            actor,
            drawn.losses_microusdc,
            drawn.credits_microusdc,
            funds.seized_microusdc,
            funds.carried_microusdc,
            funds.backing_microusdc,
        )
        await tx.execute(
            _QUERIES["add_credits"],
            case_id,
            list_no,
            [one.loss.request_id for one in drawn.shares],
            [one.loss.loss_microusdc for one in drawn.shares],
            [one.amount_microusdc for one in drawn.shares],
        )
        return await one_list(tx, case_id, list_no)


async def approve(
    pool: Pool,
    clock: Clock,
    case_id: UUID,
    list_no: int,
    *,
    actor: str,
    backing_microusdc: MicroUsdc,
) -> CreditList:
    """A second person agrees to a list; approved before by the same, it is told again.

    `backing_microusdc` is what that person says the treasury pays. From here on the credits can be
    settled. Raises `ListUnknown`, `ListOutdated`, `SamePerson`, `BackingNotConfirmed`, and what
    `draw` does.
    """
    actor = checked_text("actor", actor)
    async with transaction(pool) as tx:
        await locked(tx, case_id)
        wanted = await one_list(tx, case_id, list_no)
        if wanted.approved_by is not None and wanted.approved_by == actor:
            return wanted
        found = await _ready(tx, case_id)
        other_person(actor, wanted.drawn_by)
        backing = wanted.funds.backing_microusdc
        if backing_microusdc != backing:
            raise BackingNotConfirmed(field="backing", required_microusdc=backing)
        now = await _drawn(tx, case_id, backed=backing > 0)
        if not await _as_drawn(tx, case_id, wanted, now):
            raise ListOutdated(field="list", got=list_no)
        await tx.execute(_QUERIES["approve_list"], case_id, list_no, clock.now(), actor)
        state = moved(found.state, CaseState.CREDITING)
        await tx.execute(_MOVE["move_case"], case_id, state.value)
        return await one_list(tx, case_id, list_no)


async def lists(conn: ReadConn, case_id: UUID) -> list[CreditList]:
    """The lists of a case, in the order they were drawn up."""
    return [_list(row) for row in await conn.fetch(_QUERIES["lists"], case_id)]


async def one_list(conn: ReadConn, case_id: UUID, list_no: int) -> CreditList:
    """A list by its number. Raises `ListUnknown`."""
    for one in await lists(conn, case_id):
        if one.list_no == list_no:
            return one
    raise ListUnknown(field="list", got=list_no)


async def credits_of(conn: ReadConn, case_id: UUID, list_no: int) -> list[Credit]:
    """The lines of a list, by request."""
    rows = await conn.fetch(_QUERIES["credits"], case_id, list_no)
    return [
        Credit(
            request_id=row["request_id"],
            user=AccountName(row["user"]),
            loss_microusdc=MicroUsdc(row["loss"]),
            amount_microusdc=MicroUsdc(row["amount"]),
            credited_microusdc=row["credited"],
            transaction_id=row["txn_id"],
        )
        for row in rows
    ]


async def _ready(tx: Tx, case_id: UUID) -> Case:
    """The case, locked, if a list can be drawn up or approved."""
    found = await locked(tx, case_id)
    if found.state is CaseState.CREDITING:
        raise ApprovedBefore(field="case", got=str(case_id))
    if found.state is CaseState.EXECUTED and not found.review_accepts:
        raise NotReviewed(field="case", got=str(case_id))
    seizable = (await _pool(tx, case_id))["seizable"]
    no_bond_left = found.state is CaseState.REVIEWED and not seizable
    if found.state is not CaseState.EXECUTED and not no_bond_left:
        raise CaseNotThere(field="case", state=found.state.value)
    return found


async def _drawn(tx: Tx, case_id: UUID, *, backed: bool) -> _Drawn:
    rows = await tx.fetch(_QUERIES["losses"], case_id)
    losses = [
        Loss(request_id=row["request_id"], user=AccountName(row["user"]), loss_microusdc=lost)
        for row in rows
        if (lost := loss_of(row["paid"], row["claimed"], row["refunded"])) > 0
    ]
    total = sum(loss.loss_microusdc for loss in losses)
    there = await _pool(tx, case_id)
    seized = there["seized"]
    carried = min(there["carriable"], max(total - seized, 0))
    backing = max(total - seized - carried, 0) if backed else 0
    credits_total = min(total, seized + carried + backing)
    if credits_total == 0:
        raise NothingToCredit(field="case", losses_microusdc=total)
    shares = credit_shares(MicroUsdc(credits_total), losses)
    return _Drawn(
        shares=shares,
        losses_microusdc=MicroUsdc(total),
        credits_microusdc=MicroUsdc(credits_total),
        funds=Funds(
            seized_microusdc=MicroUsdc(seized),
            carried_microusdc=MicroUsdc(carried),
            backing_microusdc=MicroUsdc(backing),
        ),
    )


async def _pool(tx: Tx, case_id: UUID) -> asyncpg.Record:
    row = await tx.fetchrow(_QUERIES["pool"], case_id)
    assert row is not None, "a case has its pool"
    return row


async def _as_drawn(tx: Tx, case_id: UUID, wanted: CreditList, now: _Drawn) -> bool:
    """Whether a list says what one drawn up now would say."""
    kept = [
        (one.request_id, one.user, one.loss_microusdc, one.amount_microusdc)
        for one in await credits_of(tx, case_id, wanted.list_no)
    ]
    fresh = [
        (one.loss.request_id, one.loss.user, one.loss.loss_microusdc, one.amount_microusdc)
        for one in now.shares
    ]
    return kept == fresh and wanted.funds == now.funds


def _list(row: asyncpg.Record) -> CreditList:
    return CreditList(
        list_no=row["list_no"],
        drawn_at=row["drawn_at"],
        drawn_by=row["drawn_by"],
        losses_microusdc=MicroUsdc(row["losses"]),
        credits_microusdc=MicroUsdc(row["credits"]),
        funds=Funds(
            seized_microusdc=MicroUsdc(row["seized"]),
            carried_microusdc=MicroUsdc(row["carried"]),
            backing_microusdc=MicroUsdc(row["backing"]),
        ),
        approved_at=row["approved_at"],
        approved_by=row["approved_by"],
        backing_transaction=row["backing_txn"],
        settled=row["settled"],
        open=row["open"],
        credited_microusdc=MicroUsdc(row["credited"]),
    )
