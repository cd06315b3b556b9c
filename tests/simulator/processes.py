"""The processes of the road in a simulated story: worker, signer, indexer, and the people's API.

Each is what its `app` puts together, over a pool and a session that may die at any step. A process
that died keeps nothing; the next step begins it again.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import cast

import aiohttp
from solders.keypair import Keypair

from localnet.adversary.in_process import URL, InProcessSession
from settlement.chain.program import Deployment
from settlement.chain.rpc import RpcClient
from settlement.keys.file import FileKey
from settlement.ledger import store
from settlement.ledger.operations import Writer
from settlement.money import Lamports
from settlement.payouts.policy import SigningPolicy
from settlement.payouts.road import Road, SendPolicy
from settlement.payouts.rounds import Rounds
from settlement.payouts.sign import Signer, sign_waiting
from tests.chain.indexer.seeded_ground import AWAY, CLUSTER, RETRY, Pools
from tests.simulator.death import Fuse, MortalSession, Stopped, mortal_pool


@dataclass
class StoryClock:
    """Moves when the story does."""

    at: datetime

    def now(self) -> datetime:
        return self.at

    def forward(self, by: timedelta) -> None:
        self.at += by


@dataclass(kw_only=True)
class Signing:
    """The signer's process, with the key it was started with."""

    deployment: Deployment
    pools: Pools
    clock: StoryClock
    key: Keypair
    fuse: Fuse
    _signer: Signer | None = field(default=None, init=False)

    def die(self) -> None:
        self._signer = None

    async def step(self) -> None:
        if self._signer is None:
            self._signer = Signer(
                pool=mortal_pool(self.pools.signer, self.fuse),
                key=FileKey(self.key),
                policy=SigningPolicy(deployment=self.deployment),
                clock=self.clock,
            )
        await sign_waiting(self._signer)


@dataclass(kw_only=True)
class Working:
    """The payout worker's process."""

    deployment: Deployment
    pools: Pools
    session: InProcessSession
    clock: StoryClock
    key: Keypair
    fuse: Fuse
    nudged: Signing | None  # who is told that something waits
    batch_from: int
    _rounds: Rounds | None = field(default=None, init=False)

    def die(self) -> None:
        self._rounds = None

    async def step(self) -> None:
        if self._rounds is None:
            session = cast("aiohttp.ClientSession", MortalSession(self.session, self.fuse))
            road = Road(
                pool=mortal_pool(self.pools.settlement, self.fuse),
                chain=RpcClient([URL], session, retry=RETRY),
                cluster=CLUSTER,
                deployment=self.deployment,
                payer=self.key.pubkey(),
                clock=self.clock,
                policy=SendPolicy(largest_batch=3, batch_from=self.batch_from),
            )
            await store.open_writer(road.pool, "settlement")
            self._rounds = Rounds(
                road, lowest_payer_lamports=Lamports(1_000_000), nudge=self._nudge
            )
        try:
            await self._rounds.once()
        except AWAY:
            return

    async def _nudge(self) -> None:
        """A signer that dies of it is not heard of again in this round."""
        if self.nudged is None:
            return
        try:
            await self.nudged.step()
        except Stopped:
            if self.fuse.is_burned:
                raise
            self.nudged.fuse.left = None
            self.nudged.die()


@dataclass(kw_only=True)
class Serving:
    """The process that people's requests reach."""

    pools: Pools
    fuse: Fuse
    writer: Writer | None = None

    def die(self) -> None:
        self.writer = None

    async def begin(self) -> Writer:
        if self.writer is None:
            self.writer = await store.open_writer(self.pools.coordinator, "coordinator")
        return self.writer
