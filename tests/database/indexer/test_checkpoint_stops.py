"""Stops: rows that were tampered with, what people decide, what outlives a process."""

from contextlib import suppress

import asyncpg
import pytest

from indexer import stops
from settlement.chain.movement import Vault
from settlement.db.pool import open_pool, transaction
from settlement.ledger.store import open_writer
from settlement.reconcile import checkpoint
from settlement.reconcile.checkpoint import StopNotLifted
from tests.database.indexer.checkpoints import (
    begin,
    coded,
    is_calm,
    stop_of,
    tampering,
    verdicts,
)
from tests.database.indexer.conftest import Desk
from tests.database.indexer.mortal import Crash, mortal_pool
from tests.database.indexer.mortal import Life as Statements
from tests.database.indexer.vaults import add, life, nodes
from tests.pure.transactions import signature


async def test_a_movement_that_a_superuser_removed_stops_until_it_is_back(desk: Desk) -> None:
    found = nodes(2, coded(1, desk, slot=10), coded(2, desk, slot=10, amount=9))
    one = begin(desk, found)
    await one.rounds()
    async with tampering(desk) as connection:
        await connection.execute("create table saved as table indexer.movement")
        await connection.execute("delete from indexer.movement where amount = 9")
    await one.rounds()
    stop = await stop_of(desk)
    assert stop is not None
    assert stop.difference_microusdc == 9
    async with tampering(desk) as connection:
        await connection.execute("insert into indexer.movement select * from saved where amount=9")
    await one.rounds()
    assert await is_calm(desk)


async def test_a_movement_that_was_doubled_stops(desk: Desk) -> None:
    found = nodes(2, coded(1, desk, slot=10))
    one = begin(desk, found)
    await one.rounds()
    async with tampering(desk) as connection:
        await connection.execute(
            "insert into indexer.movement select cluster, signature, outer_index, inner_index, 77,"
            " slot, kind, from_vault, to_vault, source, destination, amount from indexer.movement"
        )
    await one.rounds()
    stop = await stop_of(desk)
    assert stop is not None
    assert stop.difference_microusdc == -5


async def test_a_person_takes_the_difference_over(desk: Desk) -> None:
    found = nodes(1, coded(1, desk, slot=10))
    found[0].lies = {Vault.TILL: 4}  # which it will go on saying
    one = begin(desk, found)
    await one.rounds(10)
    stop = await stop_of(desk)
    assert stop is not None
    people = await open_pool(desk.database.dsn, role="pod_finance", application="test", size=1)
    for by, reason in (("", "why"), ("maria", " ")):
        with pytest.raises(StopNotLifted):
            async with transaction(people) as tx:
                await stops.lift(tx, stop.stop_id, by=by, reason=reason)
    async with transaction(people) as tx:
        taken = await stops.lift(tx, stop.stop_id, by="maria", reason="donated before we began")
    with pytest.raises(StopNotLifted, match="no open stop"):
        async with transaction(people) as tx:
            await stops.lift(tx, stop.stop_id, by="maria", reason="again")
    await people.close()
    assert taken == 4
    add(found, coded(2, desk, slot=found[0].tip))
    await one.rounds(8)
    assert (await verdicts(desk))[-1][0] == "equal"
    assert await desk.net(desk.user) == 10
    assert await is_calm(desk)
    rows = await desk.rows("select lifted_by, lift_reason, accepted from settlement.crediting_stop")
    assert [tuple(row.values()) for row in rows] == [("maria", "donated before we began", 4)]


async def test_the_database_lets_the_indexer_lift_only_what_it_has_proven(desk: Desk) -> None:
    found = nodes(1, coded(1, desk, slot=10))
    one = begin(desk, found)
    await one.rounds()
    found[0].lies = {Vault.TILL: 4}
    await one.rounds()
    stop = await stop_of(desk)
    assert stop is not None
    good = await desk.rows(
        "select max(checkpoint_id) as id from settlement.checkpoint where verdict = 'equal'"
    )
    for number in (None, good[0]["id"], 10**6):
        with pytest.raises(StopNotLifted):
            async with transaction(desk.pool) as tx:
                await checkpoint.lift(
                    tx, stop.stop_id, by="indexer", reason="trust me", checkpoint_id=number
                )
    for statement in (
        "update settlement.crediting_stop set lifted_at = now()",
        "update settlement.crediting_stop set accepted = difference",
        "update settlement.payout_halt set lifted_at = now(), lifted_by = 'me'",
        "delete from settlement.crediting_stop",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with transaction(desk.pool) as tx:
                await tx.execute(statement)


async def test_a_stop_outlives_the_process_that_raised_it(desk: Desk) -> None:
    found = nodes(1, coded(1, desk, slot=10))
    found[0].lies = {Vault.TILL: 1}
    await begin(desk, found).rounds(10)
    add(found, coded(2, desk, slot=found[0].tip))
    await begin(desk, found).rounds(10)
    assert await desk.net(desk.user) == 5
    rows = await desk.rows("select count(*) as n from settlement.crediting_stop")
    assert rows[0]["n"] == 1
    found[0].lies = {}
    await begin(desk, found).rounds(10)
    assert await desk.net(desk.user) == 10
    assert await is_calm(desk)


async def test_a_signature_somebody_made_up_is_not_kept(desk: Desk) -> None:
    found = nodes(3, coded(1, desk, slot=10))
    forged = coded(2, desk, slot=10)
    found[2].answers = {**found[2].answers, forged.signature: forged.json()}
    for node in found:
        node.missing = {forged.signature}  # it is listed, and there is no such transaction
        node.lies = {Vault.TILL: 2}
    await begin(desk, found).rounds(10)
    assert await stop_of(desk) is not None
    assert await desk.states() == {"booked": 1}
    assert await desk.rows("select from settlement.hidden_signature") == []


@pytest.mark.parametrize("nonsense", ["", "0OIl", "5sig", "ü", "1" * 100])
async def test_what_is_no_signature_is_passed_over(desk: Desk, nonsense: str) -> None:
    """The search through the blocks goes on, and finds behind it what every listing hid."""
    hidden = coded(2, desk, slot=10)
    found = nodes(2, coded(1, desk, slot=10), hidden)
    for node in found:
        node.hidden, node.invented = {hidden.signature}, {10: nonsense}
    await begin(desk, found).rounds(12)
    assert await desk.net(desk.user) == 10
    assert await stop_of(desk) is None


async def test_the_books_of_yesterday_catch_up_and_prove_it(desk: Desk) -> None:
    found = nodes(2, coded(1, desk, slot=10))
    await begin(desk, found).rounds()
    tip = found[0].tip
    add(found, *(coded(number, desk, slot=tip + number) for number in range(2, 12)))
    await begin(desk, found).rounds()  # another life, days later
    assert (await verdicts(desk))[-1][0] == "equal"
    assert {line[0] for line in await verdicts(desk)} == {"equal"}
    assert await desk.net(desk.user) == 55
    assert await is_calm(desk)


async def test_dying_after_any_statement_raises_one_stop_and_loses_nothing(desk: Desk) -> None:
    """Each life dies some statements later than the one before, until one lives to the end."""
    found = nodes(1, coded(1, desk, slot=10))
    await begin(desk, found).rounds()
    add(found, coded(2, desk, slot=found[0].tip, amount=70))
    found[0].hidden = {signature(2)}
    dying, deaths = Statements(), 0
    pool = await mortal_pool(desk.database.dsn, dying)
    while True:
        writer = await open_writer(desk.pool, "indexer")
        dying.left = 1 + deaths
        with suppress(Crash):
            await life(found, pool, writer).rounds(14)
            break
        deaths += 13
        assert await desk.net(desk.user) in (5, 75)
    pool.terminate()
    rows = await desk.rows("select count(*) as n from settlement.crediting_stop")
    assert rows[0]["n"] == 1
    assert await desk.net(desk.user) == 75
    assert await is_calm(desk)
    assert deaths > 60
