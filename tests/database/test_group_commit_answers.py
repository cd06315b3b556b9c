"""What each caller is told, whoever travelled in the same batch: one at a time or a hundred.

Every test runs in strict mode (a transaction for each operation) and in batches: the code is the
same, and so must be the answers.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from uuid import UUID, uuid4

import asyncpg
import pytest

from settlement.ledger import accounts, store
from settlement.ledger.operations import (
    AccountName,
    Charge,
    Code,
    Hold,
    HoldPurpose,
    Operation,
    Outcome,
    Void,
)
from settlement.ledger.writer import GroupCommit, WriterBusy
from settlement.money import MicroUsdc
from tests import factories
from tests.database.conftest import Books
from tests.wire.waiting import eventually_true

FUNDS = 25_000_000


@pytest.fixture(params=[1, 100], ids=["strict", "batches"])
def size(request: pytest.FixtureRequest) -> int:
    """How many operations may travel together."""
    return int(request.param)


async def told(books: Books, size: int, *operations: Operation) -> list[Outcome]:
    """Submitted in this order in one breath; more than one batch only where a batch is small."""
    assert len(operations) < 48, "from there on the queue is halved"
    async with GroupCommit(books.pool, books.writer, batch_size=size) as group:
        return await asyncio.gather(*(group.submit(operation) for operation in operations))


def codes(outcomes: Sequence[Outcome]) -> list[str]:
    """The codes alone."""
    return [outcome.code.value for outcome in outcomes]


async def batches(books: Books) -> object:
    """How many rows each batch has, the deposit's first."""
    return await books.fetchval("select array_agg(n order by seq) from settlement.batch")


async def test_they_travel_together_or_alone(books: Books, size: int) -> None:
    """What the other tests rely on."""
    await told(books, size, *(factories.hold(books.user, 1) for _ in range(20)))
    assert await batches(books) == [1, *([1] * 20 if size == 1 else [20])]


async def test_settled_replayed_and_in_conflict_side_by_side(books: Books, size: int) -> None:
    """And every refusal there is of a charge, each with what the first time told."""
    holds = {name: factories.hold(books.user, 1_000) for name in "abcdefg"}
    first = factories.charge(holds["a"].hold_id, books.user, books.host, 700)
    second = factories.charge(holds["b"].hold_id, books.user, books.host, 800)
    (*_, replayed, _) = await books.apply(*holds.values(), first, second)
    late = holds["g"].hold_id
    await books.apply(Void(hold_id=late, reason="gone"))
    new = factories.charge(holds["c"].hold_id, books.user, books.host, 900)
    stranger = accounts.host(uuid4())
    outcomes = await told(
        books,
        size,
        first,
        replace(second, gross_microusdc=MicroUsdc(801)),
        new,
        factories.charge(holds["d"].hold_id, books.user, books.host, 1_001),
        factories.charge(late, books.user, books.host, 1),
        factories.charge(factories.request_id(), books.user, books.host, 1),
        factories.charge(uuid4(), books.user, books.host, 1, hold_id=holds["e"].hold_id),
        factories.charge(holds["f"].hold_id, books.user, stranger, 1),
        factories.charge(factories.request_id(), books.user, books.host, FUNDS, hold_id=None),
    )
    assert codes(outcomes) == [
        "replayed",
        "conflict",
        "applied",
        "hold_exceeded",
        "hold_closed",
        "hold_unknown",
        "outside_window",
        "account_unknown",
        "insufficient",
    ]
    assert outcomes[0].balance_microusdc == replayed.balance_microusdc == FUNDS - 700
    assert outcomes[2].balance_microusdc == FUNDS - 700 - 800 - 900
    # Charged are 700, 800 and 900; set aside are still d, e and f.
    assert outcomes[-1].available_microusdc == FUNDS - 2_400 - 3_000
    assert (await books.balance(books.user)).debits_microusdc == 2_400


async def test_each_hears_of_its_own_whatever_came_between(books: Books, size: int) -> None:
    """Charges go first within a batch; that is no caller's business."""
    other = accounts.user(uuid4())
    await books.open(other)
    lease = factories.hold(other, 100, purpose=HoldPurpose.LEASE)
    gone = factories.hold(books.user, 50)
    await books.apply(factories.deposit(other, 1_000), lease, gone)
    charges = [
        factories.charge(factories.request_id(), other, books.host, n, hold_id=lease.hold_id)
        for n in (7, 200, 11)
    ]
    outcomes = await told(
        books,
        size,
        factories.hold(books.user, 1),
        charges[0],
        Void(hold_id=gone.hold_id, reason="gone"),
        charges[1],
        Void(hold_id=uuid4(), reason="gone"),
        charges[2],
        factories.hold(books.user, 2),
    )
    assert codes(outcomes) == [
        *("applied", "applied", "applied", "hold_exceeded", "hold_unknown", "applied", "applied")
    ]
    balances = [outcome.balance_microusdc for outcome in outcomes]
    assert balances == [None, 993, None, None, None, 982, None]
    available = [outcome.available_microusdc for outcome in outcomes]
    assert available == [FUNDS - 51, None, FUNDS - 1, None, None, None, FUNDS - 3]


async def test_one_name_ten_times_at_once_is_done_once(books: Books, size: int) -> None:
    hold = factories.hold(books.user, 5_000)
    placed = await told(books, size, *[hold] * 10)
    charge = factories.charge(hold.hold_id, books.user, books.host, 4_000)
    charged = await told(books, size, *[charge] * 10)
    other = factories.hold(books.user, 7)
    await told(books, size, other)
    voided = await told(books, size, *[Void(hold_id=other.hold_id, reason="gone")] * 10)
    for outcomes in (placed, charged, voided):
        assert codes(outcomes) == ["applied", *["replayed"] * 9]
        assert len({replace(outcome, code=Code.APPLIED) for outcome in outcomes}) == 1
    assert (await books.balance(books.user)).net_microusdc == FUNDS - 4_000


async def test_one_name_for_two_things_at_once_is_a_conflict(books: Books, size: int) -> None:
    hold = factories.hold(books.user, 5_000)
    wider = replace(hold, amount_microusdc=MicroUsdc(6_000))
    assert codes(await told(books, size, hold, wider, hold)) == ["applied", "conflict", "replayed"]
    charge = factories.charge(hold.hold_id, books.user, books.host, 4_000)
    dearer = replace(charge, gross_microusdc=MicroUsdc(4_001))
    outcomes = await told(books, size, charge, dearer, charge, dearer)
    assert codes(outcomes) == ["applied", "conflict", "replayed", "conflict"]
    gone, refused = (Void(hold_id=hold.hold_id, reason=why) for why in ("gone", "refused"))
    assert codes(await told(books, size, gone, refused)) == ["hold_closed"] * 2
    other = factories.hold(books.user, 5)
    gone, refused = (Void(hold_id=other.hold_id, reason=why) for why in ("gone", "refused"))
    outcomes = await told(books, size, other, gone, refused, gone)
    assert codes(outcomes) == ["applied", "applied", "hold_closed", "replayed"]


async def test_a_larger_one_refused_before_takes_nothing_from_a_smaller(
    books: Books, size: int
) -> None:
    """What an earlier refusal would have taken is there for those who come after it."""
    outcomes = await told(
        books,
        size,
        *(factories.hold(books.user, amount) for amount in (FUNDS + 1, 20_000_000)),
        *(factories.hold(books.user, amount) for amount in (6_000_000, 5_000_000, 1)),
    )
    assert codes(outcomes) == ["insufficient", "applied", "insufficient", "applied", "insufficient"]
    left = [FUNDS, 5_000_000, 5_000_000, 0, 0]
    assert [outcome.available_microusdc for outcome in outcomes] == left


async def test_a_direct_charge_refused_takes_nothing_from_a_smaller(
    books: Books, size: int
) -> None:
    amounts = (FUNDS + 1, 20_000_000, 6_000_000, 5_000_000, 1, 0)
    asked = [
        factories.charge(factories.request_id(), books.user, books.host, n, hold_id=None)
        for n in amounts
    ]
    outcomes = await told(books, size, *asked)
    assert codes(outcomes) == ["insufficient", "applied"] * 3
    assert (await books.balance(books.user)).net_microusdc == 0


async def test_what_is_given_back_can_be_set_aside_by_the_next(books: Books, size: int) -> None:
    holds = [factories.hold(books.user, FUNDS // 2) for _ in range(2)]
    await books.apply(*holds)
    outcomes = await told(
        books,
        size,
        factories.charge(holds[0].hold_id, books.user, books.host, 1_000),
        Void(hold_id=holds[1].hold_id, reason="gone"),
        factories.hold(books.user, FUNDS),
        factories.hold(books.user, FUNDS - 1_000),
        factories.hold(books.user, 1),
    )
    assert codes(outcomes) == ["applied", "applied", "insufficient", "applied", "insufficient"]
    left = [outcome.available_microusdc for outcome in outcomes]
    assert left == [None, FUNDS - 1_000, FUNDS - 1_000, 0, 0]


async def test_a_lease_is_spent_to_its_end_and_not_beyond(books: Books, size: int) -> None:
    lease = factories.hold(books.user, 1_000, purpose=HoldPurpose.LEASE)
    await books.apply(lease)
    charges = [
        factories.charge(factories.request_id(), books.user, books.host, n, hold_id=lease.hold_id)
        for n in (400, 601, 600, 1, 0)
    ]
    outcomes = await told(books, size, *charges)
    assert codes(outcomes) == ["applied", "hold_exceeded", "applied", "hold_exceeded", "applied"]
    balance = await books.balance(books.user)
    assert (balance.debits_microusdc, balance.held_microusdc) == (1_000, 0)


async def test_who_has_nothing_else_is_told_so_and_poisons_nobody(books: Books, size: int) -> None:
    """Charges that nothing covers, of a user whose money is all set aside, beside a good one."""
    lease = factories.hold(books.user, FUNDS, purpose=HoldPurpose.LEASE)
    await books.apply(lease)
    charges = [
        factories.charge(factories.request_id(), books.user, books.host, n, hold_id=hold_id)
        for n, hold_id in ((FUNDS, uuid4()), (FUNDS + 1, lease.hold_id), (5, lease.hold_id))
    ]
    outcomes = await told(books, size, *charges)
    assert codes(outcomes) == ["hold_unknown", "hold_exceeded", "applied"]
    assert (await books.balance(books.user)).held_microusdc == FUNDS - 5


async def test_poisoned_operations_fail_alone(books: Books, size: int) -> None:
    """First, last, two neighbours: halving finds each, and everybody else is settled once."""
    lease = factories.hold(books.user, 1_000, purpose=HoldPurpose.LEASE)
    await books.apply(lease)
    poisoned = {0, 17, 18, 39}
    mixed: list[Operation] = [
        _poison(books.user)
        if n in poisoned
        else factories.hold(books.user, 10)
        if n % 3
        else factories.charge(
            factories.request_id(), books.user, books.host, 7, hold_id=lease.hold_id
        )
        for n in range(40)
    ]
    async with GroupCommit(books.pool, books.writer, batch_size=size) as group:
        answers = await asyncio.gather(*map(group.submit, mixed), return_exceptions=True)
    failed = {n for n, answer in enumerate(answers) if isinstance(answer, BaseException)}
    assert failed == poisoned
    assert all(isinstance(answers[n], asyncpg.CheckViolationError) for n in failed)
    done = [answer for answer in answers if isinstance(answer, Outcome)]
    assert codes(done) == ["applied"] * 36
    charged = sum(isinstance(operation, Charge) for operation in mixed)
    balance = await books.balance(books.user)
    assert balance.debits_microusdc == 7 * charged
    assert balance.held_microusdc == 10 * (36 - charged) + 1_000 - 7 * charged


async def test_everybody_poisoned_is_told_and_the_writer_goes_on(books: Books, size: int) -> None:
    before = await batches(books)
    async with GroupCommit(books.pool, books.writer, batch_size=size) as group:
        answers = await asyncio.gather(
            *(group.submit(_poison(books.user)) for _ in range(13)), return_exceptions=True
        )
        assert {type(answer) for answer in answers} == {asyncpg.CheckViolationError}
        assert await batches(books) == before
        assert (await group.submit(factories.hold(books.user, 1))).done


async def test_a_full_queue_refuses_at_once_and_nothing_of_it_happens(
    books: Books, size: int
) -> None:
    """The books stand still: what is on its way and what fits the queue waits, no more."""
    blocker = await asyncpg.connect(books.database.dsn)
    standing = blocker.transaction()
    await standing.start()
    await blocker.execute("select from settlement.writer for update")
    async with GroupCommit(books.pool, books.writer, batch_size=size, queue_size=3) as group:
        first = asyncio.create_task(group.submit(factories.hold(books.user, 1)))
        await eventually_true(lambda: _somebody_waits(books))
        waiting = [
            asyncio.create_task(group.submit(factories.hold(books.user, 1))) for _ in range(3)
        ]
        await asyncio.sleep(0)
        refused = [factories.hold(books.user, 100) for _ in range(5)]
        for hold in refused:
            with pytest.raises(WriterBusy):
                await asyncio.wait_for(group.submit(hold), 0.5)
        assert group.waiting == 3
        await standing.rollback()
        assert codes(await asyncio.gather(first, *waiting)) == ["applied"] * 4
        assert (await books.balance(books.user)).held_microusdc == 4
        # Asked again it is as if it had never been asked.
        assert (await group.submit(refused[0])).code is Code.APPLIED
    await blocker.close()


@pytest.mark.parametrize("seed", range(3))
async def test_a_crowd_is_told_the_same_one_at_a_time_and_in_batches(
    books: Books, seed: int
) -> None:
    """Two users with the same money are asked the same, by one writer of each mode."""
    other = accounts.user(uuid4())
    await books.open(other)
    await books.apply(factories.deposit(other, FUNDS))
    writers = [await store.open_writer(books.pool, name) for name in ("strict", "batches")]
    asked = [_Script(books, user, seed) for user in (books.user, other)]
    answers: list[list[Outcome]] = []
    for writer, size, script in zip(writers, (1, 100), asked, strict=True):
        async with GroupCommit(books.pool, writer, batch_size=size) as group:
            told: list[Outcome] = []
            for wave in script.waves():
                told += await asyncio.gather(*map(group.submit, wave))
        answers.append(told)
    assert answers[0] == answers[1]
    counted = Counter(codes(answers[0]))
    expected = {"applied", "replayed", "conflict", "insufficient", "hold_closed", "hold_exceeded"}
    assert expected <= set(counted), counted
    one, two = [await books.balance(user) for user in (books.user, other)]
    assert replace(one, account=two.account) == two


class _Script:
    """The same waves for each user: charges first, then holds and voids, ids of its own."""

    def __init__(self, books: Books, user: AccountName, seed: int) -> None:
        self._host = books.host
        self._user = user
        self._random = Random(seed)
        self._names: list[UUID] = []
        self._holds: list[Hold] = []
        self._charges: list[Charge] = []

    def waves(self) -> list[list[Operation]]:
        """What is asked at once, wave after wave."""
        return [self._wave() for _ in range(12)]

    def _wave(self) -> list[Operation]:
        charges = [self._charge() for _ in range(self._random.randrange(16)) if self._holds]
        ends = [self._void() for _ in range(self._random.randrange(4)) if self._holds]
        holds = [self._hold() for _ in range(self._random.randrange(2, 16))]
        self._charges += charges
        others: list[Operation] = [*ends, *holds]
        self._random.shuffle(others)
        return [*charges, *others]

    def _charge(self) -> Charge:
        if self._charges and self._random.random() < 0.2:
            known = self._random.choice(self._charges)
            return self._random.choice((known, replace(known, split_bps=1)))
        hold = self._random.choice(self._holds)
        lease = hold.purpose is HoldPurpose.LEASE
        gross = self._random.choice((1, hold.amount_microusdc // 3, hold.amount_microusdc + 1))
        name = factories.request_id() if lease else hold.hold_id
        return factories.charge(name, self._user, self._host, gross, hold_id=hold.hold_id)

    def _hold(self) -> Hold:
        if self._holds and self._random.random() < 0.2:
            return self._random.choice(self._holds)
        purpose = self._random.choice((HoldPurpose.REQUEST, HoldPurpose.LEASE))
        amount = self._random.choice((30, FUNDS // 20, FUNDS // 7, FUNDS))
        self._holds.append(factories.hold(self._user, amount, purpose=purpose))
        return self._holds[-1]

    def _void(self) -> Void:
        reason = self._random.choice(("gone", "refused"))
        return Void(hold_id=self._random.choice(self._holds).hold_id, reason=reason)


class _Purpose(str):
    """A purpose the chart has no word for."""

    @property
    def value(self) -> str:
        return str(self)


def _poison(user: AccountName) -> Hold:
    """Only a bug makes such a thing: nobody can build it with the types we have."""
    return Hold(
        hold_id=uuid4(),
        account=user,
        amount_microusdc=MicroUsdc(1),
        purpose=_Purpose("poison"),  # pyright: ignore[reportArgumentType]
    )


async def _somebody_waits(books: Books) -> object:
    return await books.fetchval(
        "select count(*) > 0 from pg_stat_activity"
        " where wait_event_type = 'Lock' and datname = current_database()"
    )
