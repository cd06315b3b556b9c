"""What a killed coordinator left behind: delivered requests are settled, the rest is given back.

Done at start, when older lives of the writer are fenced and none of them can still settle. For each
user in one transaction: all that was set aside is given back, then what was delivered is charged
from it, so nobody can take the money in between. Should it not suffice (the leases were given back
long ago, another process has one), the user pays what they have, the rest is bad debt, and the
operator is paid all the same. The books take a request's id once, so this may be done again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final
from uuid import UUID

import structlog

from settlement.charges.backing import ALIVE_SECONDS
from settlement.db import sql
from settlement.db.pool import Pool, ReadConn, Tx, reading, retried, transaction
from settlement.ledger import accounts, store
from settlement.ledger.operations import AccountName, Charge, Code, Void, Writer
from settlement.ledger.postings import Voucher, late_capture
from settlement.ledger.postings.requests import request_reference
from settlement.money import MicroUsdc

ABANDONED: Final = "abandoned: the coordinator that held it is gone"
LATE: Final = "delivered before a crash, settled after it"
_QUERIES: Final = sql.load("settlement.charges", "charges.sql")
_VOIDS_AT_ONCE: Final = 200
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Delivered:
    """A request that was delivered and, as far as is known, not settled."""

    request_id: UUID
    user_id: UUID
    provider_id: UUID
    gross_microusdc: MicroUsdc
    delivered_at: datetime


@dataclass(frozen=True, kw_only=True)
class Recovered:
    """What came of it."""

    settled: int  # delivered requests that were settled only now
    refused: list[UUID]  # delivered requests that the books do not take
    given_back: int  # leases and holds


async def last_alive(conn: ReadConn, writer: Writer) -> datetime | None:
    """When an earlier life of this writer was alive for certain, last; None when there was none.

    Whatever it had delivered well before that it had settled too.
    """
    until: datetime | None = await conn.fetchval(_QUERIES["last_alive"], writer.name)
    return None if until is None else until - timedelta(seconds=ALIVE_SECONDS)


async def settle_and_give_back(
    pool: Pool, writer: Writer, delivered: Sequence[Delivered]
) -> Recovered:
    """Settle what earlier lives of this writer delivered, give back what they had set aside."""
    async with reading(pool) as conn:
        rows = await conn.fetch(_QUERIES["abandoned"], writer.writer_id, writer.epoch)
    due: dict[AccountName, list[Delivered]] = {}
    for request in delivered:
        due.setdefault(accounts.user(request.user_id), []).append(request)
    found = Recovered(settled=0, refused=[], given_back=len(rows))
    for account, requests in due.items():
        holds = [row["hold_id"] for row in rows if row["account"] == account]
        one = await retried(partial(_settle, pool, writer, holds, requests))
        found = replace(
            found, settled=found.settled + one.settled, refused=found.refused + one.refused
        )
    others = [row["hold_id"] for row in rows if row["account"] not in due]
    for start in range(0, len(others), _VOIDS_AT_ONCE):
        await retried(partial(_void, pool, writer, others[start : start + _VOIDS_AT_ONCE]))
    return found


async def _void(pool: Pool, writer: Writer, holds: Sequence[UUID]) -> None:
    async with transaction(pool) as tx:
        await _give_back(tx, writer, holds)


async def _settle(
    pool: Pool, writer: Writer, holds: Sequence[UUID], due: Sequence[Delivered]
) -> Recovered:
    async with transaction(pool) as tx:
        await _give_back(tx, writer, holds)
        references = [request_reference(request.request_id) for request in due]
        booked = {row["external_ref"] for row in await tx.fetch(_QUERIES["booked"], references)}
        new = [request for request, name in zip(due, references, strict=True) if name not in booked]
        refused = [each.request_id for each in new if not await _charge(tx, writer, each)]
    return Recovered(settled=len(new) - len(refused), refused=refused, given_back=len(holds))


async def _give_back(tx: Tx, writer: Writer, holds: Sequence[UUID]) -> None:
    voids = [Void(hold_id=hold_id, reason=ABANDONED) for hold_id in holds]
    for outcome in await store.apply(tx, writer, voids):
        assert outcome.done or outcome.code is Code.HOLD_CLOSED, "they are this writer's"


async def _charge(tx: Tx, writer: Writer, request: Delivered) -> bool:
    charge = Charge(
        request_id=request.request_id,
        hold_id=None,
        user=accounts.user(request.user_id),
        operator=accounts.host(request.provider_id),
        gross_microusdc=request.gross_microusdc,
    )
    (outcome,) = await store.apply(tx, writer, [charge])
    if outcome.code is Code.INSUFFICIENT:
        there = MicroUsdc(max(0, outcome.available_microusdc or 0))
        voucher = Voucher(actor=writer.name, event_at=request.delivered_at, reason=LATE)
        post = late_capture(voucher, charge, writer.treasury, there)
        (outcome,) = await store.apply(tx, writer, [post])
        _log.warning("late_capture", request=str(request.request_id), borne_by_user=there)
    if not outcome.done:
        _log.error("late_charge_refused", request=str(request.request_id), code=outcome.code.value)
    return outcome.done
