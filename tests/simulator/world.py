"""One simulated story from its first tick until everything has ended, and what must hold then.

Nothing waits for a clock: a tick is some slots of the chain and as many seconds of the processes'
clock. While the story lasts chain and nodes misbehave and processes die; afterwards everything gets
as much time as it needs, in ticks.
"""

import contextlib
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

import asyncpg
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair

from localnet.adversary.faults import CallFault, Fault, Script, SocketFault
from localnet.adversary.manual import ManualChain, manual_chain
from localnet.adversary.schedule import script_of_seed
from settlement import withdrawals
from settlement.chain import program
from settlement.chain.abi import Role
from settlement.clock import SystemClock
from settlement.db.pool import Pool, open_pool, reading, transaction
from settlement.errors import Conflict
from settlement.ledger import store
from settlement.payouts import decide
from settlement.payouts.states import FINAL, PayoutState
from settlement.withdrawals import WithdrawalRequest
from tests.chain.indexer.seeded_ground import Pools, pools_of
from tests.chain.indexer.seeded_story import Senders, Step
from tests.chain.localnet.calls import send_sol
from tests.simulator.death import Fuse, Stopped, mortal_pool
from tests.simulator.ground import OPERATORS, Ground, copied
from tests.simulator.indexing import Indexing
from tests.simulator.people import Freeze, Story, Wish
from tests.simulator.processes import Serving, Signing, StoryClock, Working

TICKS: Final = 16
_MOST_TICKS: Final = 140
_LATEST_DEATH: Final = 45  # steps from now
# How often a tick of the story lets a process work.
_BUSY: Final = {"working": 0.7, "signing": 0.6, "indexing": 0.3}
_TWO_DAYS_SECONDS: Final = 172_800


def script_for(story: Story) -> Script:
    """The faults of chain and nodes in a story."""
    if story.is_calm:
        return Script(seed=story.seed)
    script = script_of_seed(story.seed, slots=TICKS)
    kept = [_quick(one) for one in script.faults if not isinstance(one, SocketFault)]
    # Nobody puts nodes of two chains behind one address.
    kept = [one for one in kept if getattr(one, "kind", "") != "foreign-chain"]
    return replace(script, faults=tuple(kept))


def _quick(fault: Fault) -> Fault:
    """A client does as Retry-After says, by its own clock."""
    if isinstance(fault, CallFault) and fault.kind == "http-429":
        return replace(fault, retry_after_seconds=0)
    return fault


@dataclass(kw_only=True)
class Simulation:
    """A story that is being played."""

    ground: Ground
    story: Story
    dsn: str
    pools: Pools
    finance: Pool
    chain: ManualChain
    senders: Senders
    clock: StoryClock
    fuses: dict[str, Fuse]
    indexing: Indexing
    signing: Signing
    working: Working
    serving: Serving
    dice: random.Random
    ids: dict[str, UUID] = field(default_factory=dict[str, UUID])
    tick: int = 0
    new_key: Keypair | None = None
    key_steps: list[str] = field(default_factory=list[str])

    async def play(self) -> None:
        """Everything, until it has ended."""
        while self.tick < TICKS or self._is_troubled():
            self._people_act_on_chain()
            await self._key_changes()
            for wish in self.story.wishes:
                await self._pursue(wish)
            await self._everybody_works()
            await self._time_passes(1)
        for fuse in self.fuses.values():
            fuse.left = None
        self.everybody_dies()
        while not await self.has_ended():
            assert self.tick < _MOST_TICKS, f"it does not end: {await self._payouts()}"
            await self._key_changes()
            for wish in self.story.wishes:
                await self._pursue(wish)
            for process in (self.working, self.signing, self.working, self.indexing):
                await process.step()
            await self._time_passes(10)

    def everybody_dies(self) -> None:
        """All processes begin again."""
        for process in (self.working, self.signing, self.indexing, self.serving):
            process.die()

    async def _everybody_works(self) -> None:
        names = list(_BUSY)
        self.dice.shuffle(names)
        for name in names:
            if self.dice.random() < _BUSY[name]:
                await self._lives(name, getattr(self, name).step)

    async def _lives(self, name: str, step: Callable[[], Awaitable[None]]) -> None:
        """Let a process take a step, or die of it."""
        fuse = self.fuses[name]
        if fuse.left is None and self.dice.random() < self.story.deaths:
            fuse.left = self.dice.randint(1, _LATEST_DEATH)
        try:
            await step()
        except Stopped:
            for other, burned in self.fuses.items():
                if burned.is_burned:
                    burned.left = None
                    getattr(self, other).die()

    async def _time_passes(self, slots: int) -> None:
        self.tick += 1
        self.senders.tick()
        self.clock.forward(timedelta(seconds=3))
        await self.chain.end_slots(slots)

    def _is_troubled(self) -> bool:
        adversary = self.chain.cluster.adversary
        over = adversary is None or getattr(adversary, "is_over", True)
        return self.chain.fleet.slot < TICKS or not over

    # People

    def _people_act_on_chain(self) -> None:
        for freeze in self.story.freezes:
            if freeze.at == self.tick:
                self.senders.send(self.frozen(freeze, is_frozen=True))
            if freeze.thawed_at == self.tick:
                self.senders.send(self.frozen(freeze, is_frozen=False))

    def frozen(self, freeze: Freeze, *, is_frozen: bool) -> Step:
        """The token account is opened if need be, and frozen or thawed."""
        mint, wallets = self.ground.deployment.mint, self.ground.keyring.wallets
        owner, authority = freeze.wallet.pubkey(), wallets["mint-authority"].pubkey()
        account = program.associated_token_address(owner, mint)
        opened = program.create_associated_token_account(funder=authority, owner=owner, mint=mint)
        metas = [
            AccountMeta(account, is_signer=False, is_writable=True),
            AccountMeta(mint, is_signer=False, is_writable=False),
            AccountMeta(authority, is_signer=True, is_writable=False),
        ]
        changed = Instruction(program.TOKEN_PROGRAM, bytes([10 if is_frozen else 11]), metas)
        return Step(
            label=f"{'freeze' if is_frozen else 'thaw'} {owner}",
            at=self.tick,
            instructions=[opened, changed],
            signer="mint-authority",
        )

    async def _key_changes(self) -> None:
        """The payer's role is promised to a new key, and taken up two days later."""
        at = self.story.key_changed_at
        if at is None or self.tick < at or self.senders.waiting:
            return
        admin = self.ground.keyring.wallets["admin"]
        if not self.key_steps:
            self.new_key = Keypair.from_seed(random.Random(f"key {self.story.seed}").randbytes(32))
            promised = program.GrantRole(
                admin=admin.pubkey(), role=Role.PAYER, holder=self.new_key.pubkey()
            )
            self._by_admin("promise", send_sol(admin, self.new_key.pubkey()), promised)
        elif self.key_steps == ["promise"]:
            await self.chain.cluster.advance_clock(_TWO_DAYS_SECONDS + 60)
            self.clock.forward(timedelta(seconds=_TWO_DAYS_SECONDS))
            self._by_admin("apply", program.ApplyRole())
        elif self.key_steps == ["promise", "apply"]:
            assert self.new_key is not None
            self.key_steps.append("restart")
            for process in (self.signing, self.working):
                process.key = self.new_key
            self.indexing.payer = self.new_key.pubkey()
            self.everybody_dies()

    def _by_admin(self, label: str, *steps: object) -> None:
        self.key_steps.append(label)
        made = [
            step if isinstance(step, Instruction) else program.build(self.ground.deployment, step)  # pyright: ignore[reportArgumentType]
            for step in steps
        ]
        self.senders.send(Step(label=label, at=self.tick, instructions=made, signer="admin"))

    async def _pursue(self, wish: Wish) -> None:
        """Do what is due for a withdrawal, and again what was not heard to be done."""
        if wish.at <= self.tick and wish.name not in self.ids:
            await self._lives("serving", lambda: self._ask(wish))
        payout_id = self.ids.get(wish.name)
        if payout_id is None:
            return
        due = (
            (wish.cancelled_at, lambda: self._cancel(wish, payout_id)),
            (wish.given_up_at, lambda: self._give_up(payout_id)),
        )
        for at, act in due:
            if at == self.tick:
                await self._lives("serving", act)
        if wish.approved_at <= self.tick:
            await self._lives("serving", lambda: self._approve(payout_id))

    async def _ask(self, wish: Wish) -> None:
        writer = await self.serving.begin()
        found = await withdrawals.submit(
            mortal_pool(self.pools.coordinator, self.serving.fuse),
            writer,
            WithdrawalRequest(
                provider_id=OPERATORS[wish.operator],
                amount_microusdc=wish.amount_microusdc,
                destination=str(wish.wallet.pubkey()),
                idempotency_key=wish.name,
            ),
            deployment=self.ground.deployment,
            clock=self.clock,
        )
        self.ids[wish.name] = found.withdrawal_id

    async def _cancel(self, wish: Wish, payout_id: UUID) -> None:
        writer = await self.serving.begin()
        try:
            async with transaction(mortal_pool(self.pools.coordinator, self.serving.fuse)) as tx:
                _, operations = await withdrawals.cancel(
                    tx, payout_id, owner_id=OPERATORS[wish.operator], reason="changed my mind"
                )
                if operations:
                    done = await store.apply(tx, writer, operations)
                    assert all(each.done for each in done)
        except Conflict:
            return  # too late

    async def _give_up(self, payout_id: UUID) -> None:
        try:
            async with transaction(mortal_pool(self.pools.settlement, self.serving.fuse)) as tx:
                await decide.burn(tx, payout_id, reason="given up")
        except Conflict:
            return  # it has no number, or is over

    async def _approve(self, payout_id: UUID) -> None:
        for person in ("Ada", "Bob"):  # large ones need two
            with contextlib.suppress(Conflict):  # approved already, or over
                async with transaction(mortal_pool(self.finance, self.serving.fuse)) as tx:
                    await decide.approve(tx, payout_id, by=person, now=self.clock.now())

    # The end

    async def _payouts(self) -> list[tuple[object, ...]]:
        async with reading(self.pools.settlement) as conn:
            rows = await conn.fetch(
                "select p.payout_id, p.state, p.sequence, p.skip_reason, m.refusal, m.problem"
                " from settlement.payout p left join settlement.payout_attempt a"
                " on a.payout_id = p.payout_id and a.closed_at is null"
                " left join settlement.payout_message m using (message_id)"
            )
        return [tuple(row.values()) for row in rows]

    async def has_ended(self) -> bool:
        """Whether everything asked for is over, in the books too."""
        asked = all(wish.name in self.ids for wish in self.story.wishes)
        changing = self.story.key_changed_at is not None and self.key_steps[-1:] != ["restart"]
        if self.senders.waiting or changing or not asked:
            return False
        async with reading(self.pools.settlement) as conn:
            rows = await conn.fetch("select state from settlement.payout")
        return all(PayoutState(row["state"]) in FINAL for row in rows)

    async def rows(self, query: str) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.dsn)
        try:
            return await connection.fetch(query)
        finally:
            await connection.close()


@asynccontextmanager
async def finance_of(dsn: str) -> AsyncGenerator[Pool]:
    """Connected as the people who approve."""
    pool = await open_pool(dsn, role="pod_finance", application="finance", size=1)
    try:
        yield pool
    finally:
        pool.terminate()


@asynccontextmanager
async def simulated(
    ground: Ground, dsn: str, path: Path, story: Story, script: Script, *, one_fuse: bool = False
) -> AsyncGenerator[Simulation]:
    """A story at its first tick. With `one_fuse`, everybody dies together."""
    with manual_chain(
        ground.settings,
        Script(),
        data=copied(ground, path),
        keyring=ground.keyring,
        start=ground.start,
    ) as before:
        async with pools_of(dsn) as pools, finance_of(dsn) as finance:
            chain = before.begin(script)
            shared = Fuse()
            names = ("working", "signing", "indexing", "serving")
            fuses = {name: shared if one_fuse else Fuse() for name in names}
            deployment, key = ground.deployment, ground.keyring.wallets["payer"]
            clock = StoryClock(SystemClock().now())
            signing = Signing(
                deployment=deployment, pools=pools, clock=clock, key=key, fuse=fuses["signing"]
            )
            yield Simulation(
                ground=ground,
                story=story,
                dsn=dsn,
                pools=pools,
                finance=finance,
                chain=chain,
                senders=Senders(chain=chain, keyring=ground.keyring),
                clock=clock,
                fuses=fuses,
                indexing=Indexing(
                    deployment=deployment,
                    payer=key.pubkey(),
                    pool=pools.indexer,
                    session=chain.session,
                    genesis_hash=chain.cluster.timeline.genesis_hash,
                    fuse=fuses["indexing"],
                ),
                signing=signing,
                working=Working(
                    deployment=deployment,
                    pools=pools,
                    session=chain.session,
                    clock=clock,
                    key=key,
                    fuse=fuses["working"],
                    nudged=signing if story.is_nudged else None,
                    batch_from=story.batch_from,
                ),
                serving=Serving(pools=pools, fuse=fuses["serving"]),
                dice=random.Random(f"lives {story.seed}"),
            )
