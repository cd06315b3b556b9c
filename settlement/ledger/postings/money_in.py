"""Money that comes in: by the chain, by card, and what arrived without a name. Pure."""

from collections.abc import Mapping

from settlement.chain.movement import ChainMoment, MovementKey, Vault
from settlement.errors import Refused
from settlement.ledger.accounts import (
    CARD_FEES,
    QUARANTINE,
    RECEIVABLE_CARD,
    SUSPENSE,
    UNEXPLAINED_OUT,
    chain_vault,
)
from settlement.ledger.operations import AccountName, Post, TransactionKind
from settlement.ledger.postings.entry import (
    NOTHING_MORE,
    Meta,
    Voucher,
    assigned,
    move,
    moves,
    seen,
    vouched,
)
from settlement.money import MicroUsdc


class CardFeeTooLarge(Refused):
    """A card company cannot keep more than it owed."""


def deposit_credited(
    key: MovementKey,
    moment: ChainMoment,
    vault: Vault,
    account: AccountName,
    amount_microusdc: MicroUsdc,
    meta: Meta = NOTHING_MORE,
) -> Post:
    """A deposit whose code names a user."""
    moved = move(chain_vault(vault), account, amount_microusdc)
    return seen(key, moment, TransactionKind.DEPOSIT_CREDITED, (moved,), meta)


def deposit_suspended(
    key: MovementKey,
    moment: ChainMoment,
    vault: Vault,
    amount_microusdc: MicroUsdc,
    meta: Meta = NOTHING_MORE,
) -> Post:
    """Money that arrived and names nobody we know: kept, shown, assigned later."""
    moved = move(chain_vault(vault), SUSPENSE, amount_microusdc)
    return seen(key, moment, TransactionKind.DEPOSIT_SUSPENDED, (moved,), meta)


def quarantined(
    key: MovementKey,
    moment: ChainMoment,
    vault: Vault,
    delta_microusdc: int,
    meta: Meta = NOTHING_MORE,
) -> Post:
    """A vault that changed by `delta_microusdc` (not 0) for reasons we cannot read.

    What came in is kept in quarantine; what went out cannot be taken from there (it is floored and
    belongs to others), so it stands in `unexplained-out`.
    """
    assert delta_microusdc != 0, "no change is no movement"
    vault_account = chain_vault(vault)
    if delta_microusdc > 0:
        moved = move(vault_account, QUARANTINE, MicroUsdc(delta_microusdc))
    else:
        moved = move(UNEXPLAINED_OUT, vault_account, MicroUsdc(-delta_microusdc))
    return seen(key, moment, TransactionKind.MOVEMENT_QUARANTINED, (moved,), meta)


def vaults_moved(
    key: MovementKey,
    moment: ChainMoment,
    source: Vault,
    destination: Vault,
    amount_microusdc: MicroUsdc,
    meta: Meta = NOTHING_MORE,
) -> Post:
    """Money that went from one of our vaults to the other; who is owed it was booked before."""
    moved = move(chain_vault(destination), chain_vault(source), amount_microusdc)
    return seen(key, moment, TransactionKind.VAULTS_MOVED, (moved,), meta)


def suspense_assigned(
    voucher: Voucher, movement: str, account: AccountName, amount_microusdc: MicroUsdc
) -> Post:
    """Money in suspense, by its movement's reference, whose owner was found."""
    moved = move(SUSPENSE, account, amount_microusdc)
    return assigned(movement, voucher, TransactionKind.SUSPENSE_ASSIGNED, (moved,))


def quarantine_assigned(
    voucher: Voucher, movement: str, shares: Mapping[AccountName, MicroUsdc]
) -> Post:
    """Money in quarantine, by its movement's reference, of which all owners were found at once."""
    moved = moves(*((QUARANTINE, account, shares[account]) for account in sorted(shares)))
    return assigned(movement, voucher, TransactionKind.QUARANTINE_ASSIGNED, moved)


def card_topped_up(
    voucher: Voucher, payment: str, account: AccountName, amount_microusdc: MicroUsdc
) -> Post:
    """A user paid by card: theirs to spend, while the card company still owes it to us."""
    moved = move(RECEIVABLE_CARD, account, amount_microusdc)
    return vouched(f"card-payment:{payment}", voucher, TransactionKind.CARD_TOPPED_UP, (moved,))


def card_settled(
    voucher: Voucher,
    payout: str,
    bank: AccountName,
    gross_microusdc: MicroUsdc,
    fee_microusdc: MicroUsdc,
) -> Post:
    """The card company paid `gross` into a bank account of ours and kept its fee of it.

    Raises `CardFeeTooLarge` when the fee is above the gross.
    """
    assert fee_microusdc >= 0, "a fee is never negative"
    if fee_microusdc > gross_microusdc:
        raise CardFeeTooLarge(fee_microusdc=fee_microusdc, gross_microusdc=gross_microusdc)
    moved = moves(
        (bank, RECEIVABLE_CARD, gross_microusdc - fee_microusdc),
        (CARD_FEES, RECEIVABLE_CARD, fee_microusdc),
    )
    return vouched(f"card-payout:{payout}", voucher, TransactionKind.CARD_SETTLED, moved)
