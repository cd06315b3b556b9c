"""Accounts as they were at any slot, also below the finalized one, read from the journal.

A node keeps only the newest state; the journal keeps what every transaction wrote. So a backend
that lags, and an oracle, can say what an account was: what its last writer before wrote.
"""

from solders.account import Account
from solders.pubkey import Pubkey

from localnet.cluster import Cluster
from localnet.journal import Journal
from localnet.records import Genesis, load, unpack_record


class Past:
    """The states of a chain that were."""

    def __init__(self, cluster: Cluster, journal: Journal) -> None:
        """`journal` is the cluster's own."""
        self._cluster = cluster
        genesis = unpack_record(journal.read(0))
        assert isinstance(genesis, Genesis)
        self._genesis = dict(genesis.accounts)

    def account(self, address: Pubkey, slot: int) -> Account | None:
        """The account after everything in the blocks up to this slot."""
        cluster = self._cluster
        if slot >= cluster.tip.finalized:
            return cluster.account(address, slot)
        key = bytes(address)
        named = cluster.history.for_address(address, up_to_slot=slot, before=None, after=None)
        for entry in named:
            for written, stored in cluster.landed(entry).writes:
                if written == key:
                    return load(stored)
        if key in self._genesis:
            return load(self._genesis[key])
        return self._never_written(address)

    def _never_written(self, address: Pubkey) -> Account | None:
        """What the engine itself has, unless a later transaction has made it."""
        cluster = self._cluster
        later = cluster.history.for_address(
            address, up_to_slot=cluster.slot, before=None, after=None
        )
        writes = (cluster.landed(entry).writes for entry in later)
        if any(key == bytes(address) for written in writes for key, _ in written):
            return None
        return cluster.account(address, cluster.slot)
