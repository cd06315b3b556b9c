"""The embedded chain without sockets and without a clock: a slot ends when the test says so."""

import dataclasses
import json
import os
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.signature import Signature

from localnet.adversary.cluster_adversary import ClusterAdversary
from localnet.adversary.cluster_faults import ClusterFault
from localnet.cluster import Cluster
from localnet.embedded import quick_settings
from localnet.history import Entry
from localnet.recovery import Directory, recover
from localnet.rpc import Dispatcher, methods_with
from localnet.rpc_send import Faucet
from localnet.seed import genesis, load_or_create_keys
from localnet.settings import Settings
from tests.chain.localnet.calls import Rpc


class DirectRpc(Rpc):
    """JSON-RPC by a function call."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    async def message(self, message: object) -> Any:  # noqa: ANN401
        return json.loads(await self._dispatcher.answer(json.dumps(message).encode()))


@dataclasses.dataclass(kw_only=True)
class ByHand:
    """One chain in a directory; `rpc` answers at once, `end_slots` is the only clock."""

    cluster: Cluster
    directory: Directory
    keys: dict[str, Keypair]
    rpc: DirectRpc
    settings: Settings

    @property
    def mint(self) -> Pubkey:
        return self.settings.mint.address

    def does(self, *faults: ClusterFault, origin_slot: int | None = None) -> ClusterAdversary:
        """Let these happen; their slots count from the open one."""
        origin = self.cluster.slot if origin_slot is None else origin_slot
        adversary = ClusterAdversary(faults, origin_slot=origin)
        self.cluster.adversary = adversary
        return adversary

    async def end_slots(self, count: int) -> None:
        for _ in range(count):
            await self.cluster.end_slot()

    def entry(self, signature: Signature) -> Entry:
        entry = self.cluster.history.get(signature)
        assert entry is not None, f"{signature} is not on the chain"
        return entry

    async def until_finalized(self, *signatures: Signature) -> None:
        for _ in range(200):
            found = [self.cluster.history.get(one) for one in signatures]
            finalized = self.cluster.tip.finalized
            if all(entry is not None and entry.slot <= finalized for entry in found):
                return
            await self.cluster.end_slot()
        raise AssertionError(f"not finalized: {signatures}")

    def killed(self) -> None:
        """Let go of the files as a killed process does: what was written is there."""
        os.close(self.cluster._state.journal._fd)
        self.directory.close()


def settings_by_hand(*, with_program: bool = False, **embedded: int) -> Settings:
    """localnet.toml, no slot skipped but by a fault, finalized 8 behind."""
    settings = quick_settings(Path("localnet.toml"))
    calm = dataclasses.replace(
        settings.embedded, finalized_lag_slots=8, skipped_slot_every=0, slot_time_ms=200
    )
    return dataclasses.replace(
        settings,
        program=settings.program if with_program else None,
        embedded=dataclasses.replace(calm, **embedded),
    )


@contextmanager
def chain_by_hand(place: Path, settings: Settings | None = None) -> Generator[ByHand]:
    """Start (or continue) the chain of a directory; left as a killed process leaves it."""
    settings = settings or settings_by_hand()
    directory = Directory(place / "chain")
    keyring = load_or_create_keys(place / "keys", settings)
    embedded = settings.embedded
    state = recover(
        directory,
        lambda: genesis(settings, keyring),
        embedded.slot_time_ms,
        embedded.finalized_lag_slots + 1,
    )
    cluster = Cluster(state, directory, embedded)

    def fail(error: BaseException) -> None:
        raise error

    methods = methods_with(Faucet(keyring.faucet))
    dispatcher = Dispatcher(cluster, methods, observe=lambda _method, _result: None, fail=fail)
    chain = ByHand(
        cluster=cluster,
        directory=directory,
        keys=keyring.wallets,
        rpc=DirectRpc(dispatcher),
        settings=settings,
    )
    try:
        yield chain
    finally:
        chain.killed()


def signatures(entries: Iterable[dict[str, Any]]) -> list[str]:
    """The signatures of a page."""
    return [entry["signature"] for entry in entries]
