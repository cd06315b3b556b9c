"""What is true, whatever any backend says: for tests that compare with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from solders.pubkey import Pubkey
from solders.signature import Signature

from localnet.adversary.view import View
from localnet.cluster import Cluster, Commitment
from localnet.tokens import read_token_account


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One transaction of an address; `err` is None when it succeeded."""

    signature: Signature
    slot: int
    err: Any


class Oracle:
    """The one truth of a cluster, past and present."""

    def __init__(self, cluster: Cluster) -> None:
        """Reads the cluster itself, never a backend."""
        self._cluster = cluster
        self._past = View.past_of(cluster)

    def signatures(self, address: Pubkey, commitment: Commitment = "finalized") -> Sequence[Fact]:
        """Every transaction that names an address, in the order of execution."""
        newest = self._cluster.bank(commitment).slot
        entries = self._cluster.history.for_address(
            address, up_to_slot=newest, before=None, after=None
        )
        facts = [Fact(signature=one.signature, slot=one.slot, err=one.err) for one in entries]
        return facts[::-1]

    def balance(self, token_account: Pubkey, slot: int | None = None) -> int:
        """Token units after everything up to a slot (None: finalized); 0: no such account."""
        at = self._cluster.tip.finalized if slot is None else slot
        token = read_token_account(self._past.account(token_account, at))
        return 0 if token is None else token.amount

    def balances(self, token_account: Pubkey) -> Sequence[tuple[int, int]]:
        """Every finalized slot that changed a balance, with the balance after it."""
        slots = sorted({fact.slot for fact in self.signatures(token_account)})
        told: list[tuple[int, int]] = []
        last = self.balance(token_account, -1)
        for slot in slots:
            now = self.balance(token_account, slot)
            if now != last:
                told.append((slot, now))
            last = now
        return told

    def lamports(self, address: Pubkey, slot: int | None = None) -> int:
        """Lamports after everything up to a slot (None: finalized)."""
        at = self._cluster.tip.finalized if slot is None else slot
        account = self._past.account(address, at)
        return 0 if account is None else account.lamports
