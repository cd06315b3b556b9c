"""A day of random business, through the functions that the services use.

Three writers work at once: the coordinator charges requests by group commit, the indexer books what
it sees on chain (in USDC and in SOL), settlement pays out and puts right. A seed decides what is
tried; the books decide what is done.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from random import Random
from uuid import UUID

from settlement.chain.movement import ChainMoment, MovementKey, Vault
from settlement.db.pool import Pool, open_pool, transaction
from settlement.ledger import accounts, postings, store
from settlement.ledger.operations import (
    Capture,
    HoldPurpose,
    Operation,
    Post,
    Void,
    Writer,
)
from settlement.ledger.writer import GroupCommit
from settlement.money import Lamports, MicroUsdc, Slot
from tests import factories
from tests.conftest import Database

_STRANGER = factories.bond_address("stranger")
PAYER = factories.bond_address("payer")
_AMOUNTS = (1, 2, 7, 999, 1_000_000, 25_000_000, 123_456_789)


@dataclass(kw_only=True)
class Day:
    """Who does business, what was tried, and how often something was really done."""

    random: Random
    users: list[UUID]
    providers: list[UUID]
    done: Counter[str] = field(default_factory=Counter[str])
    paid_by_card: list[Post] = field(default_factory=list[Post])
    _slot: int = 1_000

    def id(self) -> UUID:
        """The next id of this seed."""
        return UUID(int=self.random.getrandbits(128), version=4)

    def amount(self) -> MicroUsdc:
        """An amount, small ones too."""
        return MicroUsdc(self.random.choice(_AMOUNTS) + self.random.randrange(1_000))

    def seen(self) -> tuple[MovementKey, ChainMoment]:
        """A movement on chain a little later than the last, now and then across midnight."""
        self._slot += self.random.randrange(1, 9)
        later = timedelta(minutes=9 * (self._slot - 1_000))
        key = MovementKey(cluster="test", signature=f"sig{self.id().hex}", outer=0)
        return key, ChainMoment(slot=Slot(self._slot), block_time=factories.NOW + later)


async def random_day(database: Database, seed: int, steps: int = 60) -> Day:
    """Open the books of a few people and let the three writers work until each had its steps."""
    random = Random(seed)
    day = Day(random=random, users=[], providers=[])
    async with _pool(database, "pod_coordinator") as pool:
        await _people(pool, day)
        indexer = await store.open_writer(pool, "indexer")
        for user in day.users:
            await _apply(pool, indexer, day, [_deposit(day, user, 50_000_000)])
        async with (
            _pool(database, "pod_settlement") as paying,
            asyncio.TaskGroup() as work,
        ):
            settlement = await store.open_writer(paying, "settlement")
            work.create_task(_requests(pool, replace(day, random=Random(seed + 1)), steps))
            work.create_task(_chain(pool, indexer, day, steps))
            work.create_task(
                _payouts(paying, settlement, replace(day, random=Random(seed + 2)), steps)
            )
    return day


@asynccontextmanager
async def _pool(database: Database, role: str) -> AsyncGenerator[Pool]:
    pool = await open_pool(database.dsn, role=role, application="traffic", size=4)
    try:
        yield pool
    finally:
        await pool.close()


async def _people(pool: Pool, day: Day) -> None:
    day.users += [day.id() for _ in range(4)]
    day.providers += [day.id() for _ in range(3)]
    names = [accounts.user(user) for user in day.users]
    for provider in day.providers:
        names += [accounts.host(provider), accounts.bond(provider), accounts.bond_pending(provider)]
    names += [accounts.bond_unenrolled(_STRANGER), accounts.chain_sol(PAYER)]
    async with transaction(pool) as tx:
        for name in names:
            await store.open_account(tx, name)


async def _apply(pool: Pool, writer: Writer, day: Day, operations: Sequence[Operation]) -> None:
    async with transaction(pool) as tx:
        outcomes = await store.apply(tx, writer, operations)
    for operation, outcome in zip(operations, outcomes, strict=True):
        post = operation.post if isinstance(operation, Capture) else operation
        name = post.kind.value if isinstance(post, Post) else type(operation).__name__
        if outcome.done:
            day.done[name] += 1


async def _requests(pool: Pool, day: Day, steps: int) -> None:
    """Paid requests, some at no price, some given up, several under way at once."""
    writer = await store.open_writer(pool, "coordinator")
    async with GroupCommit(pool, writer) as group:
        leases = {user: await _lease(group, user) for user in day.users[:2]}
        for _ in range(steps // 4):
            await asyncio.gather(*(_request(group, day, leases) for _ in range(4)))
        for lease in leases.values():
            await group.submit(Void(hold_id=lease, reason="the session ended"))


async def _lease(group: GroupCommit, user: UUID) -> UUID:
    lease = factories.hold(accounts.user(user), 1_000_000, purpose=HoldPurpose.LEASE)
    assert (await group.submit(lease)).done
    return lease.hold_id


async def _request(group: GroupCommit, day: Day, leases: Mapping[UUID, UUID]) -> None:
    """From the user's lease, from a hold of its own, or from what is available."""
    user, provider = day.random.choice(day.users), day.random.choice(day.providers)
    held, way = day.amount(), day.random.choice(("lease", "hold", "hold", "hold", "nothing"))
    gross = day.random.choice((0, 1, 3, held // 2, held))
    hold = factories.hold(accounts.user(user), held)
    hold_id = {"lease": leases.get(user), "hold": hold.hold_id, "nothing": None}[way]
    if way == "hold" and not (await group.submit(hold)).done:
        return
    if way == "hold" and day.random.random() < 0.3:
        day.done["request given up"] += 1
        await group.submit(Void(hold_id=hold.hold_id, reason="the client left"))
        return
    payer, earner = accounts.user(user), accounts.host(provider)
    charge = factories.charge(hold.hold_id, payer, earner, gross, hold_id=hold_id)
    if (await group.submit(charge)).done:
        day.done[f"charge to {way}" if gross else "charge of nothing"] += 1


async def _chain(pool: Pool, writer: Writer, day: Day, steps: int) -> None:
    """What the indexer sees: money in, bonds and what becomes of them, what it cost."""
    for _ in range(steps):
        count = day.random.choice((1, 1, 2, 3))
        await _apply(pool, writer, day, [_movement(day) for _ in range(count)])


def _movement(day: Day) -> Post:
    key, moment = day.seen()
    amount, provider = day.amount(), day.random.choice(day.providers)
    bond, pending = accounts.bond(provider), accounts.bond_pending(provider)
    stranger = accounts.bond_unenrolled(_STRANGER)
    return day.random.choice(
        (
            lambda: _deposit(day, day.random.choice(day.users), amount),
            lambda: postings.deposit_suspended(key, moment, Vault.TILL, amount),
            lambda: postings.bond_received(key, moment, pending, amount),
            lambda: postings.bond_funded(key, moment, pending, bond, amount),
            lambda: postings.bond_posted(key, moment, bond, amount),
            lambda: postings.bond_posted(key, moment, stranger, amount),
            lambda: postings.bond_released(key, moment, bond, amount),
            lambda: postings.bond_handed_over(key, moment, stranger, bond, amount),
            lambda: postings.bond_seized(key, moment, bond, amount),
            lambda: postings.vaults_moved(key, moment, Vault.TILL, Vault.BOND, amount),
            lambda: postings.outflow_unexplained(key, moment, Vault.TILL, amount),
            lambda: postings.quarantined(key, moment, Vault.BOND, -amount),
            lambda: postings.quarantined(key, moment, Vault.BOND, amount),
            lambda: postings.payer_funded(key, moment, PAYER, Lamports(amount)),
            lambda: postings.network_fee_paid(key, moment, PAYER, Lamports(5_000), Lamports(9)),
            lambda: postings.rent_paid(key, moment, PAYER, Lamports(amount)),
            lambda: postings.rent_returned(key, moment, PAYER, Lamports(amount)),
            lambda: postings.drawings_paid(key, moment, amount),
        )
    )()


def _deposit(day: Day, user: UUID, amount: int) -> Post:
    key, moment = day.seen()
    return postings.deposit_credited(
        key, moment, Vault.TILL, accounts.user(user), MicroUsdc(amount)
    )


async def _payouts(pool: Pool, writer: Writer, day: Day, steps: int) -> None:
    """Withdrawals: set aside first, then paid or given back; and what people put right."""
    for _ in range(steps):
        account = accounts.host(day.random.choice(day.providers))
        hold = factories.hold(
            account, 1 + day.random.randrange(5_000), hold_id=day.id(), purpose=HoldPurpose.PAYOUT
        )
        key, moment = day.seen()
        paid = postings.withdrawal_paid(key, moment, account, hold.amount_microusdc)
        ended = day.random.choice(
            (Capture(hold_id=hold.hold_id, post=paid), Void(hold_id=hold.hold_id, reason="late"))
        )
        await _apply(pool, writer, day, [hold])
        await _apply(pool, writer, day, [ended, *_corrections(day, moment)])


def _corrections(day: Day, moment: ChainMoment) -> list[Post]:
    """Suspense assigned, a card that paid, and now and then one of these undone the next day."""
    user = accounts.user(day.random.choice(day.users))
    amount = MicroUsdc(1 + day.random.randrange(500))
    voucher = postings.Voucher(actor="test", event_at=moment.block_time, reason='a "wrong" one; so')
    later = replace(voucher, effective_on=voucher.day + timedelta(days=1))
    done = [
        postings.suspense_assigned(voucher, f"chain:test, {day.id()}:0", user, amount),
        postings.card_topped_up(voucher, str(day.id()), user, amount),
    ]
    undone = day.random.choice(day.paid_by_card) if day.paid_by_card else done[1]
    day.paid_by_card.append(done[1])
    return [*done, postings.reversal(later, undone.transaction_id, undone.transfers)]
