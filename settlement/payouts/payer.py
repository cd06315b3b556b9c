"""The fee payer's SOL: what the queue will need, when to call for more, and when to stop.

Building stops before a message could bring the balance below the lowest that is allowed; should it
go below all the same, everything stands still, and goes on by itself once there is clearly enough.
"""

from dataclasses import dataclass
from typing import Final

import asyncpg

from settlement.chain.messages import SIGNATURE_LAMPORTS, Budget
from settlement.money import Lamports
from settlement.payouts.batches import (
    BOND_RENT_LAMPORTS,
    LARGEST_PAYMENT_COMPUTE_UNITS,
    TOKEN_ACCOUNT_RENT_LAMPORTS,
)

_DOUBLE: Final = 2


@dataclass(frozen=True, kw_only=True)
class PayerPolicy:
    """Balances of the fee payer, in lamports."""

    lowest: Lamports  # nothing goes out below it
    resume: Lamports  # and nothing again below this one, once it stood still
    low_water: Lamports  # the alarm, whatever waits

    def __post_init__(self) -> None:
        assert self.lowest <= self.resume, "it would go on where it stops"

    @classmethod
    def above(cls, lowest: Lamports) -> "PayerPolicy":
        """Goes on at twice the lowest; the alarm is there too."""
        twice = Lamports(lowest * _DOUBLE)
        return cls(lowest=lowest, resume=twice, low_water=twice)


@dataclass(frozen=True, kw_only=True)
class Queue:
    """What waits for SOL."""

    underway_lamports: int = 0  # what open messages may cost
    payouts: int = 0  # without a message yet
    new_wallets: int = 0  # of them: that we have never paid, so that we may have to open accounts
    bonds: int = 0  # of them: bonds to be funded

    @classmethod
    def of(cls, row: asyncpg.Record) -> "Queue":
        """As the database counts it."""
        return cls(
            underway_lamports=int(row["underway"]),
            payouts=row["payouts"],
            new_wallets=row["new_wallets"],
            bonds=row["bonds"],
        )

    def need_lamports(self, policy: PayerPolicy, *, cap_microlamports: int) -> Lamports:
        """What the payer should have for all of it, each payout in a message of its own."""
        dearest = Budget(
            compute_unit_limit=LARGEST_PAYMENT_COMPUTE_UNITS,
            compute_unit_price_microlamports=cap_microlamports,
        )
        each = SIGNATURE_LAMPORTS + dearest.priority_fee_lamports
        rents = self.new_wallets * TOKEN_ACCOUNT_RENT_LAMPORTS + self.bonds * BOND_RENT_LAMPORTS
        queued = policy.lowest + self.underway_lamports + self.payouts * each + rents
        return Lamports(max(policy.low_water, queued))


class PayerWatch:
    """Remembers whether the road stands still for want of SOL."""

    def __init__(self, policy: PayerPolicy) -> None:
        self._policy = policy
        self._stopped = False

    def obstacle(self, lamports: Lamports) -> str | None:
        """Why nothing may go out with this balance; None when it may."""
        least = self._policy.resume if self._stopped else self._policy.lowest
        self._stopped = lamports < least
        if not self._stopped:
            return None
        return f"the fee payer has only {lamports} lamports; it goes on at {self._policy.resume}"
