"""The fee payers' SOL: where it comes from and what it is spent on, in lamports. Pure.

It is booked as seen on chain, like the vaults.
"""

from settlement.chain.movement import ChainMoment, MovementKey
from settlement.ledger.accounts import FUNDING_SOL, NETWORK_FEES, RENT, chain_sol
from settlement.ledger.operations import Post, TransactionKind
from settlement.ledger.postings.entry import NOTHING_MORE, Meta, move, seen
from settlement.money import Lamports


def payer_funded(
    key: MovementKey,
    moment: ChainMoment,
    payer_address: str,
    amount_lamports: Lamports,
    meta: Meta = NOTHING_MORE,
) -> Post:
    """The owner, or anybody, sent SOL to a fee payer."""
    moved = move(chain_sol(payer_address), FUNDING_SOL, amount_lamports)
    return seen(key, moment, TransactionKind.PAYER_FUNDED, (moved,), meta)


def payer_drawn(
    key: MovementKey,
    moment: ChainMoment,
    payer_address: str,
    amount_lamports: Lamports,
    meta: Meta = NOTHING_MORE,
) -> Post:
    """SOL left a fee payer for what is neither a fee nor rent: the owner took it back."""
    moved = move(FUNDING_SOL, chain_sol(payer_address), amount_lamports)
    return seen(key, moment, TransactionKind.PAYER_DRAWN, (moved,), meta)


def network_fee_paid(
    key: MovementKey,
    moment: ChainMoment,
    payer_address: str,
    fee_lamports: Lamports,
    priority_lamports: Lamports,
) -> Post:
    """A finalized transaction of ours cost `fee`, of which `priority` was paid to come sooner."""
    assert 0 <= priority_lamports <= fee_lamports, "the priority fee is a part of the fee"
    moved = move(NETWORK_FEES, chain_sol(payer_address), fee_lamports)
    meta: Meta = {"priority_lamports": priority_lamports}
    return seen(key, moment, TransactionKind.NETWORK_FEE_PAID, (moved,), meta)


def rent_paid(
    key: MovementKey,
    moment: ChainMoment,
    payer_address: str,
    amount_lamports: Lamports,
    meta: Meta = NOTHING_MORE,
) -> Post:
    """An account was opened at our expense, for a recipient's tokens or a bond."""
    moved = move(RENT, chain_sol(payer_address), amount_lamports)
    return seen(key, moment, TransactionKind.RENT_PAID, (moved,), meta)


def rent_returned(
    key: MovementKey,
    moment: ChainMoment,
    payer_address: str,
    amount_lamports: Lamports,
    meta: Meta = NOTHING_MORE,
) -> Post:
    """An account that we had paid for was closed or shrunk, and its rent came back."""
    moved = move(chain_sol(payer_address), RENT, amount_lamports)
    return seen(key, moment, TransactionKind.RENT_RETURNED, (moved,), meta)
