"""Every role has a key of its own: who pays neither proposes, judges, guards nor governs. Pure.

The signer has no chain to ask, so it compares its key with the addresses its settings name. The
worker, which has one, compares what the program itself says.
"""

from collections.abc import Mapping
from itertools import combinations

from solders.pubkey import Pubkey

from settlement.chain.layouts import VACANT
from settlement.chain.program import Config
from settlement.errors import Refused


class RolesShareKey(Refused):
    """The payout key has another role too; every role needs a key of its own."""


def refuse_shared(payer: Pubkey, others: Mapping[str, Pubkey]) -> None:
    """Raise `RolesShareKey` when one of `others`, by role, is the payer."""
    shared = sorted(role for role, address in others.items() if address == payer)
    if shared:
        raise RolesShareKey(address=str(payer), roles=", ".join(shared))


def sharing_keys(config: Config) -> tuple[str, ...]:
    """The roles on chain that have a key with another one in common, as `payer = guardian`."""
    roles = {
        "admin": config.admin,
        "proposer": config.proposer,
        "arbiter": config.arbiter,
        "guardian": config.guardian,
        "payer": config.payer,
    }
    held = {role: key for role, key in roles.items() if key != VACANT}
    return tuple(f"{a} = {b}" for a, b in combinations(held, 2) if held[a] == held[b])
