"""What one backend sees of the one truth: a cluster that is late, forgetful, or another one.

A view is a `Cluster` for everything that reads, so every RPC method answers from it unchanged. It
has no state of its own: what it does not see differently is the truth's, and what is sent through
it executes there.
"""

import copy
import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from solders.account import Account
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from localnet.adversary.past import Past
from localnet.cluster import Bank, Cluster, Commitment, Tip
from localnet.engine import Outcome
from localnet.history import Entry, History
from localnet.timeline import Timeline

Order = Callable[[Entry], float]
"""Where an entry stands among those of its slot: the lower, the newer."""


class HistoryView(History):
    """The transactions that a backend has, in the order in which it lists them."""

    def __init__(
        self,
        truth: History,
        has: Callable[[Entry], bool],
        order: Order | None,
        *,
        index_lag_slots: int = 0,
    ) -> None:
        """`has` says which entries are there at all; the index by address is behind the bank.

        Without an `order` of its own, a backend lists as the truth does.
        """
        self._truth = truth
        self._index_lag_slots = index_lag_slots
        self._has = has
        self._order = order
        self._cursors: dict[int, Entry] = {}

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        """What is not seen differently is the truth's."""
        return getattr(self._truth, name)

    def get(self, signature: Signature) -> Entry | None:
        """The transaction, if this backend has it."""
        entry = self._truth.get(signature)
        if entry is None or not self._has(entry):
            return None
        self._cursors[entry.ordinal] = entry
        return entry

    def in_slot(self, slot: int) -> list[Entry]:
        """What this backend has of a block."""
        return [entry for entry in self._truth.in_slot(slot) if self._has(entry)]

    def for_address(
        self, address: Pubkey, *, up_to_slot: int, before: int | None, after: int | None
    ) -> Iterator[Entry]:
        """Newest slot first; inside a slot in this backend's own order, also for the bounds.

        The bounds are ordinals of entries that this view has given out.
        """
        newest_slot = up_to_slot - self._index_lag_slots
        if self._order is None:
            named = self._truth.for_address(
                address, up_to_slot=newest_slot, before=before, after=after
            )
            yield from filter(self._has, named)
            return
        place = partial(_place, self._order)
        named = self._truth.for_address(address, up_to_slot=newest_slot, before=None, after=None)
        first = None if before is None else place(self._cursors[before])
        last = None if after is None else place(self._cursors[after])
        for entry in sorted(filter(self._has, named), key=place):
            at = place(entry)
            if (first is None or at > first) and (last is None or at < last):
                yield entry


def _place(order: Order, entry: Entry) -> tuple[int, float]:
    return -entry.slot, order(entry)


class View(Cluster):
    """One backend's cluster at one moment; made anew for every call."""

    def __init__(
        self,
        truth: Cluster,
        *,
        lag_slots: int,
        is_foreign: bool,
        past: Callable[[], Past],
        history: Callable[[int], HistoryView],
    ) -> None:
        """`history` makes the transactions it has from the newest slot it has come to."""
        self._truth = truth
        self._lag_slots = lag_slots
        self._is_foreign = is_foreign
        self._past = past
        self.slot = self._late(truth.slot)
        self._history = history(self.slot)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        """What is not seen differently is the truth's."""
        return getattr(self._truth, name)

    def _late(self, slot: int) -> int:
        if self._lag_slots == 0:
            return slot
        return self._truth.timeline.at_or_before(slot - self._lag_slots)

    @property
    def history(self) -> History:
        """The transactions it has."""
        return self._history

    @property
    def timeline(self) -> Timeline:
        """The truth's, or one that began with another genesis."""
        timeline = self._truth.timeline
        if self._is_foreign:
            timeline = copy.copy(timeline)
            timeline.genesis_hash = hashlib.sha256(b"foreign" + timeline.genesis_hash).digest()
        return timeline

    @property
    def tip(self) -> Tip:
        """Where each commitment is, as far as it has come."""
        tip = self._truth.tip
        return Tip(
            complete=self._late(tip.complete),
            confirmed=self._late(tip.confirmed),
            finalized=self._late(tip.finalized),
        )

    def bank(self, commitment: Commitment) -> Bank:
        """The bank it has come to."""
        bank = self._truth.bank(commitment)
        return Bank(slot=self._late(bank.slot), newest_block=self._late(bank.newest_block))

    def account(self, address: Pubkey, slot: int) -> Account | None:
        """The account at the slot it has come to, also below the truth's finalized one."""
        if self._is_foreign:
            return None
        if self._lag_slots == 0:
            return self._truth.account(address, slot)
        return self._past().account(address, slot)

    def accounts_of(self, owner: Pubkey, slot: int) -> list[tuple[Pubkey, Account]]:
        """A program's accounts; those that are new since are there, those gone are not."""
        if self._is_foreign:
            return []
        found = ((one, self.account(one, slot)) for one, _ in self._truth.accounts_of(owner, slot))
        return [(one, account) for one, account in found if account and account.owner == owner]

    def precheck(self, transaction: VersionedTransaction, bank: Bank) -> str | None:
        """Another chain knows no blockhash of ours."""
        if self._is_foreign:
            return "BlockhashNotFound"
        return self._truth.precheck(transaction, bank)

    def simulate(
        self, transaction: VersionedTransaction, slot: int, *, verify_signatures: bool
    ) -> tuple[Outcome, dict[Pubkey, Account]]:
        """Execute on trial, in a bank not below the finalized one: older states cannot execute."""
        slot = max(slot, self._truth.tip.finalized)
        return self._truth.simulate(transaction, slot, verify_signatures=verify_signatures)

    def execute(self, transaction: VersionedTransaction, wire: bytes) -> Entry | None:
        """Hand it on to the leader; on another chain it goes nowhere."""
        if self._is_foreign:
            return None
        return self._truth.execute(transaction, wire)

    async def advance_clock(self, seconds: int) -> None:
        """Move the truth's clock."""
        await self._truth.advance_clock(seconds)

    @staticmethod
    def past_of(truth: Cluster) -> Past:
        """The past of a cluster; its journal is shown to nobody else."""
        return Past(truth, truth._state.journal)
