"""One order of locks: nobody deadlocks, or where some may, the victim is run again and ends right.

A charge alone takes its hold before its balances. Who names another writer's hold, only to be
refused, takes them the other way round: that is the one way to meet in a circle.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from random import Random
from uuid import uuid4

import pytest

from settlement.db.pool import calling, open_pool, transaction
from settlement.ledger import accounts, store
from settlement.ledger.everyday import EverydayRoad
from settlement.ledger.operations import (
    AccountName,
    Code,
    Hold,
    HoldPurpose,
    Operation,
    Outcome,
    Void,
)
from settlement.ledger.writer import GroupCommit
from tests import factories
from tests.database.conftest import Books
from tests.database.contention import Contender, at_once
from tests.wire.waiting import eventually_true

_DEADLOCKS = "select deadlocks from pg_stat_database where datname = current_database()"


@pytest.fixture
async def crowd(books: Books) -> AsyncIterator[list[Contender]]:
    """Four writers, each with connections of its own; deadlocks are found at once."""
    await books.execute(f"alter database \"{books.database.name}\" set deadlock_timeout = '20ms'")
    async with AsyncExitStack() as stack:
        opened: list[Contender] = []
        for number in range(4):
            pool = await open_pool(
                books.database.dsn, role="pod_coordinator", application="test", size=2
            )
            stack.push_async_callback(pool.close)
            opened.append(await Contender.open(pool, f"writer{number}"))
        yield opened


async def people(books: Books, count: int) -> tuple[list[AccountName], list[AccountName]]:
    """Users with money and operators with some, opened in no particular order."""
    users = [accounts.user(uuid4()) for _ in range(count)]
    hosts = [accounts.host(uuid4()) for _ in range(count)]
    mixed = [*users, *hosts]
    Random(3).shuffle(mixed)
    await books.open(*mixed)
    await books.apply(*(factories.deposit(name, 10**9) for name in mixed))
    return users, hosts


@pytest.mark.parametrize("seed", range(3))
async def test_posts_in_whatever_order_never_deadlock(
    books: Books, crowd: list[Contender], seed: int
) -> None:
    """Nothing is run again here: the first deadlock would be the test's end."""
    users, hosts = await people(books, 3)
    random = Random(seed)

    async def run(contender: Contender) -> None:
        for _ in range(40):
            names = random.sample([*users, *hosts], k=6)
            moves = [factories.transfer(names[n], names[n + 1], 1) for n in range(5)]
            random.shuffle(moves)
            holds = [factories.hold(name, 1, purpose=HoldPurpose.PAYOUT) for name in names[:2]]
            asked: list[Operation] = [*map(factories.post, moves), *holds]
            async with transaction(contender.pool) as tx:
                outcomes = await store.apply(tx, contender.writer, asked)
            assert {outcome.code for outcome in outcomes} == {Code.APPLIED}

    async with asyncio.timeout(50):
        await asyncio.gather(*(run(contender) for contender in crowd))


@pytest.mark.parametrize("seed", range(3))
async def test_charges_alone_and_posts_never_deadlock(
    books: Books, crowd: list[Contender], seed: int
) -> None:
    """Charges lock balances as they go: in the order of the accounts too, or posts would tell."""
    users, hosts = await people(books, 6)
    random = Random(seed)
    leases = await _leases(crowd[:2], users)

    async def charges(contender: Contender) -> None:
        road = EverydayRoad(contender.writer)
        async with calling(contender.pool) as conn:
            for _ in range(30):
                asked = [
                    factories.charge(
                        factories.request_id(),
                        lease.account,
                        random.choice(hosts),
                        random.randrange(9),
                        hold_id=lease.hold_id,
                    )
                    for lease in random.sample(leases[contender.writer.name], k=6)
                ]
                outcomes = await road.settle(conn, asked, [])
                assert outcomes is not None
                assert {outcome.code for outcome in outcomes} == {Code.APPLIED}

    async def posts(contender: Contender) -> None:
        for _ in range(30):
            names = random.sample([*users, *hosts], k=8)
            moves = [factories.transfer(names[n], names[n + 1], 1) for n in range(7)]
            async with transaction(contender.pool) as tx:
                outcomes = await store.apply(tx, contender.writer, [factories.post(*moves)])
            assert {outcome.code for outcome in outcomes} == {Code.APPLIED}

    async with asyncio.timeout(50):
        await asyncio.gather(
            *(charges(contender) for contender in crowd[:2]),
            *(posts(contender) for contender in crowd[2:]),
        )


@pytest.mark.parametrize("charge_first", [True, False])
async def test_who_meets_in_a_circle_is_run_again_and_both_end_right(
    books: Books, crowd: list[Contender], charge_first: bool
) -> None:
    """A charge has its hold and wants the balance; who may not void it has that, and wants it."""
    owner, stranger = crowd[:2]
    lease = factories.hold(books.user, 1_000, purpose=HoldPurpose.LEASE)
    await owner.apply(lease)
    charge = factories.charge(
        factories.request_id(), books.user, books.host, 7, hold_id=lease.hold_id
    )
    before = await books.fetchval(_DEADLOCKS)
    async with GroupCommit(owner.pool, owner.writer) as group:

        async def charged() -> Outcome:
            return await group.submit(charge)

        async def refused() -> Outcome:
            (outcome,) = await stranger.apply(Void(hold_id=lease.hold_id, reason="mine now"))
            return outcome

        steps = [charged(), refused()] if charge_first else [refused(), charged()]
        outcomes = await at_once(books, books.user, steps)
    told = [outcome.code.value for outcome in outcomes]
    assert told == (["applied", "conflict"] if charge_first else ["conflict", "applied"])
    assert (await books.balance(books.user)).debits_microusdc == 7
    if not charge_first:
        assert await _told_of_more(books, [owner, stranger], before)


@pytest.mark.parametrize("seed", range(2))
async def test_under_load_everything_ends_right_whoever_was_the_victim(
    books: Books, crowd: list[Contender], seed: int
) -> None:
    """Charges by group commit; others post between the same accounts and try to void the holds."""
    users, hosts = await people(books, 4)
    random = Random(seed)
    leases = await _leases(crowd[:2], users)
    known = [lease for each in leases.values() for lease in each]
    spent: Counter[str] = Counter()

    async def charges(contender: Contender) -> None:
        async with GroupCommit(contender.pool, contender.writer) as group:
            for _ in range(25):
                lease = random.sample(leases[contender.writer.name], k=4)
                outcomes = await asyncio.gather(
                    *(
                        group.submit(
                            factories.charge(
                                factories.request_id(),
                                each.account,
                                random.choice(hosts),
                                5,
                                hold_id=each.hold_id,
                            )
                        )
                        for each in lease
                    )
                )
                assert all(outcome.done for outcome in outcomes)
                spent.update(each.account for each in lease)

    async def others(contender: Contender) -> None:
        for _ in range(25):
            there, back = random.choice(users), random.choice(hosts)
            asked: list[Operation] = [
                *(Void(hold_id=lease.hold_id, reason="mine") for lease in random.sample(known, 3)),
                factories.post(factories.transfer(there, back, 3)),
                factories.post(factories.transfer(back, there, 3)),
            ]
            random.shuffle(asked)
            outcomes = await contender.apply(*asked)
            told = Counter(outcome.code.value for outcome in outcomes)
            # What was applied before its answer was lost is told as replayed.
            assert told["conflict"] == 3
            assert told["applied"] + told["replayed"] == 2

    async with asyncio.timeout(55):
        await asyncio.gather(
            *(charges(contender) for contender in crowd[:2]),
            *(others(contender) for contender in crowd[2:]),
        )
    for user in users:
        balance = await books.balance(user)
        assert balance.net_microusdc == 10**9 - 5 * spent[user]


async def _leases(owners: Sequence[Contender], users: Sequence[AccountName]) -> "Leases":
    placed: Leases = {}
    for owner in owners:
        mine = [factories.hold(user, 10**6, purpose=HoldPurpose.LEASE) for user in users]
        outcomes = await owner.apply(*mine)
        assert all(outcome.done for outcome in outcomes)
        placed[owner.writer.name] = mine
    return placed


Leases = dict[str, list[Hold]]


async def _told_of_more(books: Books, contenders: Sequence[Contender], before: object) -> bool:
    """Whether one of them was a deadlock's victim; sessions tell of it when they are asked to."""

    async def more() -> bool:
        for contender in contenders:
            async with contender.pool.acquire() as connection:
                await connection.execute("select pg_stat_force_next_flush()")
        return await books.fetchval(_DEADLOCKS) != before

    await eventually_true(more)
    return True
