"""The indexer's door: how payouts end. Only what is seen finalized on chain comes through here.

`paid` and `bond_funded` capture the hold of the intent that has this number, if amount, destination
and reference are the intent's own. If not, the money is gone all the same and must be booked: from
the account that the payment's code names when that can bear it, else as unexplained; and payouts
halt for a person to look (the books were restored from a backup, or the payer's key is abused).
A payment whose reference is that of a payout without a number ends that payout: books that came
back from a backup forgot the number, not the promise.
`skipped` gives the money of burned numbers back.

Each function returns the operations; the caller applies them once, in the same transaction. The
same fact again returns the same operations, which the books answer as replays.
"""

from dataclasses import dataclass, replace
from typing import Final, assert_never

import structlog

from settlement import deposits
from settlement.bonds import lifecycle
from settlement.bonds.lifecycle import BondPosted
from settlement.chain.movement import ChainMoment, MovementKey
from settlement.db.pool import Tx
from settlement.db.sql import load
from settlement.ledger import postings
from settlement.ledger import store as ledger
from settlement.ledger.accounts import UNEXPLAINED_OUT, bond_pending, host, user
from settlement.ledger.operations import AccountName, Capture, Operation, Void
from settlement.money import MicroUsdc
from settlement.payouts import store
from settlement.payouts.halt import halt, halted
from settlement.payouts.intent import Intent
from settlement.payouts.states import (
    FINAL,
    ON_THE_ROAD,
    PayoutEvent,
    PayoutKind,
    PayoutState,
    after,
)
from settlement.payouts.store import intent_of

__all__ = [
    "BondFundingSeen",
    "NumbersSkipped",
    "PaymentSeen",
    "bond_funded",
    "halt",
    "halted",
    "paid",
    "skipped",
]

_SQL = load("settlement.payouts", "outcome.sql")
UNEXPECTED_PAYMENT: Final = "unexpected_payment"
_log = structlog.stdlib.get_logger()


@dataclass(frozen=True, kw_only=True)
class PaymentSeen:
    """`pay` was carried out; `destination` is the token account that received the money."""

    key: MovementKey
    moment: ChainMoment
    sequence: int
    amount_microusdc: MicroUsdc
    destination: str
    reference: bytes
    code: bytes


@dataclass(frozen=True, kw_only=True)
class BondFundingSeen:
    """`fund_bond` was carried out: the bond it opened, under which number."""

    sequence: int
    bond: BondPosted


@dataclass(frozen=True, kw_only=True)
class NumbersSkipped:
    """`skip` was carried out: these numbers are burned, none of them was paid."""

    key: MovementKey
    moment: ChainMoment
    sequences: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class _Found:
    """The payout of a number, locked, and what ended it if it is over."""

    intent: Intent
    destination_account: str
    ended_by: str | None


async def paid(tx: Tx, fact: PaymentSeen) -> list[Operation]:
    """A numbered payment out of the till."""
    found = await _by_number(tx, fact.sequence)
    meta: dict[str, str | int] = {"number": fact.sequence, "destination": fact.destination}
    if found is not None and _is_this_payment(found, fact):
        intent = found.intent
        await _finish(tx, found, PayoutEvent.PAID, fact.key, fact.moment)
        post = postings.withdrawal_paid(
            fact.key,
            fact.moment,
            intent.account,
            fact.amount_microusdc,
            meta | {"payout": str(intent.payout_id)},
        )
        return [Capture(hold_id=intent.payout_id, post=post)]
    if (forgotten := await _forgotten(tx, found, fact)) is not None:
        payout_id = forgotten.payout_id
        post = postings.withdrawal_paid(
            fact.key,
            fact.moment,
            forgotten.account,
            fact.amount_microusdc,
            meta | {"payout": str(payout_id)},
        )
        if forgotten.state is PayoutState.PAID:
            return [Capture(hold_id=payout_id, post=post)]
        return [Void(hold_id=payout_id, reason=_before_restore(fact)), post]
    owner = await deposits.owner_of_code(tx, fact.code)
    named = _named_by(owner)
    bearer = await _bearer(tx, fact.key, named, fact.amount_microusdc)
    same_intent = found is not None and found.intent.reference == fact.reference
    await _unexpected(tx, found, fact.sequence, fact.key, keeps_number=same_intent)
    return [postings.withdrawal_paid(fact.key, fact.moment, bearer, fact.amount_microusdc, meta)]


def _named_by(owner: deposits.UserCode | deposits.BondCode | None) -> AccountName | None:
    """Whose money a payment's code says it is."""
    match owner:
        case deposits.BondCode():
            return host(owner.provider_id)
        case deposits.UserCode():
            return user(owner.user_id)
        case None:
            return None
        case _:
            assert_never(owner)


async def _forgotten(tx: Tx, found: _Found | None, fact: PaymentSeen) -> Intent | None:
    """The payout that this payment names, if the books had no number for it; it is over now.

    One that nobody had approved in these books cannot be approved any more. One that has another
    number by now must not be paid under that too: it is to be burned.
    """
    row = await tx.fetchrow(_SQL["by_reference"], fact.reference)
    if row is None:
        return None
    intent = intent_of(row)
    if found is not None and (found.intent == intent or found.intent.state in FINAL):
        return None
    promised = (intent.kind, intent.amount_microusdc, intent.code)
    if promised != (PayoutKind.PAY, fact.amount_microusdc, fact.code):
        return None
    if intent.state in ON_THE_ROAD:
        await store.want_skip(tx, intent, f"paid under number {fact.sequence}")
    if intent.state is PayoutState.CANCELLED and await _is_gone(tx, fact):
        return intent  # seen before: the same operations are replays in the books
    if intent.state not in (PayoutState.REQUESTED, PayoutState.AWAITING_APPROVAL):
        return None
    if found is not None:
        await _unexpected(tx, found, fact.sequence, fact.key, keeps_number=False)
    _log.warning("payout_remembered", payout=str(intent.payout_id), number=fact.sequence)
    return await _remember(tx, intent, fact)


async def _remember(tx: Tx, intent: Intent, fact: PaymentSeen) -> Intent:
    if intent.state is PayoutState.AWAITING_APPROVAL:
        state = after(intent.state, PayoutEvent.CANCEL)
        done = await tx.fetchval(
            _SQL["never_again"], intent.payout_id, intent.state, state, _before_restore(fact)
        )
        await tx.execute(_SQL["number_gone"], fact.sequence, "paid", fact.key.reference)
    else:
        state = after(intent.state, PayoutEvent.PAID)
        done = await tx.fetchval(
            _SQL["remember"],
            intent.payout_id,
            intent.state,
            state,
            fact.sequence,
            fact.destination,
            fact.key.reference,
            fact.moment.slot,
        )
    assert done is not None, "the payout is locked"
    return replace(intent, state=state)


def _before_restore(fact: PaymentSeen) -> str:
    return f"paid under number {fact.sequence} before the books were restored"


async def _is_gone(tx: Tx, fact: PaymentSeen) -> bool:
    return bool(await tx.fetchval(_SQL["is_gone"], fact.sequence, fact.key.reference))


async def bond_funded(tx: Tx, fact: BondFundingSeen) -> list[Operation]:
    """A bond paid from the till under a payout number."""
    bond = fact.bond
    found = await _by_number(tx, fact.sequence)
    account = await lifecycle.record_funded(tx, bond)
    meta: dict[str, str | int] = {"number": fact.sequence, "bond": bond.address}
    if found is not None and _is_this_bond(found, bond):
        intent = found.intent
        await _finish(tx, found, PayoutEvent.PAID, bond.key, bond.moment)
        post = postings.bond_funded(
            bond.key,
            bond.moment,
            intent.account,
            account,
            bond.amount_microusdc,
            meta | {"payout": str(intent.payout_id)},
        )
        return [Capture(hold_id=intent.payout_id, post=post)]
    owner = await deposits.owner_of_code(tx, bond.code)
    named = bond_pending(owner.provider_id) if isinstance(owner, deposits.BondCode) else None
    bearer = await _bearer(tx, bond.key, named, bond.amount_microusdc)
    await _unexpected(tx, found, fact.sequence, bond.key, keeps_number=False)
    return [
        postings.bond_funded(bond.key, bond.moment, bearer, account, bond.amount_microusdc, meta)
    ]


async def skipped(tx: Tx, fact: NumbersSkipped) -> list[Operation]:
    """Numbers were burned: what was held for them goes back."""
    voids: list[Operation] = []
    for sequence in sorted(fact.sequences):
        found = await _by_number(tx, sequence)
        if found is None:
            await tx.execute(_SQL["number_gone"], sequence, "skipped", fact.key.reference)
            continue
        if found.intent.state is PayoutState.PAID:
            # The chain refuses this; if it is shown to us, what we know of the chain is wrong.
            await halt(tx, "number_used_twice", f"#{sequence} by {fact.key.reference}")
            continue
        # A mask may name numbers that were burned before: those are replays too.
        await _finish(tx, found, PayoutEvent.SKIPPED, fact.key, fact.moment)
        voids.append(Void(hold_id=found.intent.payout_id, reason=f"number {sequence} skipped"))
    return voids


async def _by_number(tx: Tx, sequence: int) -> _Found | None:
    # The counter's lock first: no number is given out while we look whose this one is.
    await tx.fetchval(_SQL["hold_counter"])
    row = await tx.fetchrow(_SQL["by_sequence"], sequence)
    if row is None:
        return None
    return _Found(
        intent=intent_of(row),
        destination_account=row["destination_account"],
        ended_by=row["outcome_reference"],
    )


def _is_this_payment(found: _Found, fact: PaymentSeen) -> bool:
    intent = found.intent
    promised = (intent.amount_microusdc, found.destination_account, intent.reference, intent.code)
    seen = (fact.amount_microusdc, fact.destination, fact.reference, fact.code)
    return intent.kind is PayoutKind.PAY and promised == seen and _open_or(found, fact.key)


def _is_this_bond(found: _Found, bond: BondPosted) -> bool:
    intent = found.intent
    promised = (intent.amount_microusdc, found.destination_account, intent.code)
    seen = (bond.amount_microusdc, bond.address, bond.code)
    return intent.kind is PayoutKind.FUND_BOND and promised == seen and _open_or(found, bond.key)


def _open_or(found: _Found, key: MovementKey) -> bool:
    """Whether it can still end by this movement, or did."""
    return found.intent.state not in FINAL or (
        found.intent.state is PayoutState.PAID and found.ended_by == key.reference
    )


async def _finish(
    tx: Tx, found: _Found, event: PayoutEvent, key: MovementKey, moment: ChainMoment
) -> None:
    intent = found.intent
    if found.ended_by is not None:
        return  # seen before: the same operations are replays in the books
    state = after(intent.state, event)
    await tx.execute(_SQL["close_attempts"], intent.payout_id)
    done = await tx.fetchval(
        _SQL["finish"], intent.payout_id, intent.state, state, key.reference, moment.slot
    )
    assert done is not None, "the payout is locked"
    _log.info(
        "payout_ended",
        payout=str(intent.payout_id),
        number=intent.sequence,
        outcome=state.value,
        signature=key.signature,
    )


async def _bearer(
    tx: Tx, key: MovementKey, named: AccountName | None, amount: MicroUsdc
) -> AccountName:
    """The account a payment's code names when it can bear it; finalized money is always bookable.

    Should it lose the money before the books lock it, they answer `insufficient`, the caller's
    transaction is run again, and this finds the other account.
    """
    before = await tx.fetchval(_SQL["borne_by"], key.reference)
    if before is not None or named is None:
        return AccountName(before) if before is not None else UNEXPLAINED_OUT
    try:
        available = (await ledger.balance(tx, named)).available_microusdc
    except ledger.AccountMissing:
        return UNEXPLAINED_OUT
    return named if available >= amount else UNEXPLAINED_OUT


async def _unexpected(
    tx: Tx, found: _Found | None, sequence: int, key: MovementKey, *, keeps_number: bool
) -> None:
    """Halt. An intent whose number went to somebody else's payment may have another one.

    With the intent's own reference it keeps the number: part of the promise was paid, wrongly, and
    a person has to see how much is still owed.
    """
    if found is None:
        await tx.execute(_SQL["number_gone"], sequence, "paid", key.reference)
    elif found.intent.state not in FINAL and not keeps_number:
        state = after(found.intent.state, PayoutEvent.NUMBER_LOST)
        assert state is PayoutState.REQUESTED, "the query and the table of states agree"
        await tx.execute(_SQL["close_attempts"], found.intent.payout_id)
        await tx.fetchval(_SQL["lose_number"], found.intent.payout_id, found.intent.state)
        await tx.execute(_SQL["number_gone"], sequence, "paid", key.reference)
    await halt(tx, UNEXPECTED_PAYMENT, f"#{sequence} by {key.reference}")
