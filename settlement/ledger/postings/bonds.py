"""Bonds, and what becomes of those that were seized. Pure."""

from collections.abc import Mapping

from settlement.chain.movement import ChainMoment, MovementKey, Vault
from settlement.ledger.accounts import REFUND_POOL, TREASURY, chain_vault
from settlement.ledger.operations import AccountName, Post, TransactionKind
from settlement.ledger.postings.entry import (
    NOTHING_MORE,
    Meta,
    Voucher,
    move,
    moves,
    seen,
    vouched,
)
from settlement.money import MicroUsdc


def bond_received(
    key: MovementKey,
    moment: ChainMoment,
    pending: AccountName,
    amount_microusdc: MicroUsdc,
    meta: Meta = NOTHING_MORE,
) -> Post:
    """Bond money that came into the till by code and is not escrowed yet."""
    moved = move(chain_vault(Vault.TILL), pending, amount_microusdc)
    return seen(key, moment, TransactionKind.BOND_RECEIVED, (moved,), meta)


def bond_posted(
    key: MovementKey,
    moment: ChainMoment,
    bond: AccountName,
    amount_microusdc: MicroUsdc,
    meta: Meta = NOTHING_MORE,
) -> Post:
    """A bond that its depositor put into escrow."""
    moved = move(chain_vault(Vault.BOND), bond, amount_microusdc)
    return seen(key, moment, TransactionKind.BOND_POSTED, (moved,), meta)


def bond_funded(
    key: MovementKey,
    moment: ChainMoment,
    pending: AccountName,
    bond: AccountName,
    amount_microusdc: MicroUsdc,
    meta: Meta = NOTHING_MORE,
) -> Post:
    """Pending bond money that went from the till into escrow."""
    vaults = move(chain_vault(Vault.BOND), chain_vault(Vault.TILL), amount_microusdc)
    owed = move(pending, bond, amount_microusdc)
    return seen(key, moment, TransactionKind.BOND_FUNDED, (vaults, owed), meta)


def bond_released(
    key: MovementKey,
    moment: ChainMoment,
    bond: AccountName,
    amount_microusdc: MicroUsdc,
    meta: Meta = NOTHING_MORE,
) -> Post:
    """A bond that went back to its beneficiary."""
    moved = move(bond, chain_vault(Vault.BOND), amount_microusdc)
    return seen(key, moment, TransactionKind.BOND_RELEASED, (moved,), meta)


def bond_handed_over(
    key: MovementKey,
    moment: ChainMoment,
    before: AccountName,
    after: AccountName,
    amount_microusdc: MicroUsdc,
    meta: Meta = NOTHING_MORE,
) -> Post:
    """A bond that is owed to somebody else from now on; it stays in the bond vault."""
    moved = move(before, after, amount_microusdc)
    return seen(key, moment, TransactionKind.BOND_HANDED_OVER, (moved,), meta)


def bond_seized(
    key: MovementKey,
    moment: ChainMoment,
    bond: AccountName,
    amount_microusdc: MicroUsdc,
    meta: Meta = NOTHING_MORE,
) -> Post:
    """A bond that went to the till, for those who were harmed."""
    vaults = move(chain_vault(Vault.TILL), chain_vault(Vault.BOND), amount_microusdc)
    owed = move(bond, REFUND_POOL, amount_microusdc)
    return seen(key, moment, TransactionKind.BOND_SEIZED, (vaults, owed), meta)


def refund_pool_paid(
    voucher: Voucher, seizure: str, round_number: int, shares: Mapping[AccountName, MicroUsdc]
) -> Post:
    """Those harmed by the operator of a seizure (its movement's reference) are credited.

    Harm may come to light later, so there can be several rounds; each is paid once.
    """
    assert shares, "somebody is credited"
    moved = moves(*((REFUND_POOL, account, shares[account]) for account in sorted(shares)))
    reference = f"refund-pool:{seizure}:{round_number}"
    return vouched(reference, voucher, TransactionKind.REFUND_POOL_PAID, moved)


def refund_pool_backed(
    voucher: Voucher, seizure: str, round_number: int, amount_microusdc: MicroUsdc
) -> Post:
    """The treasury pays into the refund pool what a seizure does not cover: less was earned."""
    moved = move(TREASURY, REFUND_POOL, amount_microusdc)
    reference = f"refund-pool-backed:{seizure}:{round_number}"
    return vouched(reference, voucher, TransactionKind.REFUND_POOL_BACKED, (moved,))
