"""One business event, one balanced entry. Pure.

Each function turns what happened into a `Post` whose transfers are balanced by their shape: no
money is made or lost by any of them, and two assets never meet. The files are the nouns: money in,
money out, bonds, requests, upstreams, lamports, corrections; `entry` is what all are made of.
`docs/worked-entries.md` has an example of each, which a test holds to this code.
"""

from settlement.ledger.postings.bonds import (
    bond_funded,
    bond_handed_over,
    bond_posted,
    bond_received,
    bond_released,
    bond_seized,
    refund_pool_backed,
    refund_pool_paid,
)
from settlement.ledger.postings.corrections import (
    AssetsMixed,
    ChainNotCorrected,
    ReasonMissing,
    adjustment,
    child_swept,
    reversal,
)
from settlement.ledger.postings.entry import (
    NOTHING_MORE,
    Meta,
    Voucher,
    transaction_id_for,
)
from settlement.ledger.postings.lamports import (
    network_fee_paid,
    payer_drawn,
    payer_funded,
    rent_paid,
    rent_returned,
)
from settlement.ledger.postings.money_in import (
    CardFeeTooLarge,
    card_settled,
    card_topped_up,
    deposit_credited,
    deposit_suspended,
    quarantine_assigned,
    quarantined,
    suspense_assigned,
    vaults_moved,
)
from settlement.ledger.postings.money_out import (
    drawings_paid,
    outflow_explained,
    outflow_unexplained,
    outflow_written_off,
    recovered,
    withdrawal_paid,
)
from settlement.ledger.postings.requests import (
    Refund,
    RefundTooLarge,
    charge_transfers,
    debt_collected,
    late_capture,
    request_refunded,
)
from settlement.ledger.postings.upstream import (
    UpstreamTooDear,
    upstream_cost_corrected,
    upstream_paid,
    upstream_served,
)

__all__ = [
    "NOTHING_MORE",
    "AssetsMixed",
    "CardFeeTooLarge",
    "ChainNotCorrected",
    "Meta",
    "ReasonMissing",
    "Refund",
    "RefundTooLarge",
    "UpstreamTooDear",
    "Voucher",
    "adjustment",
    "bond_funded",
    "bond_handed_over",
    "bond_posted",
    "bond_received",
    "bond_released",
    "bond_seized",
    "card_settled",
    "card_topped_up",
    "charge_transfers",
    "child_swept",
    "debt_collected",
    "deposit_credited",
    "deposit_suspended",
    "drawings_paid",
    "late_capture",
    "network_fee_paid",
    "outflow_explained",
    "outflow_unexplained",
    "outflow_written_off",
    "payer_drawn",
    "payer_funded",
    "quarantine_assigned",
    "quarantined",
    "recovered",
    "refund_pool_backed",
    "refund_pool_paid",
    "rent_paid",
    "rent_returned",
    "request_refunded",
    "reversal",
    "suspense_assigned",
    "transaction_id_for",
    "upstream_cost_corrected",
    "upstream_paid",
    "upstream_served",
    "vaults_moved",
    "withdrawal_paid",
]
