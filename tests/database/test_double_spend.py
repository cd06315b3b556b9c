"""Many who spend the same money at the same moment: one wins, nothing falls below zero, sums hold.

Where it matters who comes first, everybody is stopped at the same lock and let go together.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from random import Random
from uuid import UUID, uuid4

import pytest

from settlement.db.pool import Pool, open_pool, transaction
from settlement.ledger import accounts, store
from settlement.ledger.operations import (
    AccountName,
    Capture,
    Charge,
    Code,
    HoldPurpose,
    Operation,
    Outcome,
    Void,
)
from settlement.ledger.writer import GroupCommit
from settlement.money import MicroUsdc
from tests import factories
from tests.database.conftest import Books
from tests.database.contention import Contender, at_once, somebody_waits
from tests.wire.waiting import eventually_true

FUNDS = 25_000_000
_PAST = datetime(2026, 1, 1, tzinfo=UTC)
_ROLES = {"one": "coordinator", "two": "coordinator", "three": "coordinator", "four": "indexer"}


@pytest.fixture
async def contenders(books: Books) -> AsyncIterator[list[Contender]]:
    """The writer of `books` twice, and one writer of each other name."""
    async with AsyncExitStack() as stack:

        async def pool(role: str) -> Pool:
            opened = await open_pool(
                books.database.dsn, role=f"pod_{role}", application="test", size=3
            )
            stack.push_async_callback(opened.close)
            return opened

        first = Contender(pool=await pool("coordinator"), writer=books.writer)
        others = [await Contender.open(await pool(role), name) for name, role in _ROLES.items()]
        yield [first, *others, replace(first, pool=await pool("coordinator"))]


async def user_with(books: Books, amount: int) -> AccountName:
    """Somebody new who has this much."""
    user = accounts.user(uuid4())
    await books.open(user)
    await books.apply(factories.deposit(user, amount))
    return user


def codes(outcomes: Sequence[Outcome]) -> Counter[str]:
    """How often each code was told."""
    return Counter(outcome.code.value for outcome in outcomes)


def direct(books: Books, user: AccountName, amount: int) -> Charge:
    """A request that is paid from what is available."""
    return factories.charge(factories.request_id(), user, books.host, amount, hold_id=None)


def _ways(books: Books, user: AccountName, amount: int) -> list[Operation]:
    """Everything that takes money from a user."""
    return [
        direct(books, user, amount),
        *(factories.hold(user, amount, purpose=purpose) for purpose in HoldPurpose),
        factories.post(factories.transfer(user, books.host, amount)),
        factories.post(factories.transfer(user, accounts.QUARANTINE, amount)),
    ]


@pytest.mark.parametrize("seed", range(3))
async def test_of_all_who_want_everything_one_gets_it(
    books: Books, contenders: list[Contender], seed: int
) -> None:
    random = Random(seed)
    for _ in range(6):
        user = await user_with(books, FUNDS)
        ways = random.sample(_ways(books, user, FUNDS), k=len(contenders))
        outcomes = await at_once(
            books,
            user,
            [
                random.choice((contender.apply, contender.ask))(way)
                for contender, way in zip(contenders, ways, strict=True)
            ],
        )
        told = [outcome for (outcome,) in outcomes]
        assert codes(told) == {"applied": 1, "insufficient": len(contenders) - 1}
        assert (await books.balance(user)).available_microusdc == 0
        for way, outcome in zip(ways, told, strict=True):
            if outcome.code is Code.INSUFFICIENT and not hasattr(way, "transfers"):
                assert outcome.available_microusdc == 0


@pytest.mark.parametrize("seed", range(3))
async def test_a_crowd_takes_what_there_is_and_not_one_more(
    books: Books, contenders: list[Contender], seed: int
) -> None:
    """Whoever is refused wanted more than was left, and what was granted adds up."""
    random = Random(seed)
    asked: list[tuple[Contender, Operation, int]] = []
    for _ in range(150):
        amount = random.choice((1, 7, FUNDS // 100, FUNDS // 10))
        way = random.choice(_ways(books, books.user, amount))
        asked.append((random.choice(contenders), way, amount))
    turns = {id(contender): asyncio.Semaphore(3) for contender in contenders}

    async def one(contender: Contender, operation: Operation) -> Outcome:
        async with turns[id(contender)]:
            (outcome,) = await random.choice((contender.apply, contender.ask))(operation)
            return outcome

    outcomes = await asyncio.gather(*(one(contender, way) for contender, way, _ in asked))
    assert set(codes(outcomes)) == {"applied", "insufficient"}
    granted = sum(n for (_, _, n), told in zip(asked, outcomes, strict=True) if told.done)
    left = (await books.balance(books.user)).available_microusdc
    assert left == FUNDS - granted >= 0
    refused = [n for (_, _, n), told in zip(asked, outcomes, strict=True) if not told.done]
    assert min(refused) > left


async def test_group_commits_of_many_writers_never_overdraw(
    books: Books, contenders: list[Contender]
) -> None:
    """Holds, direct charges and posts, many in each batch."""
    random = Random(7)
    amount = FUNDS // 100
    async with AsyncExitStack() as stack:
        groups = [
            await stack.enter_async_context(
                GroupCommit(one.pool, one.writer, batch_size=random.choice((1, 9, 100)))
            )
            for one in contenders[:-1]
        ]
        outcomes = await asyncio.gather(
            *(
                random.choice(groups).submit(random.choice(_ways(books, books.user, amount)))
                for _ in range(300)
            )
        )
    assert codes(outcomes) == {"applied": 100, "insufficient": 200}
    assert (await books.balance(books.user)).available_microusdc == 0


async def test_one_request_charged_by_two_writers_is_charged_once(
    books: Books, contenders: list[Contender]
) -> None:
    for other in (0, 1):  # the same again, or dearer
        charge = direct(books, books.user, 1_000)
        dearer = replace(charge, gross_microusdc=MicroUsdc(1_000 + other))
        before = (await books.balance(books.user)).debits_microusdc
        outcomes = await at_once(
            books,
            books.user,
            [contenders[1].ask(charge), contenders[2].ask(dearer), contenders[4].apply(charge)],
        )
        told = codes([outcome for (outcome,) in outcomes])
        assert told["applied"] == 1
        assert told["conflict"] + told["replayed"] == 2
        assert (told["conflict"] > 0) == bool(other)
        spent = (await books.balance(books.user)).debits_microusdc - before
        assert spent in (1_000, 1_000 + other)


@pytest.mark.parametrize("way", ["charge", "hold", "payout", "post", "reference"])
async def test_one_name_for_two_things_of_two_users_is_one_thing(
    books: Books, contenders: list[Contender], way: str
) -> None:
    """They have no account in common: only the name itself stands between them."""
    other, host = await user_with(books, FUNDS), accounts.host(uuid4())
    await books.open(host)
    before = await books.balance(other)
    for ask in (contenders[2].ask, contenders[3].apply):
        name = factories.request_id()
        first = _named(way, name, books.user, books.host)
        async with transaction(contenders[1].pool) as tx:
            (told,) = await store.apply(tx, contenders[1].writer, [first])
            assert told.code is Code.APPLIED
            asked = asyncio.create_task(ask(_named(way, name, other, host)))
            await eventually_true(lambda: somebody_waits(books))
        assert codes(await asked) == {"conflict": 1}
    assert await books.balance(other) == before


def _named(way: str, name: UUID, user: AccountName, host: AccountName) -> Operation:
    """Something of this user that carries the name."""
    moved = factories.transfer(user, host, 10)
    match way:
        case "charge":
            return factories.charge(name, user, host, 10, hold_id=None)
        case "hold":
            return factories.hold(user, 10, hold_id=name)
        case "payout":
            return factories.hold(user, 10, hold_id=name, purpose=HoldPurpose.PAYOUT)
        case "post":
            return factories.post(moved, transaction_id=name)
        case _:
            return factories.post(moved, external_ref=str(name))


async def test_what_one_writer_set_aside_no_other_spends(
    books: Books, contenders: list[Contender]
) -> None:
    lease = factories.hold(books.user, 1_000, purpose=HoldPurpose.LEASE)
    request = factories.hold(books.user, 1_000)
    await contenders[1].apply(lease, request)
    before = await books.balance(books.user)
    for hold in (lease, request):
        name = request.hold_id if hold is request else factories.request_id()
        charge = factories.charge(name, books.user, books.host, 1, hold_id=hold.hold_id)
        for contender in (contenders[2], contenders[4]):
            outcomes = await contender.ask(charge) + await contender.apply(charge)
            assert codes(outcomes) == {"conflict": 2}
    assert await books.balance(books.user) == before


@pytest.mark.parametrize("charged_first", [True, False])
@pytest.mark.parametrize("held", [True, False])
async def test_a_request_is_charged_or_posted_never_both(
    books: Books, contenders: list[Contender], held: bool, charged_first: bool
) -> None:
    """A late capture carries the request's own name."""
    one, other = contenders[1], contenders[4]
    for _ in range(4):
        hold = factories.hold(books.user, 1_000)
        hold_id = hold.hold_id if held else None
        charge = factories.charge(hold.hold_id, books.user, books.host, 900, hold_id=hold_id)
        await one.apply(*([hold] if held else []))
        post = factories.post(
            factories.transfer(books.user, books.host, 900), transaction_id=hold.hold_id
        )
        steps = [one.ask(charge), other.apply(post)]
        before = (await books.balance(books.user)).debits_microusdc
        outcomes = await at_once(books, books.user, steps if charged_first else steps[::-1])
        told = [outcome.code.value for (outcome,) in outcomes]
        assert sorted(told) == ["applied", "conflict"]
        assert (await books.balance(books.user)).debits_microusdc == before + 900


@pytest.mark.parametrize("purpose", [HoldPurpose.REQUEST, HoldPurpose.PAYOUT])
async def test_one_hold_placed_by_two_writers_is_placed_once(
    books: Books, contenders: list[Contender], purpose: HoldPurpose
) -> None:
    for _ in range(4):
        hold = factories.hold(books.user, 10, purpose=purpose)
        before = (await books.balance(books.user)).held_microusdc
        steps = [contender.ask(hold) for contender in contenders[:5]]
        outcomes = await at_once(books, books.user, steps)
        told = codes([outcome for (outcome,) in outcomes])
        assert told == {"applied": 1, "conflict": 4}
        assert (await books.balance(books.user)).held_microusdc == before + 10


async def test_what_ends_a_payout_first_is_its_end(
    books: Books, contenders: list[Contender]
) -> None:
    """Two who saw it paid, and one who gives it back: it is paid once, or given back once."""
    ended: Counter[str] = Counter()
    for round_ in range(8):
        hold = factories.hold(books.user, 1_000, purpose=HoldPurpose.PAYOUT)
        await books.apply(hold)
        before = await books.balance(books.user)
        paid = factories.payment(hold.hold_id, books.user, 900)
        again = replace(paid, post=replace(paid.post, transaction_id=uuid4()))
        void = Void(hold_id=hold.hold_id, reason="late")
        asked: list[Operation] = [paid, void, again]
        order = [asked[(round_ + n) % 3] for n in range(3)]
        outcomes = await at_once(
            books, books.user, [c.apply(o) for c, o in zip(contenders[1:4], order, strict=True)]
        )
        told = [outcome.code.value for (outcome,) in outcomes]
        assert sorted(told) == ["applied", "hold_closed", "hold_closed"]
        winner = order[told.index("applied")]
        after = await books.balance(books.user)
        assert after.held_microusdc == before.held_microusdc - 1_000
        taken = 900 if isinstance(winner, Capture) else 0
        assert after.debits_microusdc == before.debits_microusdc + taken
        ended[type(winner).__name__] += 1
    assert set(ended) <= {"Capture", "Void"}


async def test_a_request_is_charged_or_given_back(
    books: Books, contenders: list[Contender]
) -> None:
    """Two connections of one writer, as before and after a broken one."""
    ended: Counter[str] = Counter()
    for round_ in range(8):
        hold = factories.hold(books.user, 1_000)
        await books.apply(hold)
        charge = factories.charge(hold.hold_id, books.user, books.host, 900)
        void = Void(hold_id=hold.hold_id, reason="gone")
        order: list[Operation] = [charge, void] if round_ % 2 else [void, charge]
        before = (await books.balance(books.user)).debits_microusdc
        outcomes = await at_once(
            books, books.user, [contenders[0].ask(order[0]), contenders[-1].ask(order[1])]
        )
        told = [outcome.code.value for (outcome,) in outcomes]
        assert sorted(told) == ["applied", "hold_closed"]
        winner = order[told.index("applied")]
        spent = (await books.balance(books.user)).debits_microusdc - before
        assert spent == (900 if isinstance(winner, Charge) else 0)
        ended[type(winner).__name__] += 1
    assert set(ended) <= {"Charge", "Void"}


async def test_an_abandoned_lease_is_spent_or_given_back_to_the_last_microunit(
    books: Books, contenders: list[Contender]
) -> None:
    """The next life of its writer charges it while somebody else gives back what expired."""
    ended: Counter[tuple[str, ...]] = Counter()
    for round_ in range(8):
        lease = replace(
            factories.hold(books.user, 1_000, purpose=HoldPurpose.LEASE), expires_at=_PAST
        )
        name = f"life{round_}"
        first = await Contender.open(contenders[1].pool, name)
        assert codes(await first.apply(lease)) == {"applied": 1}
        second = await Contender.open(contenders[1].pool, name)
        before = await books.balance(books.user)
        charge = factories.charge(
            factories.request_id(), books.user, books.host, 900, hold_id=lease.hold_id
        )
        void = Void(hold_id=lease.hold_id, reason="expired")
        steps = [second.ask(charge), contenders[4].apply(void)]
        outcomes = await at_once(books, books.user, steps if round_ % 2 else steps[::-1])
        told = [outcome.code.value for (outcome,) in (outcomes if round_ % 2 else outcomes[::-1])]
        assert told in (["applied", "applied"], ["hold_closed", "applied"])
        after = await books.balance(books.user)
        assert after.held_microusdc == before.held_microusdc - 1_000
        spent = after.debits_microusdc - before.debits_microusdc
        assert spent == (900 if told[0] == "applied" else 0)
        ended[tuple(told)] += 1
