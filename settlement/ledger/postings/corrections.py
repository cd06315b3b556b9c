"""What is put right, and what is moved together, inside the books. Pure.

The books only grow: a wrong entry is answered by another one. What a vault holds is the chain's to
say, so a correction never touches an account that stands for something on chain: a deposit that was
credited to the wrong user is moved to the right one.
"""

from collections.abc import Iterable
from typing import Final
from uuid import UUID

from settlement.errors import Refused
from settlement.ledger.accounts import AccountKind, describe, parent_of
from settlement.ledger.operations import AccountName, Post, TransactionKind, Transfer
from settlement.ledger.postings.entry import Voucher, move, vouched
from settlement.money import MicroUsdc

_ON_CHAIN: Final = frozenset({AccountKind.CHAIN_VAULT, AccountKind.CHAIN_SOL})


class ChainNotCorrected(Refused):
    """What was seen on chain stands: move what is owed for it instead."""


class AssetsMixed(Refused):
    """The two accounts of a transfer do not hold the same asset."""


class ReasonMissing(Refused):
    """A correction says why."""


def reversal(voucher: Voucher, transaction_id: UUID, transfers: Iterable[Transfer]) -> Post:
    """Undo a transaction: its transfers, the other way round. Once, the books see to that.

    Raises `ReasonMissing`, or `ChainNotCorrected` when it was seen on chain.
    """
    back = tuple(
        move(transfer.credit, transfer.debit, transfer.amount_microusdc) for transfer in transfers
    )
    _check(voucher, back)
    reference = f"reversal:{transaction_id}"
    return vouched(reference, voucher, TransactionKind.REVERSAL, back, reverses=transaction_id)


def adjustment(voucher: Voucher, number: str, transfers: Iterable[Transfer]) -> Post:
    """What a person found necessary and no other event describes, under a number of theirs.

    Raises `ReasonMissing`, `AssetsMixed`, `ChainNotCorrected` or `InvalidAccount`.
    """
    moved = tuple(transfers)
    _check(voucher, moved)
    return vouched(f"adjustment:{number}", voucher, TransactionKind.ADJUSTMENT, moved)


def child_swept(voucher: Voucher, child: AccountName, net_microusdc: int) -> Post:
    """One writer's part of the treasury or of a cost, moved into the account it is a part of.

    `net_microusdc` is the child's credits − debits (not 0), so that nothing is left in it. Once a
    day for each child.
    """
    parent = parent_of(child)
    assert parent is not None, "only a child is swept"
    assert net_microusdc != 0, "an empty child is not swept"
    debit, credit = (child, parent) if net_microusdc > 0 else (parent, child)
    moved = move(debit, credit, MicroUsdc(abs(net_microusdc)))
    reference = f"sweep:{child}:{voucher.day.isoformat()}"
    return vouched(reference, voucher, TransactionKind.CHILD_SWEPT, (moved,))


def _check(voucher: Voucher, transfers: tuple[Transfer, ...]) -> None:
    assert transfers, "a correction moves something"
    if not voucher.reason:
        raise ReasonMissing()
    for transfer in transfers:
        debit, credit = describe(transfer.debit), describe(transfer.credit)
        if _ON_CHAIN & {debit.kind, credit.kind}:
            raise ChainNotCorrected(debit=transfer.debit, credit=transfer.credit)
        if debit.asset is not credit.asset:
            raise AssetsMixed(debit=transfer.debit, credit=transfer.credit)
