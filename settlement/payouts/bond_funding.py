"""Turns bond money that came in by code into an escrowed bond: a `fund_bond` intent like any other.

An operator whose pending balance reaches the price of a bond, who has none and none underway, gets
one, for exactly that price; what is left over stays pending. After an attempt that failed for good
(its number was burned) the next one waits, so that nothing burns numbers in a loop.
"""

from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog
from solders.pubkey import Pubkey

from settlement.clock import Clock, new_id
from settlement.db.pool import Pool, reading, transaction
from settlement.db.sql import load
from settlement.ledger import store as ledger
from settlement.ledger.accounts import bond_pending
from settlement.ledger.operations import Code, Hold, HoldPurpose, Writer
from settlement.money import MicroUsdc
from settlement.payouts.intent import reference_of

_SQL = load("settlement.payouts", "payouts.sql")
_BATCH: Final = 50
TRY_AGAIN_AFTER: Final = timedelta(hours=1)
_log = structlog.stdlib.get_logger()


async def anybody_waits(pool: Pool, *, clock: Clock) -> bool:
    """Whether any bond money is pending at all: only then need the chain be asked for the price."""
    async with reading(pool) as conn:
        rows = await conn.fetch(_SQL["bonds_to_fund"], 1, clock.now() - TRY_AGAIN_AFTER, 1)
    return bool(rows)


async def fund_pending(
    pool: Pool, writer: Writer, *, bond_amount_microusdc: MicroUsdc, clock: Clock
) -> int:
    """Make an intent, with its hold, for each operator whose pending money reaches a bond."""
    async with reading(pool) as conn:
        rows = await conn.fetch(
            _SQL["bonds_to_fund"], bond_amount_microusdc, clock.now() - TRY_AGAIN_AFTER, _BATCH
        )
    made = 0
    for row in rows:
        made += await _fund(
            pool,
            writer,
            provider_id=row["provider_id"],
            wallet=Pubkey.from_string(row["wallet"]),
            code=bytes(row["code"]),
            amount=bond_amount_microusdc,
            clock=clock,
        )
    return made


async def _fund(
    pool: Pool,
    writer: Writer,
    *,
    provider_id: UUID,
    wallet: Pubkey,
    code: bytes,
    amount: MicroUsdc,
    clock: Clock,
) -> bool:
    payout_id = new_id(clock)
    account = bond_pending(provider_id)
    hold = Hold(
        hold_id=payout_id, account=account, amount_microusdc=amount, purpose=HoldPurpose.PAYOUT
    )
    try:
        async with transaction(pool) as tx:
            added = await tx.fetchval(
                _SQL["add_bond_funding"],
                payout_id,
                provider_id,
                account,
                amount,
                str(wallet),
                code,
                reference_of(payout_id),
                clock.now(),
            )
            if added is None:
                return False  # another worker was faster
            (outcome,) = await ledger.apply(tx, writer, [hold])
            if outcome.code is Code.INSUFFICIENT:
                raise _MoneyMoved
            assert outcome.done, f"a bond funding's hold ended as {outcome.code}"
    except _MoneyMoved:
        return False
    _log.info("bond_funding_requested", payout=str(payout_id), provider=str(provider_id))
    return True


class _MoneyMoved(Exception):
    """The pending money was spent between looking and holding: undo the intent."""
