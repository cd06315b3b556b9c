"""Bond money that no bond needs goes back: what came above the price, too late, or half.

It is a payout like any other, out of the operator's pending account and to the wallet that is
enrolled, whoever paid it in. All that nothing is set aside for goes at once; while one refund is on
its way, asking again names that one. The limits of withdrawals do not bind it: these are no
earnings. If the money is being made a bond at this moment, the ledger lets one of the two have it.
"""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

import structlog

from settlement.clock import Clock, new_id
from settlement.db.pool import Pool, Tx, retried, transaction
from settlement.db.sql import load
from settlement.deposits import enrolled_operator
from settlement.errors import Conflict, Refused
from settlement.ledger import store as ledger
from settlement.ledger.accounts import bond_pending
from settlement.ledger.operations import AccountName, Code, Hold, HoldPurpose, Writer
from settlement.money import MicroUsdc
from settlement.payouts import store
from settlement.payouts.intent import reference_of

_SQL = load("settlement.payouts", "bond_refund.sql")
# Less than this costs more to send than it is; with more bond money it can go later.
SMALLEST: Final = MicroUsdc(1_000_000)
_log = structlog.stdlib.get_logger()


class NothingToRefund(Refused):
    """There is too little bond money that nothing is set aside for."""


class BondMoneyMoved(Conflict):
    """The bond money was set aside for something else at this moment: look at the profile."""


@dataclass(frozen=True, kw_only=True)
class BondRefund:
    """A refund that is on its way, as a withdrawal of this id."""

    payout_id: UUID
    amount_microusdc: MicroUsdc
    destination: str


async def refund_pending(
    pool: Pool, writer: Writer, provider_id: UUID, *, clock: Clock
) -> BondRefund:
    """Send an operator's free bond money to its enrolled wallet: intent and hold, or nothing.

    Raises `NothingToRefund`, `BondMoneyMoved` or `NotEnrolled`.
    """
    payout_id = new_id(clock)

    async def once() -> BondRefund:
        async with transaction(pool) as tx:
            return await _request(tx, writer, provider_id, payout_id=payout_id, clock=clock)

    return await retried(once)


async def _request(
    tx: Tx, writer: Writer, provider_id: UUID, *, payout_id: UUID, clock: Clock
) -> BondRefund:
    account = bond_pending(provider_id)
    await store.one_at_a_time(tx, provider_id)
    before = await tx.fetchrow(_SQL["on_its_way"], provider_id, account)
    if before is not None:
        return BondRefund(
            payout_id=before["payout_id"],
            amount_microusdc=MicroUsdc(before["amount"]),
            destination=before["destination"],
        )
    amount = await _free(tx, account)
    if amount < SMALLEST:
        raise NothingToRefund(available_microusdc=amount, smallest_microusdc=SMALLEST)
    operator = await enrolled_operator(tx, provider_id)
    code, now = operator.code.encode("ascii"), clock.now()
    await tx.execute(
        _SQL["add_refund"],
        payout_id,
        provider_id,
        account,
        amount,
        operator.wallet,
        code,
        reference_of(payout_id),
        now,
    )
    hold = Hold(
        hold_id=payout_id, account=account, amount_microusdc=amount, purpose=HoldPurpose.PAYOUT
    )
    (outcome,) = await ledger.apply(tx, writer, [hold])
    if outcome.code is Code.INSUFFICIENT:
        raise BondMoneyMoved
    assert outcome.done, f"a refund's hold ended as {outcome.code}"
    _log.info("bond_refund_requested", payout=str(payout_id), provider=str(provider_id))
    return BondRefund(payout_id=payout_id, amount_microusdc=amount, destination=operator.wallet)


async def _free(tx: Tx, account: AccountName) -> MicroUsdc:
    try:
        return MicroUsdc(max(0, (await ledger.balance(tx, account)).available_microusdc))
    except ledger.AccountMissing:
        return MicroUsdc(0)
