"""One business event, one balanced entry. Pure.

Each function turns what happened into a `Post` whose transfers are balanced by their shape. What
was seen on chain is named by its movement: the reference is unique in the books, and the id of the
transaction is derived from it, so the same movement read twice is the same operation and a replay.
"""

from collections.abc import Mapping
from datetime import UTC
from types import MappingProxyType
from typing import Final
from uuid import UUID, uuid5

from settlement.chain.movement import ChainMoment, MovementKey, Vault
from settlement.ledger.accounts import (
    QUARANTINE,
    REFUND_POOL,
    SUSPENSE,
    UNEXPLAINED_OUT,
    chain_vault,
)
from settlement.ledger.operations import AccountName, Post, TransactionKind, Transfer
from settlement.money import MicroUsdc

_NAMESPACE: Final = UUID("6f7f0f4e-2f63-5b0e-9d6c-5b1f0c0a7d11")
_ACTOR: Final = "chain"
# What people may want to know of an event beside its money: addresses, codes.
Meta = Mapping[str, str | int]
NOTHING_MORE: Final[Meta] = MappingProxyType({})


def transaction_id_for(reference: str) -> UUID:
    """The id of the transaction that books the movement of this reference."""
    return uuid5(_NAMESPACE, reference)


def deposit_credited(
    key: MovementKey,
    moment: ChainMoment,
    vault: Vault,
    account: AccountName,
    amount_microusdc: MicroUsdc,
    meta: Meta = NOTHING_MORE,
) -> Post:
    """A deposit whose code names a user."""
    moved = _move(chain_vault(vault), account, amount_microusdc)
    return _seen(key, moment, TransactionKind.DEPOSIT_CREDITED, (moved,), meta)


def deposit_suspended(
    key: MovementKey,
    moment: ChainMoment,
    vault: Vault,
    amount_microusdc: MicroUsdc,
    meta: Meta = NOTHING_MORE,
) -> Post:
    """Money that arrived and names nobody we know: kept, shown, assigned later."""
    moved = _move(chain_vault(vault), SUSPENSE, amount_microusdc)
    return _seen(key, moment, TransactionKind.DEPOSIT_SUSPENDED, (moved,), meta)


def bond_received(
    key: MovementKey,
    moment: ChainMoment,
    pending: AccountName,
    amount_microusdc: MicroUsdc,
    meta: Meta = NOTHING_MORE,
) -> Post:
    """Bond money that came into the till by code and is not escrowed yet."""
    moved = _move(chain_vault(Vault.TILL), pending, amount_microusdc)
    return _seen(key, moment, TransactionKind.BOND_RECEIVED, (moved,), meta)


def bond_posted(
    key: MovementKey,
    moment: ChainMoment,
    bond: AccountName,
    amount_microusdc: MicroUsdc,
    meta: Meta = NOTHING_MORE,
) -> Post:
    """A bond that its depositor put into escrow."""
    moved = _move(chain_vault(Vault.BOND), bond, amount_microusdc)
    return _seen(key, moment, TransactionKind.BOND_POSTED, (moved,), meta)


def bond_funded(
    key: MovementKey,
    moment: ChainMoment,
    pending: AccountName,
    bond: AccountName,
    amount_microusdc: MicroUsdc,
    meta: Meta = NOTHING_MORE,
) -> Post:
    """Pending bond money that went from the till into escrow."""
    vaults = _move(chain_vault(Vault.BOND), chain_vault(Vault.TILL), amount_microusdc)
    owed = _move(pending, bond, amount_microusdc)
    return _seen(key, moment, TransactionKind.BOND_FUNDED, (vaults, owed), meta)


def bond_released(
    key: MovementKey,
    moment: ChainMoment,
    bond: AccountName,
    amount_microusdc: MicroUsdc,
    meta: Meta = NOTHING_MORE,
) -> Post:
    """A bond that went back to its beneficiary."""
    moved = _move(bond, chain_vault(Vault.BOND), amount_microusdc)
    return _seen(key, moment, TransactionKind.BOND_RELEASED, (moved,), meta)


def bond_handed_over(
    key: MovementKey,
    moment: ChainMoment,
    before: AccountName,
    after: AccountName,
    amount_microusdc: MicroUsdc,
    meta: Meta = NOTHING_MORE,
) -> Post:
    """A bond that is owed to somebody else from now on; it stays in the bond vault."""
    moved = _move(before, after, amount_microusdc)
    return _seen(key, moment, TransactionKind.BOND_HANDED_OVER, (moved,), meta)


def bond_seized(
    key: MovementKey,
    moment: ChainMoment,
    bond: AccountName,
    amount_microusdc: MicroUsdc,
    meta: Meta = NOTHING_MORE,
) -> Post:
    """A bond that went to the till, for those who were harmed."""
    vaults = _move(chain_vault(Vault.TILL), chain_vault(Vault.BOND), amount_microusdc)
    owed = _move(bond, REFUND_POOL, amount_microusdc)
    return _seen(key, moment, TransactionKind.BOND_SEIZED, (vaults, owed), meta)


def vaults_moved(
    key: MovementKey,
    moment: ChainMoment,
    source: Vault,
    destination: Vault,
    amount_microusdc: MicroUsdc,
    meta: Meta = NOTHING_MORE,
) -> Post:
    """Money that went from one of our vaults to the other; who is owed it was booked before."""
    moved = _move(chain_vault(destination), chain_vault(source), amount_microusdc)
    return _seen(key, moment, TransactionKind.VAULTS_MOVED, (moved,), meta)


def withdrawal_paid(
    key: MovementKey,
    moment: ChainMoment,
    account: AccountName,
    amount_microusdc: MicroUsdc,
    meta: Meta = NOTHING_MORE,
) -> Post:
    """A payment out of the till, against whoever it was paid for."""
    moved = _move(account, chain_vault(Vault.TILL), amount_microusdc)
    return _seen(key, moment, TransactionKind.WITHDRAWAL_PAID, (moved,), meta)


def outflow_unexplained(
    key: MovementKey,
    moment: ChainMoment,
    vault: Vault,
    amount_microusdc: MicroUsdc,
    meta: Meta = NOTHING_MORE,
) -> Post:
    """Money that left a vault and no account can bear."""
    moved = _move(UNEXPLAINED_OUT, chain_vault(vault), amount_microusdc)
    return _seen(key, moment, TransactionKind.OUTFLOW_UNEXPLAINED, (moved,), meta)


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
        moved = _move(vault_account, QUARANTINE, MicroUsdc(delta_microusdc))
    else:
        moved = _move(UNEXPLAINED_OUT, vault_account, MicroUsdc(-delta_microusdc))
    return _seen(key, moment, TransactionKind.MOVEMENT_QUARANTINED, (moved,), meta)


def _move(debit: AccountName, credit: AccountName, amount_microusdc: MicroUsdc) -> Transfer:
    assert amount_microusdc > 0, "a movement has an amount"
    assert debit != credit, "a movement has two ends"
    return Transfer(debit=debit, credit=credit, amount_microusdc=amount_microusdc)


def _seen(
    key: MovementKey,
    moment: ChainMoment,
    kind: TransactionKind,
    transfers: tuple[Transfer, ...],
    meta: Meta,
) -> Post:
    """The post for something seen on chain; its day is the block's day in UTC."""
    block_time = moment.block_time.astimezone(UTC)
    return Post(
        transaction_id=transaction_id_for(key.reference),
        kind=kind,
        transfers=transfers,
        event_at=block_time,
        effective_on=block_time.date(),
        actor=_ACTOR,
        slot=moment.slot,
        external_ref=key.reference,
        meta=meta,
    )
