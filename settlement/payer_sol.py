"""The indexer's door for SOL: what a fee payer's lamports moved for, as seen finalized on chain.

Each function returns the operation; the caller applies it in the same transaction. Fees and rent
are costs; what the owner puts in or takes out is funding, not income.
"""

from dataclasses import dataclass
from typing import Final

from settlement.chain.movement import ChainMoment, MovementKey
from settlement.db.pool import Tx
from settlement.ledger import postings, store
from settlement.ledger.accounts import chain_sol
from settlement.ledger.operations import Post
from settlement.money import Lamports

_NOTHING: Final = Lamports(0)


@dataclass(frozen=True, kw_only=True)
class PayerMoved:
    """One purpose's share of what a transaction did to a fee payer of ours."""

    key: MovementKey
    moment: ChainMoment
    payer_address: str
    amount_lamports: Lamports
    priority_lamports: Lamports = _NOTHING  # of a fee: what was paid to come sooner


async def fee_paid(tx: Tx, fact: PayerMoved) -> Post:
    """A transaction of ours was carried out, or failed: both cost."""
    await _open(tx, fact)
    return postings.network_fee_paid(
        fact.key, fact.moment, fact.payer_address, fact.amount_lamports, fact.priority_lamports
    )


async def rent_paid(tx: Tx, fact: PayerMoved) -> Post:
    """Accounts were opened at our expense."""
    await _open(tx, fact)
    return postings.rent_paid(fact.key, fact.moment, fact.payer_address, fact.amount_lamports)


async def rent_returned(tx: Tx, fact: PayerMoved) -> Post:
    """Accounts we had paid for were closed or shrunk."""
    await _open(tx, fact)
    return postings.rent_returned(fact.key, fact.moment, fact.payer_address, fact.amount_lamports)


async def funded(tx: Tx, fact: PayerMoved) -> Post:
    """Somebody sent SOL."""
    await _open(tx, fact)
    return postings.payer_funded(fact.key, fact.moment, fact.payer_address, fact.amount_lamports)


async def drawn(tx: Tx, fact: PayerMoved) -> Post:
    """SOL went elsewhere, for neither a fee nor rent."""
    await _open(tx, fact)
    return postings.payer_drawn(fact.key, fact.moment, fact.payer_address, fact.amount_lamports)


async def _open(tx: Tx, fact: PayerMoved) -> None:
    await store.open_account(tx, chain_sol(fact.payer_address))
