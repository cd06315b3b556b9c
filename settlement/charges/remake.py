"""Makes one lease of several, in one transaction: nobody else can take the money in between.

This is how money that lies in parts too small for a request comes together, and how a lease is made
smaller while requests run on it: the books themselves only know to place a hold and to end it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from settlement.charges.refusals import refused
from settlement.db import sql
from settlement.db.pool import Pool, retried, transaction
from settlement.ledger import store
from settlement.ledger.operations import AccountName, Code, Hold, HoldPurpose, Void, Writer
from settlement.money import MicroUsdc

_QUERIES: Final = sql.load("settlement.charges", "charges.sql")
# One reason for all: whoever gives back second is told the same.
GIVEN_BACK: Final = "given back"


class Short(Exception):
    """Not a failure: what is there, all leases counted, is too little. Nothing was changed."""

    def __init__(self, unspent_microusdc: int) -> None:
        super().__init__(unspent_microusdc)
        self.unspent_microusdc = unspent_microusdc


@dataclass(frozen=True, kw_only=True)
class Remade:
    """The amount of the new lease, 0 for none, and what is available beside it."""

    amount_microusdc: int
    available_microusdc: int


@dataclass(frozen=True, kw_only=True)
class Remake:
    """Which leases end, and what takes their place."""

    account: AccountName
    old: Sequence[UUID]  # at least one; those already ended or never placed do no harm
    lease_id: UUID
    expires_at: datetime
    # From what is available once the old ones have ended to how large the new one is. May raise
    # `Short`: then nothing happens.
    amount_of: Callable[[int], int]


async def remake(pool: Pool, writer: Writer, plan: Remake) -> Remade:
    """Do it, or find that it was done. Raises `Short`, `AccountClosed`, `WriterFenced`.

    After `DatabaseUnavailable` nobody knows: ask again with the same plan.
    """
    assert plan.old, "something is made anew"

    async def step() -> Remade:
        async with transaction(pool) as tx:
            voids = [Void(hold_id=hold_id, reason=GIVEN_BACK) for hold_id in plan.old]
            for outcome in await store.apply(tx, writer, voids):
                assert outcome.done or outcome.code is Code.HOLD_UNKNOWN, "nobody else ends them"
            # The writer's lock is ours by now: what an earlier try committed can be seen.
            done_before = await tx.fetchval(_QUERIES["lease_amount"], plan.lease_id)
            there = (await store.balance(tx, plan.account)).available_microusdc
            if done_before is not None:
                return Remade(amount_microusdc=done_before, available_microusdc=there)
            amount = plan.amount_of(there)
            if amount:
                lease = Hold(
                    hold_id=plan.lease_id,
                    account=plan.account,
                    amount_microusdc=MicroUsdc(amount),
                    purpose=HoldPurpose.LEASE,
                    expires_at=plan.expires_at,
                )
                (outcome,) = await store.apply(tx, writer, [lease])
                if not outcome.done:
                    raise refused(outcome, account=plan.account)
            return Remade(amount_microusdc=amount, available_microusdc=there - amount)

    return await retried(step)
