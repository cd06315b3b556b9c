"""Proofs out of books of 10 000 rows: each holds, and none for a row that was changed."""

import json
from collections.abc import AsyncIterator
from itertools import combinations_with_replacement
from random import Random
from uuid import UUID, uuid4

import pytest

from settlement.db.pool import Pool, calling, open_pool
from settlement.ledger import accounts, store
from settlement.ledger.everyday import EverydayRoad
from settlement.ledger.operations import AccountName, HoldPurpose, Writer
from settlement.ledger.seal import make_seal
from settlement.ledger.seal_file import GrowthProof, ProofFails, RowProof, read_proof
from settlement.ledger.seal_proofs import RowMissing, RowUnsealed, prove_growth, prove_row
from settlement.ledger.seal_read import SealMissing
from settlement.ledger.verify import verify
from settlement.ledger.verify_state import Progress
from tests import factories
from tests.conftest import Database
from tests.database.conftest import Books, open_books

ROWS = 10_000
SEALS = 6


@pytest.fixture
async def sealer(database: Database) -> AsyncIterator[Pool]:
    """Connections of the role that may seal."""
    opened = await open_pool(database.dsn, role="pod_settlement", application="test")
    yield opened
    await opened.close()


async def busy_books(database: Database, pool: Pool, sealer: Pool) -> list[UUID]:
    """Random rows of two writers in six seals; the ids that may be proven, as they were written."""
    random = Random(7)
    books = await open_books(database, pool, [10**12])
    hosts = [accounts.host(uuid4()) for _ in range(5)]
    await books.open(*hosts)
    lease = factories.hold(books.user, 10**11, purpose=HoldPurpose.LEASE)
    await books.apply(lease)
    indexer = await store.open_writer(pool, "indexer")
    road = EverydayRoad(await store.open_writer(pool, "coordinator"))
    ids: list[UUID] = []
    for number in range(1, SEALS + 1):
        while len(ids) < ROWS * number // SEALS:
            if random.random() < 0.3:
                ids += await _deposits(books, random, indexer)
            else:
                ids += await _charges(pool, road, random, (books.user, lease.hold_id, hosts))
        assert await make_seal(sealer) is not None
    return ids


async def _deposits(books: Books, random: Random, indexer: Writer) -> list[UUID]:
    posts = [
        factories.deposit(books.user, 1 + random.randrange(99))
        for _ in range(random.randint(1, 20))
    ]
    await books.apply(*posts, writer=indexer)
    return [post.transaction_id for post in posts]


async def _charges(
    pool: Pool,
    road: EverydayRoad,
    random: Random,
    paying: tuple[AccountName, UUID, list[AccountName]],
) -> list[UUID]:
    user, lease, hosts = paying
    charges = [
        factories.charge(
            factories.request_id(), user, random.choice(hosts), random.randrange(999), hold_id=lease
        )
        for _ in range(random.choice((1, 3, 100, 300)))
    ]
    async with calling(pool) as conn:
        outcomes = await road.apply(conn, charges)
    assert all(outcome.done for outcome in outcomes)
    return [charge.request_id for charge in charges]


@pytest.mark.timeout(300)
async def test_every_row_of_a_sample_and_every_pair_of_seals(
    database: Database, pool: Pool, sealer: Pool
) -> None:
    ids = await busy_books(database, pool, sealer)
    assert len(ids) >= ROWS
    random = Random(3)
    seen: set[int] = set()
    for row_id in [*random.sample(ids, 100), *ids[:10], *ids[-10:]]:
        newest = await prove_row(sealer, row_id)
        assert newest.seal.seal_no == SEALS
        again = read_proof(json.dumps(newest.as_json()))
        assert isinstance(again, RowProof)
        again.check()
        seen.add(again.inclusion.index)
        await _older_seals(sealer, again, random)
    assert len(seen) > 100
    for old, new in combinations_with_replacement(range(1, SEALS + 1), 2):
        grown = read_proof(json.dumps((await prove_growth(sealer, old, new)).as_json()))
        assert isinstance(grown, GrowthProof)
        grown.check()
        assert (grown.old.seal_no, grown.new.seal_no) == (old, new)
    assert (await verify(sealer, Progress(books="b"), lambda step: None)).wrong is None


async def _older_seals(sealer: Pool, newest: RowProof, random: Random) -> None:
    """It is in each seal that is large enough, at the same leaf, and in no other."""
    for seal_no in random.sample(range(1, SEALS), 2):
        try:
            proof = await prove_row(sealer, newest.row_id, seal_no)
        except RowUnsealed as error:
            if seal_no >= int(str(error.details["first"])):
                raise
            continue
        proof.check()
        assert proof.inclusion.index == newest.inclusion.index < proof.seal.tree_size


async def test_a_changed_row_has_no_proof(database: Database, pool: Pool, sealer: Pool) -> None:
    books = await open_books(database, pool, [25_000_000])
    posts = [factories.deposit(books.user, 5) for _ in range(5)]
    await books.apply(*posts)
    await make_seal(sealer)
    row_id = posts[2].transaction_id
    before = await prove_row(sealer, row_id)
    for change, undo in (("transfer set amount = 6", "transfer set amount = 5"),
                         ("txn set actor = 'x'", "txn set actor = 'test'")):  # fmt: skip
        await _lie(books, f"update settlement.{change} where txn_id = '{row_id}'")
        for post in posts:  # its neighbours have no proof either: it is beside their way
            with pytest.raises(ProofFails):
                await prove_row(sealer, post.transaction_id)
        await _lie(books, f"update settlement.{undo} where txn_id = '{row_id}'")
    assert await prove_row(sealer, row_id) == before


async def _lie(books: Books, statement: str) -> None:
    await books.execute(f"set session_replication_role = replica; {statement}")


async def test_what_is_not_there_is_said(database: Database, pool: Pool, sealer: Pool) -> None:
    books = await open_books(database, pool, [25_000_000])
    late = factories.deposit(books.user, 5)
    with pytest.raises(SealMissing):
        await prove_growth(sealer, 1, 2)
    with pytest.raises(RowMissing):
        await prove_row(sealer, late.transaction_id)
    await books.apply(late)
    with pytest.raises(RowUnsealed):
        await prove_row(sealer, late.transaction_id)
    await make_seal(sealer)
    with pytest.raises(SealMissing):
        await prove_row(sealer, late.transaction_id, 2)
    later = factories.deposit(books.user, 5)
    await books.apply(later)
    await make_seal(sealer)
    with pytest.raises(RowUnsealed):
        await prove_row(sealer, later.transaction_id, 1)
