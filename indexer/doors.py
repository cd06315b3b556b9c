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
    BondHandedOver,
    BondPosted,
    BondReleased,
    BondRetireCancelled,
    BondRetired,
    BondSeized,
    Deposit,
    Event,
    Governed,
    LamportsMoved,
    LamportsPurpose,
    Outflow,
    Paid,
    Quarantined,
    SeizureStepped,
    Skipped,
    StrayRecovered,
    SurplusSwept,
    Unrecognized,
)
from indexer.terms import Terms
from settlement import deposits, payer_sol
from settlement.bonds import lifecycle, seizure
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
    match event:
        case Deposit() | StrayRecovered() | SurplusSwept() | Outflow() | Quarantined():
            return await _vault_door(tx, booking.moment, event)
        case Paid() | BondFunded() | Skipped():
            return await _payout_door(tx, booking, event)
        case BondPosted() | BondReleased() | BondSeized():
            return await _bond_money_door(tx, booking, event)
        case BondRetired() | BondRetireCancelled() | BondHandedOver() | SeizureStepped():
            return await _bond_state_door(tx, booking, event)
        case LamportsMoved():
            return [await _payer_door(tx, booking.moment, event)]
        case Governed() | Unrecognized():
            return []
        case _:
            assert_never(event)


async def _vault_door(
    tx: Tx,
    moment: ChainMoment,
    event: Deposit | StrayRecovered | SurplusSwept | Outflow | Quarantined,
) -> list[Operation]:
    match event:
        case Deposit():
            return await deposits.book_deposit(tx, _vault_deposit(event, moment))
        case StrayRecovered():
            inward = Deposit(
                key=event.key,
                vault=Vault.TILL,
                amount_microusdc=event.amount_microusdc,
                code=None,
                source=event.stray,
            )
            return await deposits.book_deposit(tx, _vault_deposit(inward, moment))
        case SurplusSwept():
            return await _bond_to_till(tx, moment, event)
        case Outflow():
            return await deposits.book_outflow(
                tx, event.key, moment, event.vault, event.amount_microusdc
            )
        case Quarantined():
            return await deposits.book_quarantine(
                tx, event.key, moment, event.vault, event.delta_microusdc
            )
        case _:
            assert_never(event)


_SPENT: Final = {
    LamportsPurpose.FEE: payer_sol.fee_paid,
    LamportsPurpose.RENT: payer_sol.rent_paid,
    LamportsPurpose.RENT_RETURNED: payer_sol.rent_returned,
    LamportsPurpose.FUNDED: payer_sol.funded,
    LamportsPurpose.DRAWN: payer_sol.drawn,
}


async def _payer_door(tx: Tx, moment: ChainMoment, event: LamportsMoved) -> Operation:
    return await _SPENT[event.purpose](
        tx,
        payer_sol.PayerMoved(
            key=event.key,
            moment=moment,
            payer_address=str(event.payer),
            amount_lamports=event.amount_lamports,
            priority_lamports=event.priority_lamports,
        ),
    )


async def _bond_to_till(
    tx: Tx, moment: ChainMoment, event: SurplusSwept | BondSeized
) -> list[Operation]:
    return await deposits.book_between(
        tx, event.key, moment, Vault.BOND, Vault.TILL, event.amount_microusdc
    )


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


async def _bond_state_door(
    tx: Tx,
    booking: Booking,
    event: BondRetired | BondRetireCancelled | BondHandedOver | SeizureStepped,
) -> list[Operation]:
    moment, address = booking.moment, str(event.address)
    match event:
        case BondRetired():
            terms = booking.terms.get(event.address, _NO_TERMS)
            release_at = terms.released_from(moment)
            fact = lifecycle.BondRetired(
                key=event.key, moment=moment, address=address, release_at=release_at
            )
            return await lifecycle.retired(tx, fact)
        case BondRetireCancelled():
            cancelled = lifecycle.BondRetireCancelled(key=event.key, moment=moment, address=address)
            return await lifecycle.retire_cancelled(tx, cancelled)
        case BondHandedOver():
            handed_over = lifecycle.BondHandedOver(
                key=event.key,
                moment=moment,
                address=address,
                beneficiary=str(event.new_beneficiary),
            )
            return await lifecycle.handed_over(tx, handed_over)
        case SeizureStepped():
            await seizure.stepped(tx, _step(event, booking))
            return []
        case _:
            assert_never(event)


def _step(event: SeizureStepped, booking: Booking) -> seizure.StepSeen:
    terms = booking.terms.get(event.address, _NO_TERMS)
    return seizure.StepSeen(
        key=event.key,
        moment=booking.moment,
        address=str(event.address),
        step=event.step,
        signer=None if event.signer is None else str(event.signer),
        evidence_hash=event.evidence_hash,
        reason=event.reason,
        reply_hash=event.reply_hash,
        times=terms.seizure_times,
    )


async def _bond_money_door(
    tx: Tx, booking: Booking, event: BondPosted | BondReleased | BondSeized
) -> list[Operation]:
    match event:
        case BondPosted():
            return await lifecycle.posted(tx, _posted(event, booking))
        case BondSeized():
            seized = lifecycle.BondSeized(
                key=event.key,
                moment=booking.moment,
                address=str(event.address),
                amount_microusdc=event.amount_microusdc,
            )
            return await lifecycle.seized(tx, seized)
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
    """What is left of an event the books refused: the change of each vault, without a meaning.

    A bond that nobody knew and that was seized went from one of our vaults to the other: whoever is
    owed it was booked when it came, and is owed it still.
    """
    if isinstance(event, BondSeized | SurplusSwept):
        return await _bond_to_till(tx, moment, event)
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
        case BondFunded():
            return _between(event.key, Vault.TILL, Vault.BOND, event.amount_microusdc)
        case BondSeized() | SurplusSwept():
            return _between(event.key, Vault.BOND, Vault.TILL, event.amount_microusdc)
        case BondRetired() | BondRetireCancelled() | BondHandedOver() | SeizureStepped():
            return []
        case Skipped() | Governed() | LamportsMoved() | Unrecognized():
            return []
        case _:
            return [(event.key, *_change(event))]


def _between(
    key: MovementKey, source: Vault, destination: Vault, amount_microusdc: MicroUsdc
) -> list[tuple[MovementKey, Vault, int]]:
    second = replace(key, sub=key.sub + SECOND_HALF)
    return [(key, source, -amount_microusdc), (second, destination, amount_microusdc)]


def _change(
    event: Deposit | StrayRecovered | BondPosted | BondReleased | Paid | Outflow | Quarantined,
) -> tuple[Vault, int]:
    match event:
        case Deposit():
            return event.vault, event.amount_microusdc
        case StrayRecovered():
            return Vault.TILL, event.amount_microusdc
        case BondPosted():
            return Vault.BOND, event.amount_microusdc
        case BondReleased():
            return Vault.BOND, -event.amount_microusdc
        case Paid():
            return Vault.TILL, -event.amount_microusdc
        case Outflow():
            return event.vault, -event.amount_microusdc
        case Quarantined():
            return event.vault, event.delta_microusdc
        case _:
            assert_never(event)
