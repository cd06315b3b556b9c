"""One seeded run: the story, and an indexer and a payout worker that live through the faults.

Nothing waits for a clock: a tick of the run is a slot. What asks the chain asks the fleet; the
story itself goes past it. When the faults are over every process begins a new life and may take as
long as it needs, in ticks.
"""

import random
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import cast
from uuid import UUID

import aiohttp
import base58

from indexer import app
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
from localnet.records import Genesis
from localnet.seed import Keys
from localnet.settings import Settings
from settlement import deposits, withdrawals
from settlement.chain.program import Deployment
from settlement.chain.rpc import RetryPolicy, RpcClient, RpcRefused
from settlement.chain.signer import PayerKey
from settlement.clock import SystemClock
from settlement.db.pool import Pool, open_pool, reading, transaction
from settlement.errors import Conflict, Unavailable
from settlement.ledger import accounts, store
from settlement.ledger.operations import Post, TransactionKind, Transfer, Writer
from settlement.money import Lamports, MicroUsdc, Slot
from settlement.payouts import bond_funding
from settlement.payouts.rounds import Rounds
from settlement.payouts.send import Road, SendPolicy
from settlement.payouts.sign import SigningPolicy, sign_waiting
from settlement.payouts.survey import read_till
from settlement.reconcile.frontier import FrontierMoved
from settlement.settings import Address
from settlement.withdrawals import WithdrawalRequest
from tests.chain.indexer.seeded_books import Books, read_books
from tests.chain.indexer.seeded_story import USDC, Senders, Step, beginning, story

CLUSTER = "localnet"
TICKS = 40
_MOST_TICKS = 200
_KILLED, _BUSY = 0.06, 0.5  # how often a tick kills the indexer, and lets a process work
_EARNED_AT = 10
_USER, _OPERATOR = UUID(int=1), UUID(int=2)
_RETRY = RetryPolicy(
    attempts=3, first_pause_seconds=0.0002, longest_pause_seconds=0.001, total_seconds=0.05
)
_AWAY = (Unavailable, RpcRefused, FrontierMoved)
# As always, but for what would wait by the clock.
_PACE = Pace(poll_seconds=0, verify_seconds=0, unreadable_again_seconds=0)
_RULES = Rules(single_source=True)


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What all runs have in common: wallets, program, and the first record of the chain."""

    settings: Settings
    keyring: Keys
    genesis: Genesis
    deployment: Deployment


@dataclass(frozen=True, kw_only=True)
class Pools:
    """A pool in each role."""

    coordinator: Pool
    indexer: Pool
    settlement: Pool
    signer: Pool


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
    dice: random.Random
    urls: tuple[str, ...]
    follower: Follower | None = None
    prober: Prober | None = None
    rounds: Rounds | None = None
    payouts_writer: Writer | None = None
    earned: Writer | None = None
    withdrawn: bool = False
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
            await self._earn_and_withdraw()
            if self.dice.random() < _KILLED:
                self.follower = self.prober = None
            await self._tick()
        self.follower = self.prober = self.rounds = None
        while not await self._is_caught_up():
            await self._earn_and_withdraw()
            await self._tick()
        books = await read_books(self.dsn, self.senders.labels)
        deployment, oracle = self.ground.deployment, self.chain.oracle
        for name, vault in (("till", deployment.till_vault), ("bond", deployment.bond_vault)):
            assert f"chain:{name} | {-oracle.balance(vault)} | 0" in books.balances
        return books

    def _is_troubled(self) -> bool:
        adversary = self.chain.cluster.adversary
        over = adversary is None or getattr(adversary, "is_over", True)
        return self.chain.fleet.slot < TICKS or not over

    async def _enrol(self) -> list[Step]:
        async with transaction(self.pools.coordinator) as tx:
            user_code = await deposits.enroll_user(tx, _USER)
            wallet = str(self.ground.keyring.wallets["operator"].pubkey())
            bond_code = await deposits.enroll_operator(tx, _OPERATOR, wallet)
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
        if self.dice.random() < _BUSY:
            self.frontier = await self._index()
        if self.dice.random() < _BUSY:
            await self._pay()
        # What only waits for a blockhash to die need not be watched slot by slot.
        await self.chain.end_slots(1 if self.ticks < 2 * TICKS else 10)

    async def _is_caught_up(self) -> bool:
        """Whether all is final on chain, and in the books up to a slot after that."""
        if self.senders.waiting or not self.withdrawn:
            return False
        async with reading(self.pools.settlement) as conn:
            payouts = await conn.fetch("select state from settlement.payout")
        # Two withdrawals and the funding of a bond.
        if [row["state"] for row in payouts] != ["paid"] * 3:
            return False
        if self.done_at is None:
            self.done_at = self.chain.cluster.slot
        return self.frontier is not None and self.frontier >= self.done_at

    async def _why_not(self) -> str:
        """What a run that never ends waits for."""
        async with reading(self.pools.settlement) as conn:
            rows = await conn.fetch("select kind, amount, state from settlement.payout")
        payouts = [tuple(row.values()) for row in rows]
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
        except _AWAY:
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
        session = cast("aiohttp.ClientSession", self.chain.session)
        providers = Providers([_provider(url, session) for url in self.urls])
        watched = app.watched_by(settings)
        self.prober = Prober(
            providers,
            program_id=deployment.program_id,
            genesis_hash=base58.b58encode(genesis).decode(),
        )
        genesis_hash = await self.prober.agree()
        await app._claim(settings, genesis_hash, self.pools.indexer, watched)
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

    # Money out

    async def _earn_and_withdraw(self) -> None:
        """The operator earns what the user has deposited, and takes it out."""
        if self.earned is None and self.ticks >= _EARNED_AT:
            async with reading(self.pools.coordinator) as conn:
                found = await store.balance(conn, accounts.user(_USER))
            if found.net_microusdc >= 20 * USDC:
                self.earned = await self._earn(20 * USDC)
        elif self.earned is not None and not self.withdrawn:
            self.withdrawn = True
            for amount in (6 * USDC, 7 * USDC):
                await withdrawals.submit(
                    self.pools.coordinator,
                    self.earned,
                    WithdrawalRequest(
                        provider_id=_OPERATOR,
                        amount_microusdc=amount,
                        destination=str(self.ground.keyring.wallets["operator"].pubkey()),
                    ),
                    deployment=self.ground.deployment,
                    clock=SystemClock(),
                )

    async def _earn(self, amount: int) -> Writer:
        now = SystemClock().now()
        earned = Post(
            transaction_id=UUID(int=3),
            kind=TransactionKind.ADJUSTMENT,
            transfers=(
                Transfer(
                    debit=accounts.user(_USER),
                    credit=accounts.host(_OPERATOR),
                    amount_microusdc=MicroUsdc(amount),
                ),
            ),
            event_at=now,
            effective_on=now.date(),
            actor="test",
        )
        writer = await store.open_writer(self.pools.coordinator, "coordinator")
        async with transaction(self.pools.coordinator) as tx:
            (done,) = await store.apply(tx, writer, [earned])
            assert done.done
        return writer

    async def _pay(self) -> None:
        """The signer, the funding of bonds, and one round of the payout worker."""
        pools, clock = self.pools, SystemClock()
        key = PayerKey(self.ground.keyring.wallets["payer"])
        session = cast("aiohttp.ClientSession", self.chain.session)
        rpc = RpcClient([URL], session, retry=_RETRY)
        road = Road(
            pool=pools.settlement,
            chain=rpc,
            deployment=self.ground.deployment,
            payer=key.address,
            clock=clock,
            policy=SendPolicy(resend_after=timedelta(0)),
        )
        if self.rounds is None:
            self.rounds = Rounds(road, lowest_payer_lamports=Lamports(1_000_000))
            self.payouts_writer = await store.open_writer(pools.settlement, "settlement")
        assert self.payouts_writer is not None
        policy = SigningPolicy(deployment=self.ground.deployment)
        try:
            await sign_waiting(pools.signer, key, policy=policy, clock=clock)
            if await bond_funding.anybody_waits(pools.settlement, clock=clock):
                till = await read_till(rpc, self.ground.deployment)
                await bond_funding.fund_pending(
                    pools.settlement,
                    self.payouts_writer,
                    bond_amount_microusdc=till.bond_amount_microusdc,
                    clock=clock,
                )
            await self.rounds.once()
        except _AWAY:
            return


def _provider(url: str, session: aiohttp.ClientSession) -> Provider:
    rpc = RpcClient([url], session, retry=_RETRY)
    name = url.rsplit("/", 1)[-1]
    return Provider(
        name=name,
        rpc=rpc,
        experience=rpc.nodes[0].experience,
        distrust=frozenset({Distrust.NOT_PROBED}),
    )


@asynccontextmanager
async def _pools(dsn: str) -> AsyncGenerator[Pools]:
    async with AsyncExitStack() as stack:
        made: dict[str, Pool] = {}
        for role in ("coordinator", "indexer", "settlement", "signer"):
            made[role] = await open_pool(dsn, role=f"pod_{role}", application=role, size=3)
            stack.callback(made[role].terminate)
        yield Pools(**made)


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
        async with _pools(dsn) as pools:
            run = Run(
                ground=ground,
                dsn=dsn,
                pools=pools,
                chain=chain.begin(script),
                senders=senders,
                dice=random.Random(f"lives {script.seed}"),
                urls=(URL,) if balanced else each,
            )
            return await run.live()
