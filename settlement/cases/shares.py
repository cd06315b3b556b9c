"""Who gets how much of a refund pool: whole losses where it suffices, else pro rata. Pure.

Integers throughout. A pool that is too small is shared by largest remainder: everybody gets the
floor of their part, and the microunits left over go one each to the largest remainders, equal ones
in the order of their keys. So the shares add up to the pool exactly, nobody gets more than the
loss, and nobody's share is off by a whole microunit. The pool is shared among users first, and a
user's share among the user's requests then, so that it does not matter in how many requests a loss
was suffered.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from settlement.ledger.operations import AccountName
from settlement.money import MicroUsdc

K = TypeVar("K", UUID, AccountName)


@dataclass(frozen=True, kw_only=True)
class Loss:
    """What one request cost its user and was not given back: above 0."""

    request_id: UUID
    user: AccountName
    loss_microusdc: MicroUsdc


@dataclass(frozen=True, kw_only=True)
class Share:
    """What is to be credited for one request; may be 0 where the pool is small."""

    loss: Loss
    amount_microusdc: MicroUsdc


def loss_of(paid: MicroUsdc, claimed: MicroUsdc, refunded: MicroUsdc) -> MicroUsdc:
    """What is claimed of a request, but no more than is still paid for it."""
    assert 0 <= refunded <= paid, "refunds stay within what was paid"
    return MicroUsdc(min(claimed, paid - refunded))


def credit_shares(pool_microusdc: MicroUsdc, losses: Sequence[Loss]) -> list[Share]:
    """One share for each loss, in the order of the requests' ids."""
    of_users: defaultdict[AccountName, dict[UUID, MicroUsdc]] = defaultdict(dict)
    for loss in losses:
        of_users[loss.user][loss.request_id] = loss.loss_microusdc
    totals = {user: MicroUsdc(sum(each.values())) for user, each in of_users.items()}
    amounts: dict[UUID, MicroUsdc] = {}
    for user, share in apportioned(pool_microusdc, totals).items():
        amounts |= apportioned(share, of_users[user])
    ordered = sorted(losses, key=lambda one: one.request_id)
    return [Share(loss=loss, amount_microusdc=amounts[loss.request_id]) for loss in ordered]


def apportioned(pool_microusdc: MicroUsdc, losses: Mapping[K, MicroUsdc]) -> dict[K, MicroUsdc]:
    """The whole losses, or the pool shared among them by largest remainder."""
    total = sum(losses.values())
    if pool_microusdc >= total:
        return dict(losses)
    parts = {key: divmod(pool_microusdc * losses[key], total) for key in sorted(losses)}
    left = pool_microusdc - sum(floor for floor, _ in parts.values())
    # A stable sort: equal remainders stay in the order of their keys.
    lucky = set(sorted(parts, key=lambda key: -parts[key][1])[:left])
    shares = {key: MicroUsdc(floor + (key in lucky)) for key, (floor, _) in parts.items()}
    assert sum(shares.values()) == pool_microusdc, "a pool is shared to the last microunit"
    assert all(shares[key] <= losses[key] for key in losses), "nobody gets more than the loss"
    return shares
