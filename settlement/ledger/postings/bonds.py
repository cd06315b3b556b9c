"""Bonds, and what becomes of those that were seized. Pure."""

from dataclasses import replace
from uuid import UUID

from settlement.chain.movement import ChainMoment, MovementKey, Vault
from settlement.ledger.accounts import REFUND_POOL, TREASURY, chain_vault
from settlement.ledger.operations import AccountName, Post, TransactionKind
from settlement.ledger.postings.entry import (
    NOTHING_MORE,
    Meta,
    Voucher,
    move,
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
    voucher: Voucher,
    case_id: UUID,
    request_id: UUID,
    user: AccountName,
    amount_microusdc: MicroUsdc,
    *,
    bounded: bool = True,
) -> Post:
    """A user who was harmed is credited for a request, once in a case.

    `bounded`: the books see to it that all refunds of the request stay within what was paid. They
    cannot where the request is not kept at hand any more and nothing of it was refunded before.
    """
    moved = move(REFUND_POOL, user, amount_microusdc)
    reference = f"refund-pool:{case_id}:{request_id}"
    kind = TransactionKind.REFUND_POOL_PAID
    told = _of_case(voucher, case_id, request=str(request_id))
    return vouched(reference, told, kind, (moved,), refunds=request_id if bounded else None)


def refund_pool_backed(voucher: Voucher, case_id: UUID, amount_microusdc: MicroUsdc) -> Post:
    """The treasury pays into the refund pool what is missing in a case: less was earned."""
    moved = move(TREASURY, REFUND_POOL, amount_microusdc)
    reference = f"refund-pool-backed:{case_id}"
    kind = TransactionKind.REFUND_POOL_BACKED
    return vouched(reference, _of_case(voucher, case_id), kind, (moved,))


def _of_case(voucher: Voucher, case_id: UUID, **more: str) -> Voucher:
    return replace(voucher, meta={**voucher.meta, "case": str(case_id), **more})
