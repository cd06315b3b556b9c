"""Which payouts share a message, and the message they share. Pure.

Payments share, and burned numbers share; a bond's funding goes alone, and so does a payout whose
shared message the chain refused: one of its members is bad, and alone it hurts nobody else. What a
message does follows from its members in their order, for the worker that builds it and for the
signer that builds it again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from solders.hash import Hash
from solders.message import Message
from solders.pubkey import Pubkey

from settlement.chain.layouts import BOND_SIZE
from settlement.chain.messages import (
    ACCOUNT_COMPUTE_UNITS,
    LARGEST_COMPUTE_UNIT_LIMIT,
    LARGEST_TRANSACTION_BYTES,
    SIGNATURE_LAMPORTS,
    Budget,
    Step,
    build,
    wire_bytes,
)
from settlement.chain.program import Deployment
from settlement.money import Lamports
from settlement.payouts.intent import Action, Intent, instruction, recipient
from settlement.payouts.states import PayoutKind

# Twice what the program's budgets are (program.md §9).
_COMPUTE_UNITS: Final = {PayoutKind.PAY: 20_000, PayoutKind.FUND_BOND: 40_000}
_SKIP_COMPUTE_UNITS: Final = 10_000
LARGEST_PAYMENT_COMPUTE_UNITS: Final = _COMPUTE_UNITS[PayoutKind.PAY] + ACCOUNT_COMPUTE_UNITS
# What the network asks for an account that stays: for its bytes and 128 more.
_RENT_LAMPORTS_PER_BYTE: Final = 6_960
TOKEN_ACCOUNT_RENT_LAMPORTS: Final = Lamports((128 + 165) * _RENT_LAMPORTS_PER_BYTE)
BOND_RENT_LAMPORTS: Final = Lamports((128 + BOND_SIZE) * _RENT_LAMPORTS_PER_BYTE)


@dataclass(frozen=True, kw_only=True)
class Member:
    """What one payout does in a message."""

    intent: Intent
    action: Action
    creates_account: bool = False
    alone: bool = False
    in_vain: int = 0  # so many messages of it went out and came to nothing

    @property
    def rent_lamports(self) -> Lamports:
        """What the account that it opens must hold; we pay that."""
        if self.action is Action.EXECUTE and self.intent.kind is PayoutKind.FUND_BOND:
            return BOND_RENT_LAMPORTS
        return TOKEN_ACCOUNT_RENT_LAMPORTS if self.creates_account else Lamports(0)

    @property
    def compute_units(self) -> int:
        """What it may use of the message's limit."""
        if self.action is Action.SKIP:
            return _SKIP_COMPUTE_UNITS
        opening = ACCOUNT_COMPUTE_UNITS if self.creates_account else 0
        return _COMPUTE_UNITS[self.intent.kind] + opening


def compute_unit_limit(members: Iterable[Member]) -> int:
    """What a message with these members may use."""
    return sum(member.compute_units for member in members)


def cost_lamports(members: Iterable[Member], budget: Budget) -> Lamports:
    """What a message may cost us at most: its fees, and the rents of what it opens."""
    rents = sum(member.rent_lamports for member in members)
    return Lamports(SIGNATURE_LAMPORTS + budget.priority_fee_lamports + rents)


def message_of(
    members: Sequence[Member],
    *,
    deployment: Deployment,
    payer: Pubkey,
    budget: Budget,
    blockhash: Hash,
) -> Message:
    """The one message for these members in this order."""
    steps = [_step(member, deployment, payer) for member in members]
    return build(payer=payer, steps=steps, budget=budget, blockhash=blockhash)


def _step(member: Member, deployment: Deployment, payer: Pubkey) -> Step:
    opens = recipient(member.intent, member.action, deployment) if member.creates_account else None
    assert opens is not None or not member.creates_account, "an account is opened for someone"
    done = instruction(member.intent, member.action, deployment=deployment, payer=payer)
    return Step(instruction=done, opens=opens)


def batches(
    members: Sequence[Member], *, deployment: Deployment, payer: Pubkey, largest: int
) -> list[tuple[Member, ...]]:
    """Who shares a message with whom: in the order given, as many as fit and are allowed."""
    assert largest >= 1, "a message has a member"
    made: list[list[Member]] = []
    filling: dict[Action, list[Member]] = {}
    for member in members:
        if member.alone or member.intent.kind is PayoutKind.FUND_BOND:
            made.append([member])
            continue
        batch = filling.get(member.action)
        if batch is not None:
            joined = _joined(batch, member)
            if len(joined) <= largest and _fits(joined, deployment, payer):
                batch[:] = joined
                continue
        filling[member.action] = [member]
        made.append(filling[member.action])
    return [tuple(batch) for batch in made]


def _joined(batch: list[Member], member: Member) -> list[Member]:
    """With one more, who need not open what a member before opens already."""
    if member.creates_account and any(
        other.creates_account and other.intent.destination == member.intent.destination
        for other in batch
    ):
        member = replace(member, creates_account=False)
    return [*batch, member]


def _fits(members: Sequence[Member], deployment: Deployment, payer: Pubkey) -> bool:
    units = compute_unit_limit(members)
    made = message_of(
        members,
        deployment=deployment,
        payer=payer,
        budget=Budget(compute_unit_limit=units, compute_unit_price_microlamports=0),
        blockhash=Hash.default(),
    )
    return units <= LARGEST_COMPUTE_UNIT_LIMIT and wire_bytes(made) <= LARGEST_TRANSACTION_BYTES
