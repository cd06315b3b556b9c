"""One seeded run: the story, and an indexer and a payout worker that live through the faults.

Nothing waits for a clock: a tick of the run is a slot. What asks the chain asks the fleet; the
story itself goes past it. Now and then a process dies at one of its calls.
When the faults are over every process begins a new life and may take as long as it needs, in
ticks.
"""

import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import aiohttp
import base58

from indexer import app
from indexer import store as claims
from indexer.config import IndexerSettings
from indexer.decode import Watch
from indexer.follow import Follower, Pace
from indexer.hydration import Rules
from indexer.metrics import Meters
from indexer.probes import Prober
from indexer.providers import Distrust, Provider, Providers
from localnet.adversary.faults import CallFault, Fault, Script, SocketFault
from localnet.adversary.in_process import URL
from localnet.adversary.manual import ManualChain, manual_chain
from localnet.adversary.schedule import script_of_seed
from settlement import deposits
from settlement.chain.rpc import RpcClient
from settlement.db.pool import transaction
from settlement.errors import Conflict
from settlement.ledger import store
from settlement.money import Slot
from settlement.settings import Address
from tests.chain.indexer.seeded_books import Books, read_books
from tests.chain.indexer.seeded_death import Killed, MortalSession
from tests.chain.indexer.seeded_ground import (
    AWAY,
    CLUSTER,
    OPERATOR,
    RETRY,
    USER,
    Ground,
    Pools,
    pools_of,
)
from tests.chain.indexer.seeded_money_out import MoneyOut
from tests.chain.indexer.seeded_story import Senders, Step, beginning, story

TICKS = 40
_MOST_TICKS = 200
_KILLED, _BUSY = 0.1, 0.5  # how often a tick brings death near, and lets a process work
# As always, but for what would wait by the clock.
_PACE = Pace(poll_seconds=0, verify_seconds=0, unreadable_again_seconds=0)
_RULES = Rules(single_source=True)


def script_for(seed: int) -> Script:
    """The faults of a seed, but for what only costs time and what nobody would set up."""
    script = script_of_seed(seed, slots=TICKS)
    kept = [_quick(fault) for fault in script.faults if not isinstance(fault, SocketFault)]
    if _is_balanced(seed):
        # Nobody puts nodes of two chains behind one address.
        kept = [one for one in kept if getattr(one, "kind", "") != "foreign-chain"]
    return replace(script, faults=tuple(kept))


def _is_balanced(seed: int) -> bool:
    """Every other seed puts all backends behind one address."""
    return seed % 2 == 0


async def played_seed(ground: Ground, dsn: str, path: Path, seed: int) -> Books:
    """The books after a run under a seed's faults."""
    return await played(ground, dsn, path, script_for(seed), balanced=_is_balanced(seed))


def _quick(fault: Fault) -> Fault:
    """A client does as Retry-After says, by its own clock."""
    if isinstance(fault, CallFault) and fault.kind == "http-429":
        return replace(fault, retry_after_seconds=0)
    return fault


@dataclass(kw_only=True)
class Run:
    """One run of the story."""

    ground: Ground
    dsn: str
    pools: Pools
    chain: ManualChain
    senders: Senders
    session: MortalSession
    money_out: MoneyOut
    dice: random.Random
    urls: tuple[str, ...]
    follower: Follower | None = None
    prober: Prober | None = None
    ticks: int = 0
    frontier: Slot | None = None
    done_at: int | None = None

    async def live(self) -> Books:
        """Play everything to its end, and say what is in the books then."""
        steps = await self._enrol()
        while self.ticks < TICKS or self._is_troubled():
            for step in steps:
                if step.at == self.ticks:
                    self.senders.send(step)
            await self.money_out.ask(self.ticks)
            if self.chain.fleet.script.faults and self.dice.random() < _KILLED:
                self.session.doom(self.dice)
            await self._tick()
        self.session.calls_left = None
        self._die()
        while not await self._is_caught_up():
            await self.money_out.ask(self.ticks)
            await self._tick()
        books = await read_books(self.dsn, self.senders.labels)
        deployment, oracle = self.ground.deployment, self.chain.oracle
        for name, vault in (("till", deployment.till_vault), ("bond", deployment.bond_vault)):
            assert f"chain:{name} | {-oracle.balance(vault)} | 0" in books.balances
        return books

    def _die(self) -> None:
        self.follower = self.prober = None
        self.money_out.die()

    def _is_troubled(self) -> bool:
        adversary = self.chain.cluster.adversary
        over = adversary is None or getattr(adversary, "is_over", True)
        return self.chain.fleet.slot < TICKS or not over

    async def _enrol(self) -> list[Step]:
        async with transaction(self.pools.coordinator) as tx:
            user_code = await deposits.enroll_user(tx, USER)
            wallet = str(self.ground.keyring.wallets["operator"].pubkey())
            bond_code = await deposits.enroll_operator(tx, OPERATOR, wallet)
        return story(
            self.ground.deployment,
            self.ground.keyring.wallets,
            user_code=user_code,
            bond_code=bond_code.encode(),
        )

    async def _tick(self) -> None:
        self.ticks += 1
        assert self.ticks < _MOST_TICKS, await self._why_not()
        self.senders.tick()
        try:
            if self.dice.random() < _BUSY:
                self.frontier = await self._index()
            if self.dice.random() < _BUSY:
                await self.money_out.round()
        except Killed:
            self._die()
        # What only waits for a blockhash to die need not be watched slot by slot.
        await self.chain.end_slots(1 if self.ticks < 2 * TICKS else 10)

    async def _is_caught_up(self) -> bool:
        """Whether all is final on chain, and in the books up to a slot after that."""
        if self.senders.waiting or not await self.money_out.is_done():
            return False
        if self.done_at is None:
            self.done_at = self.chain.cluster.slot
        return self.frontier is not None and self.frontier >= self.done_at

    async def _why_not(self) -> str:
        """What a run that never ends waits for."""
        payouts = await self.money_out.states()
        return (
            f"not caught up: still to land {sorted(self.senders.waiting)}, payouts {payouts},"
            f" frontier {self.frontier} of {self.done_at}"
        )

    # The indexer

    async def _index(self) -> Slot | None:
        """One round; how far it got, or None when something was away."""
        try:
            if self.follower is None:
                await self._begin_life()
            assert self.follower is not None
            assert self.prober is not None
            self.prober._again.clear()  # it would wait by the clock
            await self.prober.look_once()
            return (await self.follower.round()).frontier
        except AWAY:
            return None
        except Conflict:
            # Every provider that answers serves another chain: that ends a process.
            self.follower = self.prober = None
            return None

    async def _begin_life(self) -> None:
        deployment, genesis = self.ground.deployment, self.chain.cluster.timeline.genesis_hash
        payer = self.ground.keyring.wallets["payer"].pubkey()
        settings = IndexerSettings(
            database_url=self.dsn,
            rpc_urls=self.urls,
            ws_url=None,
            cluster=CLUSTER,
            deployment=deployment,
            payer=payer,
            status=Address(host="127.0.0.1", port=0),
            log_level="WARNING",
            pace=_PACE,
            rules=_RULES,
        )
        session = cast("aiohttp.ClientSession", self.session)
        providers = Providers([_provider(url, session) for url in self.urls])
        watched = app.watched_by(settings)
        self.prober = Prober(
            providers,
            program_id=deployment.program_id,
            genesis_hash=base58.b58encode(genesis).decode(),
        )
        genesis_hash = await self.prober.agree()
        async with transaction(self.pools.indexer) as tx:
            await claims.claim_cluster(
                tx,
                CLUSTER,
                genesis_hash=genesis_hash,
                program_id=deployment.program_id,
                mint=deployment.mint,
            )
            addresses = {str(one.address): one.purpose for one in watched}
            await claims.watch(tx, CLUSTER, addresses)
        self.follower = Follower(
            providers=providers,
            pool=self.pools.indexer,
            writer=await store.open_writer(self.pools.indexer, app.WRITER),
            watch=Watch(cluster=CLUSTER, deployment=deployment),
            watched=watched,
            pace=_PACE,
            rules=_RULES,
            meters=Meters(),
        )


def _provider(url: str, session: aiohttp.ClientSession) -> Provider:
    rpc = RpcClient([url], session, retry=RETRY)
    name = url.rsplit("/", 1)[-1]
    return Provider(
        name=name,
        rpc=rpc,
        experience=rpc.nodes[0].experience,
        distrust=frozenset({Distrust.NOT_PROBED}),
    )


async def played(
    ground: Ground, dsn: str, path: Path, script: Script, *, balanced: bool = True
) -> Books:
    """The books after a run under these faults.

    `balanced`: the indexer has one URL with all backends behind it, else one for each of them.
    """
    each = tuple(f"{URL}/backend/{name}" for name in script.backends)
    with manual_chain(
        ground.settings, Script(), data=path, keyring=ground.keyring, start=lambda: ground.genesis
    ) as chain:
        senders = Senders(chain=chain, keyring=ground.keyring)
        senders.send(beginning(ground.deployment, ground.keyring.wallets))
        while senders.waiting:
            senders.tick()
            await chain.end_slots()
        async with pools_of(dsn) as pools:
            begun = chain.begin(script)
            session = MortalSession(session=begun.session)
            run = Run(
                ground=ground,
                dsn=dsn,
                pools=pools,
                chain=begun,
                session=session,
                money_out=MoneyOut(ground=ground, pools=pools, session=session),
                senders=senders,
                dice=random.Random(f"lives {script.seed}"),
                urls=(URL,) if balanced else each,
            )
            return await run.live()
