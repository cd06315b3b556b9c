"""After a restore new chains begin, and nobody of before writes into them."""

import json

import pytest

from settlement.db.pool import calling, open_pool, reading
from settlement.ledger import store
from settlement.ledger.everyday import EverydayRoad
from settlement.ledger.operations import Code, HoldPurpose, Void
from settlement.ledger.store import RestoreUnexplained, WriterFenced
from settlement.ledger.verify import verify
from settlement.ledger.verify_read import read_books
from settlement.ledger.verify_state import Progress
from settlement.ledger.writer import GroupCommit
from tests import factories
from tests.database.conftest import Books
from tests.database.words import typed


async def test_a_restore_fences_everybody_and_begins_new_chains(books: Books) -> None:
    before = books.writer
    answer = await typed(
        *("restored", "--actor", "ann", "--reason", "disk lost", "--json"), dsn=books.database.dsn
    )
    assert (answer.code, json.loads(answer.out)) == (0, {"era": 2})
    async with GroupCommit(books.pool, before) as group:
        with pytest.raises(WriterFenced):
            await group.submit(factories.hold(books.user, 1))
    after = await store.open_writer(books.pool, before.name)
    assert (after.epoch, after.head.seq) == (1, 0)
    assert after.writer_id != before.writer_id
    assert after.head.hash != await books.fetchval("select settlement.first_link_v2($1, 1)", "x")
    assert await books.codes(factories.hold(books.user, 1), writer=after) == ["applied"]
    # Both chains are whole, and what they move adds up.
    progress = Progress(books=await read_books(books.pool))
    verdict = await verify(books.pool, progress, lambda _: None)
    assert verdict.wrong is None
    told = await books.fetchval("select actor || ': ' || reason from settlement.era where era = 2")
    assert told == "ann: disk lost"


async def test_what_was_set_aside_before_a_restore_is_given_back_after_it(books: Books) -> None:
    held = [
        factories.hold(books.user, 5),
        factories.hold(books.user, 7, purpose=HoldPurpose.LEASE),
    ]
    kept = factories.hold(books.user, 9, purpose=HoldPurpose.PAYOUT)
    assert await books.codes(*held, kept) == ["applied"] * 3
    stranger = await store.open_writer(books.pool, "stranger")
    voids = [Void(hold_id=hold.hold_id, reason="before the restore") for hold in held]
    assert await books.codes(*voids, writer=stranger) == ["conflict"] * 2
    worker = await open_pool(books.database.dsn, role="pod_settlement", application="test", size=1)
    assert await store.begin_era(worker, actor="ann", reason="disk lost") == 2
    await worker.close()
    after = await store.open_writer(books.pool, books.writer.name)
    async with reading(books.pool) as conn:
        found = await store.abandoned_holds(conn, after)
    assert set(found) == {hold.hold_id for hold in held}
    async with calling(books.pool) as conn:
        outcomes = await EverydayRoad(after).apply(conn, voids)
    assert [outcome.code for outcome in outcomes] == [Code.APPLIED] * 2
    assert (await books.balance(books.user)).held_microusdc == 9


async def test_links_of_two_eras_differ(books: Books) -> None:
    link = "select settlement.first_link_v2('a', $1)"
    assert await books.fetchval(link, 1) != await books.fetchval(link, 2)


async def test_a_restore_that_nobody_explains_is_refused_by_name(books: Books) -> None:
    for actor, reason, field in (("", "why", "actor"), ("ann", " ", "reason")):
        with pytest.raises(RestoreUnexplained) as refused:
            await store.begin_era(books.pool, actor=actor, reason=reason)
        assert refused.value.details["field"] == field
    answer = await typed("restored", "--actor", " ", "--reason", "x", dsn=books.database.dsn)
    assert answer.code == 1
    assert (await typed("restored", dsn=books.database.dsn)).code == 2
    assert await books.fetchval("select max(era) from settlement.era") == 1
