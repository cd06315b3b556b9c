"""Money that leaves the till: withdrawals, drawings, and what left without a reason. Pure."""

from settlement.chain.movement import ChainMoment, MovementKey, Vault
from settlement.ledger.accounts import (
    BAD_DEBT,
    DRAWINGS,
    RECOVERY,
    SUSPENSE,
    UNEXPLAINED_OUT,
    chain_vault,
)
from settlement.ledger.operations import AccountName, Post, TransactionKind, Transfer
from settlement.ledger.postings.entry import (
    NOTHING_MORE,
    Meta,
    Voucher,
    assigned,
    move,
    seen,
    vouched,
)
from settlement.money import MicroUsdc


def withdrawal_paid(
    key: MovementKey,
    moment: ChainMoment,
    account: AccountName,
    amount_microusdc: MicroUsdc,
    meta: Meta = NOTHING_MORE,
) -> Post:
    """A payment out of the till, against whoever it was paid for."""
    moved = move(account, chain_vault(Vault.TILL), amount_microusdc)
    return seen(key, moment, TransactionKind.WITHDRAWAL_PAID, (moved,), meta)


def drawings_paid(
    key: MovementKey,
    moment: ChainMoment,
    amount_microusdc: MicroUsdc,
    meta: Meta = NOTHING_MORE,
) -> Post:
    """The owner took earnings out; what was earned stays in the treasury's revenue."""
    moved = move(DRAWINGS, chain_vault(Vault.TILL), amount_microusdc)
    return seen(key, moment, TransactionKind.DRAWINGS_PAID, (moved,), meta)


def outflow_unexplained(
    key: MovementKey,
    moment: ChainMoment,
    vault: Vault,
    amount_microusdc: MicroUsdc,
    meta: Meta = NOTHING_MORE,
) -> Post:
    """Money that left a vault and no account can bear."""
    moved = move(UNEXPLAINED_OUT, chain_vault(vault), amount_microusdc)
    return seen(key, moment, TransactionKind.OUTFLOW_UNEXPLAINED, (moved,), meta)


def outflow_explained(
    voucher: Voucher, movement: str, account: AccountName, amount_microusdc: MicroUsdc
) -> Post:
    """An unexplained outflow, by its movement's reference, that an account bears after all."""
    moved = move(account, UNEXPLAINED_OUT, amount_microusdc)
    return _outflow_ended(movement, voucher, TransactionKind.OUTFLOW_EXPLAINED, moved)


def outflow_written_off(voucher: Voucher, movement: str, amount_microusdc: MicroUsdc) -> Post:
    """An unexplained outflow, by its movement's reference, that is given up: a loss."""
    moved = move(BAD_DEBT, UNEXPLAINED_OUT, amount_microusdc)
    return _outflow_ended(movement, voucher, TransactionKind.OUTFLOW_WRITTEN_OFF, moved)


def recovered(
    voucher: Voucher, movement: str, *, written_off: bool, amount_microusdc: MicroUsdc
) -> Post:
    """Money that came back: `movement` brought it, and nobody we know was named, so to suspense.

    It settles the claim that still stands in `unexplained-out`; of a loss that was written off it
    is income.
    """
    claim = RECOVERY if written_off else UNEXPLAINED_OUT
    moved = move(SUSPENSE, claim, amount_microusdc)
    return assigned(movement, voucher, TransactionKind.RECOVERED, (moved,))


def _outflow_ended(movement: str, voucher: Voucher, kind: TransactionKind, moved: Transfer) -> Post:
    # One name for both ends: an outflow that is explained cannot be written off as well.
    return vouched(f"outflow:{movement}", voucher, kind, (moved,))
