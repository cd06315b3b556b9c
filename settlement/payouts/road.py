"""What the steps from a numbered payout to the chain work with, and how they go about it."""

from dataclasses import dataclass, field
from datetime import timedelta

from solders.pubkey import Pubkey

from settlement.chain.program import Deployment
from settlement.clock import Clock
from settlement.db.pool import Pool
from settlement.payouts.priority import FeePolicy
from settlement.payouts.survey import PayoutChain


@dataclass(frozen=True, kw_only=True)
class SendPolicy:
    """How eagerly messages are sent, what is paid for priority, and what shares a message."""

    fees: FeePolicy = field(default_factory=FeePolicy)
    resend_after: timedelta = timedelta(seconds=2)
    largest_batch: int = 8  # payouts in one message at most; 1: each has a message of its own
    batch_from: int = 8  # with fewer waiting each goes alone: nobody shares another one's fate
    watch_every: timedelta = timedelta(milliseconds=500)
    most_rejections: int = 10  # so often the chain says no to a payout before it is given back


@dataclass(frozen=True, kw_only=True)
class Road:
    """Everything the steps below work with."""

    pool: Pool
    chain: PayoutChain
    cluster: str
    deployment: Deployment
    payer: Pubkey
    clock: Clock
    policy: SendPolicy
