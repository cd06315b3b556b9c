"""From an event to the one door of `settlement` that knows it, and to what is left without one.

Total over `Event`. Doors only collect operations and write rows beside them, in the caller's
database transaction; the caller applies all operations of a chain transaction at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, assert_never

from solders.pubkey import Pubkey

from indexer.attribution import SECOND_HALF
from indexer.decode import Transaction
from indexer.events import (
    BondFunded,
    BondPosted,
    BondReleased,
    BondRetired,
    Deposit,
    Event,
    Initialized,
    Outflow,
    Paid,
    Quarantined,
    Skipped,
    Unrecognized,
)
from indexer.terms import Terms
from settlement import deposits
from settlement.bonds import lifecycle
from settlement.chain.movement import ChainMoment, MovementKey, Vault
from settlement.db.pool import Tx
from settlement.ledger.operations import Operation
from settlement.money import MicroUsdc
from settlement.payouts import outcome

_NO_TERMS: Final = Terms()


@dataclass(frozen=True, kw_only=True)
class Booking:
    """One chain transaction, ready to be booked."""

    cluster: str
    transaction: Transaction
    events: tuple[Event, ...]
    terms: Mapping[Pubkey, Terms]
    answer: Mapping[str, object]

    @property
    def moment(self) -> ChainMoment:
        """When it happened."""
        return self.transaction.moment


async def operations_of(tx: Tx, booking: Booking, event: Event) -> list[Operation]:
    """The operations of one event, by the door of `settlement` that knows it."""
    moment = booking.moment
    match event:
        case Deposit():
            return await deposits.book_deposit(tx, _vault_deposit(event, moment))
        case Paid() | BondFunded() | Skipped():
            return await _payout_door(tx, booking, event)
        case BondPosted() | BondRetired() | BondReleased():
            return await _bond_door(tx, booking, event)
        case Outflow():
            return await deposits.book_outflow(
                tx, event.key, moment, event.vault, event.amount_microusdc
            )
        case Quarantined():
            return await deposits.book_quarantine(
                tx, event.key, moment, event.vault, event.delta_microusdc
            )
        case Initialized() | Unrecognized():
            return []
        case _:
            assert_never(event)


def _vault_deposit(event: Deposit, moment: ChainMoment) -> deposits.VaultDeposit:
    return deposits.VaultDeposit(
        key=event.key,
        moment=moment,
        vault=event.vault,
        amount_microusdc=event.amount_microusdc,
        code=event.code,
        source=None if event.source is None else str(event.source),
    )


async def _payout_door(
    tx: Tx, booking: Booking, event: Paid | BondFunded | Skipped
) -> list[Operation]:
    match event:
        case Paid():
            return await outcome.paid(
                tx,
                outcome.PaymentSeen(
                    key=event.key,
                    moment=booking.moment,
                    sequence=event.sequence,
                    amount_microusdc=event.amount_microusdc,
                    destination=str(event.destination),
                    reference=event.reference,
                    code=event.code,
                ),
            )
        case BondFunded():
            bond = _posted(event, booking)
            return await outcome.bond_funded(
                tx, outcome.BondFundingSeen(sequence=event.sequence, bond=bond)
            )
        case Skipped():
            seen = outcome.NumbersSkipped(
                key=event.key, moment=booking.moment, sequences=event.sequences
            )
            return await outcome.skipped(tx, seen)
        case _:
            assert_never(event)


async def _bond_door(
    tx: Tx, booking: Booking, event: BondPosted | BondRetired | BondReleased
) -> list[Operation]:
    match event:
        case BondPosted():
            return await lifecycle.posted(tx, _posted(event, booking))
        case BondRetired():
            terms = booking.terms.get(event.address, _NO_TERMS)
            fact = lifecycle.BondRetired(
                key=event.key,
                moment=booking.moment,
                address=str(event.address),
                release_at=terms.released_from(booking.moment),
            )
            return await lifecycle.retired(tx, fact)
        case BondReleased():
            released = lifecycle.BondReleased(
                key=event.key,
                moment=booking.moment,
                address=str(event.address),
                amount_microusdc=event.amount_microusdc,
                destination=str(event.destination),
            )
            return await lifecycle.released(tx, released)
        case _:
            assert_never(event)


def _posted(event: BondPosted | BondFunded, booking: Booking) -> lifecycle.BondPosted:
    terms = booking.terms.get(event.address, _NO_TERMS)
    return lifecycle.BondPosted(
        key=event.key,
        moment=booking.moment,
        address=str(event.address),
        code=event.code,
        beneficiary=str(event.beneficiary),
        amount_microusdc=event.amount_microusdc,
        rent_payer=str(terms.rent_payer or event.funder),
        cooldown_seconds=terms.cooldown_seconds,
    )


async def residue_of(tx: Tx, moment: ChainMoment, event: Event) -> list[Operation]:
    """What is left of an event the books refused: the change of each vault, without a meaning."""
    operations: list[Operation] = []
    for key, vault, change in changes_of(event):
        if change > 0:
            inward = Deposit(
                key=key, vault=vault, amount_microusdc=MicroUsdc(change), code=None, source=None
            )
            operations += await deposits.book_deposit(tx, _vault_deposit(inward, moment))
        else:
            amount = MicroUsdc(-change)
            operations += await deposits.book_outflow(tx, key, moment, vault, amount)
    return operations


def changes_of(event: Event) -> list[tuple[MovementKey, Vault, int]]:
    """By how much an event changed each vault."""
    match event:
        case Deposit():
            return [(event.key, event.vault, event.amount_microusdc)]
        case BondPosted() | BondReleased():
            sign = 1 if isinstance(event, BondPosted) else -1
            return [(event.key, Vault.BOND, sign * event.amount_microusdc)]
        case BondFunded():
            second = replace(event.key, sub=event.key.sub + SECOND_HALF)
            amount = event.amount_microusdc
            return [(event.key, Vault.TILL, -amount), (second, Vault.BOND, amount)]
        case Paid():
            return [(event.key, Vault.TILL, -event.amount_microusdc)]
        case Outflow():
            return [(event.key, event.vault, -event.amount_microusdc)]
        case Quarantined():
            return [(event.key, event.vault, event.delta_microusdc)]
        case BondRetired() | Skipped() | Initialized() | Unrecognized():
            return []
        case _:
            assert_never(event)
