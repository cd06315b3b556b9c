"""The chain and its fleet inside a test: no sockets, and slots end when the test says so.

    with manual_chain(settings, script, data=path / "chain", keyring=keyring, start=genesis) as it:
        it.execute(transaction)
        await it.end_slots(10)
        rpc = RpcClient([URL], it.session)

A chain that begins with the same genesis record, and is told the same, is the same byte for byte.
"""

import contextlib
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from solders.hash import Hash
from solders.transaction import VersionedTransaction

from localnet.adversary.faults import Script
from localnet.adversary.fleet import Fleet
from localnet.adversary.in_process import InProcessSession
from localnet.adversary.oracle import Oracle
from localnet.cluster import Cluster
from localnet.history import Entry
from localnet.records import Genesis
from localnet.recovery import Directory, recover
from localnet.rpc import Method, methods_with
from localnet.rpc_send import Faucet
from localnet.seed import Keys
from localnet.settings import Settings


@dataclass(frozen=True, kw_only=True)
class ManualChain:
    """A cluster whose clock is the test's, the fleet that answers for it, and what is true."""

    cluster: Cluster
    fleet: Fleet
    oracle: Oracle
    session: InProcessSession
    methods: Mapping[str, Method]

    def begin(self, script: Script) -> "ManualChain":
        """The same chain under another script, whose slots count from now."""
        fleet = Fleet(self.cluster, self.methods, script, observe=_nobody, fail=_fail)
        return replace(self, fleet=fleet, session=InProcessSession(fleet))

    async def end_slots(self, count: int = 1) -> None:
        """Let this many blocks be made."""
        for _ in range(count):
            await self.cluster.end_slot()

    def blockhash(self) -> Hash:
        """The newest blockhash, whatever any backend says."""
        newest = self.cluster.bank("processed").newest_block
        return Hash.from_bytes(self.cluster.timeline.blockhash(newest))

    def execute(self, transaction: VersionedTransaction) -> Entry | None:
        """Land a transaction in the open slot, past every backend."""
        return self.cluster.execute(transaction, bytes(transaction))


@contextlib.contextmanager
def manual_chain(
    settings: Settings, script: Script, *, data: Path, keyring: Keys, start: Callable[[], Genesis]
) -> Generator[ManualChain]:
    """Start the chain in an empty directory; `start` makes its first record."""
    embedded = settings.embedded
    directory = Directory(data)
    try:
        state = recover(directory, start, embedded.slot_time_ms, embedded.finalized_lag_slots + 1)
        cluster = Cluster(state, directory, embedded)
        methods = methods_with(Faucet(keyring.faucet))
        fleet = Fleet(cluster, methods, script, observe=_nobody, fail=_fail)
        yield ManualChain(
            cluster=cluster,
            fleet=fleet,
            oracle=Oracle(cluster),
            session=InProcessSession(fleet),
            methods=methods,
        )
        state.journal.close()
    finally:
        directory.close()


def _nobody(_method: str, _result: str) -> None:
    """Nobody counts the calls of a test."""


def _fail(error: BaseException) -> None:
    raise error
