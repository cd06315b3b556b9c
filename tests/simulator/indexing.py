"""The real indexer, one round at a time, in a process that may die."""

from dataclasses import dataclass, field
from typing import Final, cast

import aiohttp
import base58
from solders.pubkey import Pubkey

from indexer import app
from indexer import store as claims
from indexer.config import IndexerSettings
from indexer.decode import Watch
from indexer.follow import Follower, Pace
from indexer.hydration import Rules
from indexer.metrics import Meters
from indexer.probes import Prober
from indexer.providers import Distrust, Provider, Providers
from localnet.adversary.in_process import URL, InProcessSession
from settlement.chain.program import Deployment
from settlement.chain.rpc import RpcClient
from settlement.db.pool import Pool, transaction
from settlement.errors import Conflict
from settlement.ledger import store
from settlement.money import Slot
from settlement.settings import Address
from tests.chain.indexer.seeded_ground import AWAY, CLUSTER, RETRY
from tests.simulator.death import Fuse, MortalSession, mortal_pool

# As always, but for what would wait by the clock.
_PACE: Final = Pace(poll_seconds=0, verify_seconds=0, unreadable_again_seconds=0)
_RULES: Final = Rules(single_source=True)


@dataclass(kw_only=True)
class Indexing:
    """An indexer's process: lives until it is stopped, and begins again from the database."""

    deployment: Deployment
    payer: Pubkey
    pool: Pool
    session: InProcessSession
    genesis_hash: bytes
    fuse: Fuse
    frontier: Slot | None = None
    _follower: Follower | None = field(default=None, init=False)
    _prober: Prober | None = field(default=None, init=False)

    def die(self) -> None:
        """Nothing is left but the database."""
        self._follower = self._prober = None

    async def step(self) -> None:
        """One round; what is away is asked again in the next."""
        try:
            if self._follower is None:
                await self._begin()
            assert self._follower is not None
            assert self._prober is not None
            self._prober._again.clear()  # it would wait by the clock
            await self._prober.look_once()
            self.frontier = (await self._follower.round()).frontier
        except AWAY:
            return
        except Conflict:
            self.die()  # another chain: that ends a process

    async def _begin(self) -> None:
        pool = mortal_pool(self.pool, self.fuse)
        settings = IndexerSettings(
            database_url="",
            rpc_urls=(URL,),
            ws_url=None,
            cluster=CLUSTER,
            deployment=self.deployment,
            payer=self.payer,
            status=Address(host="127.0.0.1", port=0),
            log_level="WARNING",
            pace=_PACE,
            rules=_RULES,
        )
        session = cast("aiohttp.ClientSession", MortalSession(self.session, self.fuse))
        rpc = RpcClient([URL], session, retry=RETRY)
        one = Provider(
            name="fleet",
            rpc=rpc,
            experience=rpc.nodes[0].experience,
            distrust=frozenset({Distrust.NOT_PROBED}),
        )
        providers, watched = Providers([one]), app.watched_by(settings)
        prober = Prober(
            providers,
            program_id=self.deployment.program_id,
            genesis_hash=base58.b58encode(self.genesis_hash).decode(),
        )
        genesis_hash = await prober.agree()
        async with transaction(pool) as tx:
            await claims.claim_cluster(
                tx,
                CLUSTER,
                genesis_hash=genesis_hash,
                program_id=self.deployment.program_id,
                mint=self.deployment.mint,
            )
            await claims.watch(tx, CLUSTER, {str(at.address): at.purpose for at in watched})
        self._follower = Follower(
            providers=providers,
            pool=pool,
            writer=await store.open_writer(pool, app.WRITER),
            watch=Watch(cluster=CLUSTER, deployment=self.deployment),
            watched=watched,
            pace=_PACE,
            rules=_RULES,
            meters=Meters(),
        )
        self._prober = prober
