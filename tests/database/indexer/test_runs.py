"""Booked in runs or one by one, killed or not, restored or not: the same rows, each once."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from uuid import uuid4

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from indexer.apply import book_run
from indexer.attribution import events_of
from indexer.decode import decode
from indexer.doors import Booking
from indexer.everyday import Belief
from indexer.follow import Pace
from indexer.reader import Reader
from indexer.rows import as_json, unpack
from settlement import deposits
from settlement.chain import program
from settlement.chain.movement import Vault
from settlement.db.pool import Pool, open_pool, transaction
from settlement.ledger import accounts, store
from settlement.ledger.store import WriterFenced, open_writer
from tests.conftest import Database
from tests.database.indexer.conftest import Desk
from tests.database.indexer.mortal import Crash, Life, mortal_pool
from tests.database.indexer.node import PACE, FakeNode, claim, follower
from tests.database.indexer.test_replay import Step, history
from tests.pure.transactions import (
    ALICE,
    ALICE_ATA,
    BOND,
    DEPLOYMENT,
    TILL,
    WATCH,
    Answer,
    answer,
    call,
    checked,
    deposit,
    signature,
    transfer,
)

SINGLY = replace(PACE, book_page=1)
IN_RUNS = replace(PACE, book_page=100)
BESIDE = replace(IN_RUNS, long_page=1)  # read by another process
# Mostly what runs are made of, and between them what breaks or refuses them.
EVERYDAY = ("coded", "coded", "coded", "memo", "twice", "nameless", "stray", "batch", "failed")
OTHERS = ("wrong", "out", "skip", "swept", "closed", "released", "retired")
ROWS = {
    "signatures": "select encode(signature, 'hex'), slot, state, problem from indexer.signature"
    " where cluster = $1 order by 1",
    "movements": "select encode(signature, 'hex'), outer_index, inner_index, sub_index, slot, kind,"
    " from_vault, to_vault, source, destination, amount from indexer.movement"
    " where cluster = $1 order by 1, 2, 3, 4",
    "events": "select encode(signature, 'hex'), outer_index, inner_index, sub_index, kind,"
    " booked_as, facts::text, event_at from indexer.event where cluster = $1 order by 1, 2, 3, 4",
    "incidents": "select kind, replace(reference, $1, ''), replace(detail, $1, '')"
    " from indexer.incident where cluster = $1 order by 1, 2",
    "answers": "select encode(signature, 'hex'), encode(answer, 'hex'), decoder_version"
    " from indexer.raw_transaction where cluster = $1 order by 1",
    "books": "select replace(x.external_ref, $1, ''), x.kind, x.slot, x.event_at, x.effective_on,"
    " x.actor, x.meta::text, t.leg, d.name, c.name, t.amount from settlement.txn x"
    " join settlement.transfer t using (txn_id)"
    " join settlement.account d on d.account_id = t.debit"
    " join settlement.account c on c.account_id = t.credit"
    " where x.external_ref like 'chain:' || $1 || ':%' order by 1, 8",
}


@dataclass(kw_only=True)
class Place:
    """One history on a cluster of its own."""

    desk: Desk
    cluster: str = field(default_factory=lambda: f"test-{uuid4().hex[:8]}")
    node: FakeNode = field(default_factory=FakeNode)

    async def follow(self, made: Sequence[Answer], pace: Pace) -> None:
        """Read all of it, from nothing."""
        await claim(self.desk.pool, self.cluster)
        self.node.add(*made)
        writer = await open_writer(self.desk.pool, "indexer")
        life = follower(self.node, self.desk.pool, writer, cluster=self.cluster, pace=pace)
        assert (await life.round()).standing.wanted == 0

    async def rows(self) -> dict[str, list[tuple[object, ...]]]:
        """Everything that was made of it, but for when and in which batch."""
        found = {
            name: [tuple(row.values()) for row in await self.desk.rows(query, self.cluster)]
            for name, query in ROWS.items()
        }
        # An answer is kept as whoever read it wrote it: the same JSON, not always the same bytes.
        found["answers"] = [
            (signature, unpack(bytes.fromhex(str(packed))), version)
            for signature, packed, version in found["answers"]
        ]
        return found


async def close_account(desk: Desk) -> None:
    """As nothing of ours does today."""
    connection = await asyncpg.connect(desk.database.dsn)
    try:
        await connection.execute("set session_replication_role = replica")
        await connection.execute(
            "update settlement.account set closed_at = now() where name = $1", desk.user
        )
    finally:
        await connection.close()


def mixed(desk: Desk, closed: Desk, kinds: Sequence[tuple[str, int]]) -> list[Answer]:
    """Transactions of these kinds and amounts, three to a slot."""
    made: list[Answer] = []
    for number, (kind, amount) in enumerate(kinds):
        one = _refused(desk, closed, kind, amount) or history(desk, [Step(kind, amount)])[0][0]
        made.append(replace(one, signature=signature(number), slot=10 + number // 3))
    return made


def _refused(desk: Desk, closed: Desk, kind: str, amount: int) -> Answer | None:
    wallet = desk.wallet.pubkey()
    back = program.associated_token_address(wallet, DEPLOYMENT.mint)
    match kind:
        case "closed":
            return answer(deposit(closed.user_code, amount), till=amount)
        case "released":
            built = program.release(
                DEPLOYMENT, code=desk.bond_code, beneficiary=wallet, rent_payer=ALICE
            )
            return answer(call(built, checked(BOND, back, amount)), bond=-amount)
        case "retired":
            built = program.retire(
                DEPLOYMENT, signer=wallet, code=desk.bond_code, beneficiary=wallet
            )
            return answer(call(built))
        case _:
            return None


@settings(
    max_examples=15,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(
    kinds=st.lists(
        st.tuples(
            st.one_of(st.sampled_from(EVERYDAY), st.sampled_from(EVERYDAY + OTHERS)),
            st.integers(1, 10**9),
        ),
        min_size=2,
        max_size=14,
    )
)
async def test_runs_and_singles_end_in_the_same_rows(
    desk: Desk, kinds: list[tuple[str, int]]
) -> None:
    closed = await desk.another_user()
    await close_account(closed)
    made = mixed(desk, closed, kinds)
    one, two, three = Place(desk=desk), Place(desk=desk), Place(desk=desk)
    await one.follow(made, SINGLY)
    await two.follow(made, IN_RUNS)
    await three.follow(made, BESIDE)
    singly, in_runs, beside = await one.rows(), await two.rows(), await three.rows()
    for name, rows in singly.items():
        assert in_runs[name] == rows, name
        assert beside[name] == rows, name
    assert len(singly["signatures"]) == len(kinds)


async def test_a_run_is_one_batch_of_the_books_in_the_order_of_the_chain(desk: Desk) -> None:
    made = mixed(desk, desk, [("coded", amount) for amount in (3, 1, 4, 1, 5, 9, 2, 6)])
    place = Place(desk=desk)
    await place.follow(made, IN_RUNS)
    rows = await desk.rows(
        "select x.batch_seq, x.ord, t.amount from settlement.txn x"
        " join settlement.transfer t using (txn_id) order by x.batch_seq, x.ord"
    )
    assert len({row["batch_seq"] for row in rows}) == 1
    assert [row["amount"] for row in rows] == [3, 1, 4, 1, 5, 9, 2, 6]


async def test_what_is_refused_sends_its_neighbours_one_by_one(desk: Desk) -> None:
    closed = await desk.another_user()
    await close_account(closed)
    place = Place(desk=desk)
    kinds = [("coded", 3), ("closed", 4), ("coded", 5)]
    await place.follow(mixed(desk, closed, kinds), IN_RUNS)
    assert await desk.nets() == {desk.user: 8, "suspense": 4, "chain:till": -12}
    assert await desk.incidents() == ["the books refused an event"]
    assert await desk.halts() == ()


async def test_an_amount_beyond_the_books_inside_a_run_holds_nothing_up(desk: Desk) -> None:
    largest = 2**63 - 1
    huge = Answer(
        calls=[deposit(desk.user_code, largest)],
        balances=[(TILL, DEPLOYMENT.mint, 0, largest)],
    )
    made = mixed(desk, desk, [("coded", 3), ("coded", 1), ("coded", 5)])
    made[1] = replace(huge, signature=made[1].signature, slot=made[1].slot)
    await Place(desk=desk).follow(made, IN_RUNS)
    assert await desk.net(desk.user) == 8
    assert await desk.incidents() == ["an amount the books cannot hold"]


async def bookings(desk: Desk, made: Sequence[Answer]) -> list[Booking]:
    """What a follower would book, its signatures discovered."""
    node = FakeNode(missing={one.signature for one in made})
    node.add(*made)
    await follower(node, desk.pool, desk.writer).round()
    reads = [decode(one.json(), signature=one.signature, watch=WATCH) for one in made]
    return [
        Booking(
            cluster=WATCH.cluster,
            transaction=read,
            events=events_of(read, WATCH),
            terms={},
            answer=one.json(),
        )
        for read, one in zip(reads, made, strict=True)
    ]


async def test_two_who_book_overlapping_runs_book_each_once(desk: Desk) -> None:
    run = await bookings(desk, mixed(desk, desk, [("coded", 1 + n) for n in range(9)]))
    found = await asyncio.gather(
        book_run(desk.pool, desk.writer, run[:6], watch=WATCH),
        book_run(desk.pool, desk.writer, run[3:], watch=WATCH),
        book_run(desk.pool, desk.writer, list(reversed(run)), watch=WATCH),
    )
    assert sum(len(events) for result in found for events in result) == 9
    assert await desk.net(desk.user) == 45
    assert await book_run(desk.pool, desk.writer, run, watch=WATCH) == [()] * 9


async def test_an_older_life_books_no_run(desk: Desk) -> None:
    run = await bookings(desk, mixed(desk, desk, [("coded", 1), ("coded", 2)]))
    await open_writer(desk.pool, "indexer")
    with pytest.raises(WriterFenced):
        await book_run(desk.pool, desk.writer, run, watch=WATCH)
    assert await desk.nets() == {}


async def test_a_reader_that_dies_is_done_without(desk: Desk) -> None:
    made = mixed(desk, desk, [("coded", 1 + n) for n in range(4)])
    portion = [(one.signature, as_json(one.json()).encode()) for one in made]
    belief = Belief(verify_signatures=False, most_microusdc=None)
    async with Reader(WATCH, belief) as reader:
        found = await reader.read(portion)
        assert [one.deposits[0][2] for one in found if one is not None] == [1, 2, 3, 4]
        os.kill(reader.process_id, signal.SIGKILL)
        assert await reader.read(portion) == [None] * 4
        assert await reader.read(portion[:1]) == [None]


async def test_a_reader_that_cannot_be_started_is_done_without(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    place = Place(desk=desk)
    await place.follow(mixed(desk, desk, [("coded", 1), ("coded", 2)]), BESIDE)
    assert await desk.net(desk.user) == 3


async def test_a_reader_ends_with_who_asks(desk: Desk) -> None:
    belief = Belief(verify_signatures=False, most_microusdc=None)
    async with Reader(WATCH, belief) as reader:
        await reader.read([])
        number = reader.process_id
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)


async def test_dying_after_any_statement_of_a_run_changes_nothing(desk: Desk) -> None:
    """Each life dies one statement later than the one before, commits included."""
    kinds = [(kind, 10 + n) for n, kind in enumerate([*EVERYDAY, "wrong", *EVERYDAY, "closed"])]
    closed = await desk.another_user()
    await close_account(closed)
    made = mixed(desk, closed, kinds)
    calm = Place(desk=desk)
    await calm.follow(made, SINGLY)
    place, life, deaths = Place(desk=desk), Life(), 0
    await claim(desk.pool, place.cluster)
    place.node.add(*made)
    pool = await mortal_pool(desk.database.dsn, life)
    while True:
        writer = await open_writer(desk.pool, "indexer")
        life.left = deaths + 1
        with suppress(Crash):
            mortal = follower(place.node, pool, writer, cluster=place.cluster, pace=IN_RUNS)
            await mortal.round()
            break
        deaths += 1
    pool.terminate()
    assert deaths >= 20
    assert await place.rows() == await calm.rows()


@asynccontextmanager
async def clone(database: Database, name: str) -> AsyncGenerator[Database]:
    """A copy as a backup has it; nobody may be connected to the original."""
    admin = await asyncpg.connect(database.dsn.replace(database.name, "postgres"))
    try:
        await admin.execute(f'create database "{name}" template "{database.name}"')
        yield Database(name=name, dsn=database.dsn.replace(database.name, name))
        await admin.execute(f'drop database "{name}" with (force)')
    finally:
        await admin.close()


@dataclass(kw_only=True)
class Copy:
    """A database of one point in time, and the indexer over it."""

    pool: Pool

    async def follow(self, node: FakeNode) -> int:
        """Read to the end as a new life; what the till holds then."""
        life = follower(node, self.pool, await open_writer(self.pool, "indexer"), pace=IN_RUNS)
        for _ in range(3):
            node.tip += 2
            await life.round()
        async with transaction(self.pool) as tx:
            return -(await store.balance(tx, accounts.chain_vault(Vault.TILL))).net_microusdc


async def test_a_database_restored_from_a_backup_credits_nothing_twice(database: Database) -> None:
    """The backup is of the middle; what came later is read from the chain again."""
    front = await open_pool(database.dsn, role="pod_coordinator", application="test", size=1)
    async with transaction(front) as tx:
        code = await deposits.enroll_user(tx, uuid4())
    await front.close()
    made = [
        answer(deposit(code, 1 + n), till=1 + n, signature=signature(n), slot=10 + n)
        if n % 3
        else answer(transfer(ALICE_ATA, TILL, 1), till=1, signature=signature(n), slot=10 + n)
        for n in range(12)
    ]
    whole = sum(1 + n if n % 3 else 1 for n in range(12))
    node = FakeNode()
    node.add(*made[:7])
    pool = await open_pool(database.dsn, role="pod_indexer", application="test", size=3)
    await claim(pool)
    await Copy(pool=pool).follow(node)
    await pool.close()
    async with clone(database, f"backup_{uuid4().hex}") as backup:
        node.add(*(replace(one, slot=one.slot + 20) for one in made[7:]))
        pool = await open_pool(database.dsn, role="pod_indexer", application="test", size=3)
        assert await Copy(pool=pool).follow(node) == whole
        await pool.close()
        worker = await open_pool(backup.dsn, role="pod_settlement", application="test", size=1)
        await store.begin_era(worker, actor="ann", reason="disk lost")
        await worker.close()
        pool = await open_pool(backup.dsn, role="pod_indexer", application="test", size=3)
        restored = Copy(pool=pool)
        assert await restored.follow(node) == whole
        assert await restored.follow(node) == whole
        async with transaction(pool) as tx:
            assert await store.broken_rules(tx) == []
        await pool.close()
