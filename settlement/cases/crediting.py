"""Settles an approved list: entries out of the refund pool, a page of requests at a time.

First the treasury's part goes into the pool, then the credits come out of it, so that a case never
spends what is another's. Each entry and the row that says so are one transaction: wherever this is
stopped, it goes on from there when it is done again, and what is settled is told, not repeated. The
books bound all refunds of a request by what was paid: where some of it was refunded since the list
was approved, the credit is so much smaller, and the rest stays in the pool.

Posted by the writer `finance` (`settlement.finance`), in the name of who approved the list and at
the moment of the approval, so that the same entry is the same whenever it is made.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from settlement.cases.lists import CreditList, lists
from settlement.cases.opening import locked
from settlement.cases.states import CaseNotThere, CaseState
from settlement.clock import Clock
from settlement.db import sql
from settlement.db.pool import Pool, ReadConn, Tx, reading, transaction
from settlement.errors import Conflict
from settlement.finance import as_finance
from settlement.ledger import postings, store
from settlement.ledger.operations import AccountName, Code, Post, Writer
from settlement.money import MicroUsdc

_QUERIES: Final = sql.load("settlement.cases", "crediting.sql")
PAGE: Final = 50
# The books moved between reading and posting: read again, but not for ever.
_MOST_IDLE_ROUNDS: Final = 5


class CreditRefused(Conflict):
    """The books do not take an entry of this case; nothing of this page was settled."""


@dataclass(frozen=True, kw_only=True)
class Credited:
    """What was settled, and what was so before this was asked for."""

    list: CreditList
    before: bool


@dataclass(frozen=True, kw_only=True)
class _Open:
    request_id: UUID
    user: AccountName
    amount_microusdc: MicroUsdc  # of the list, but no more than may still go back
    bounded: bool


async def credit(pool: Pool, clock: Clock, case_id: UUID) -> Credited:
    """Settle what is open of the case's approved list; all settled before, it is told.

    Raises `CaseNotThere` without an approved list, `CaseUnknown`, `CreditRefused` or `FinanceBusy`.
    """
    async with transaction(pool) as tx:
        found = await locked(tx, case_id)
    async with reading(pool) as conn:
        approved = await _approved(conn, case_id)
    if approved is None:
        raise CaseNotThere(field="case", state=found.state.value, problem="no list is approved")
    if approved.open == 0:
        return Credited(list=approved, before=True)
    if found.state is not CaseState.CREDITING:
        raise CaseNotThere(field="case", state=found.state.value)
    await as_finance(pool, lambda writer: _settle(pool, clock, writer, case_id, approved))
    async with reading(pool) as conn:
        settled = await _approved(conn, case_id)
    assert settled is not None, "it was approved"
    return Credited(list=settled, before=False)


async def _settle(
    pool: Pool, clock: Clock, writer: Writer, case_id: UUID, approved: CreditList
) -> None:
    async with transaction(pool) as tx:
        await _back(tx, writer, case_id)
    idle = 0
    while idle < _MOST_IDLE_ROUNDS:
        async with transaction(pool) as tx:
            await locked(tx, case_id)
            page = await _page(tx, case_id)
            if not page:
                return
            settled = await _settle_page(tx, clock, writer, case_id, approved, page)
        idle = 0 if settled else idle + 1
    raise CreditRefused(field="case", problem="the books move all the time")


async def _back(tx: Tx, writer: Writer, case_id: UUID) -> None:
    """The treasury's part goes into the pool, once."""
    await locked(tx, case_id)
    approved = await _approved(tx, case_id)
    assert approved is not None, "it was approved"
    backing = approved.funds.backing_microusdc
    if backing == 0 or approved.backing_transaction is not None:
        return
    post = postings.refund_pool_backed(_voucher(approved), case_id, backing)
    (outcome,) = await store.apply(tx, writer, [post])
    if not outcome.done:
        raise CreditRefused(field="case", got=str(case_id), problem=outcome.code)
    await tx.execute(_QUERIES["back_list"], case_id, post.transaction_id)


async def _page(tx: Tx, case_id: UUID) -> list[_Open]:
    rows = await tx.fetch(_QUERIES["open_credits"], case_id, PAGE)
    return [
        _Open(
            request_id=row["request_id"],
            user=AccountName(row["user"]),
            amount_microusdc=MicroUsdc(max(0, min(row["amount"], row["left_over"]))),
            bounded=row["bounded"],
        )
        for row in rows
    ]


async def _settle_page(
    tx: Tx,
    clock: Clock,
    writer: Writer,
    case_id: UUID,
    approved: CreditList,
    page: Sequence[_Open],
) -> int:
    """Book a page and write down what came of it; how many were settled."""
    asked = [(one, _post(case_id, approved, one)) for one in page if one.amount_microusdc]
    outcomes = await store.apply(tx, writer, [post for _, post in asked])
    settled: list[tuple[UUID, int, UUID | None]] = [
        (one.request_id, 0, None) for one in page if not one.amount_microusdc
    ]
    for (one, post), outcome in zip(asked, outcomes, strict=True):
        if outcome.done:
            settled.append((one.request_id, one.amount_microusdc, post.transaction_id))
        elif outcome.code not in (Code.REFUND_EXCEEDED, Code.REQUEST_UNKNOWN):
            # These two: a refund or an archive came in between, and the next reading sees it.
            raise CreditRefused(field="case", got=str(one.request_id), problem=outcome.code)
    if settled:
        ids, amounts, transactions = zip(*settled, strict=True)
        await tx.execute(
            _QUERIES["settle_credits"],
            case_id,
            clock.now(),
            list(ids),
            list(amounts),
            list(transactions),
        )
    return len(settled)


def _post(case_id: UUID, approved: CreditList, one: _Open) -> Post:
    return postings.refund_pool_paid(
        _voucher(approved),
        case_id,
        one.request_id,
        one.user,
        one.amount_microusdc,
        bounded=one.bounded,
    )


def _voucher(approved: CreditList) -> postings.Voucher:
    assert approved.approved_by is not None, "it was approved"
    assert approved.approved_at is not None, "it was approved"
    return postings.Voucher(
        actor=approved.approved_by,
        event_at=approved.approved_at,
        reason=f"list {approved.list_no}, drawn up by {approved.drawn_by}",
    )


async def _approved(conn: ReadConn, case_id: UUID) -> CreditList | None:
    found = [one for one in await lists(conn, case_id) if one.approved_at is not None]
    return found[0] if found else None
