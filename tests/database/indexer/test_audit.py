"""What contradicts an invariant is found, though nothing of ours could have written it."""

import asyncpg
from prometheus_client import CollectorRegistry

from indexer.audit import Auditor
from indexer.metrics import Meters
from tests.database.indexer.conftest import Desk
from tests.database.indexer.node import FakeNode, follower
from tests.pure.transactions import WATCH, Answer, answer, deposit, signature

INVARIANTS = ("I1", "I2", "I4", "I9")


def auditor(desk: Desk) -> Auditor:
    return Auditor(
        pool=desk.pool,
        watch=WATCH,
        writer_id=desk.writer.writer_id,
        seen_batch=0,
        seen_slot=0,
    )


def coded(number: int, desk: Desk, *, slot: int) -> Answer:
    return answer(deposit(desk.user_code, 5), till=5, slot=slot, signature=signature(number))


async def as_superuser(desk: Desk, statement: str) -> None:
    """Do what triggers and rights forbid everybody else."""
    connection = await asyncpg.connect(desk.database.dsn)
    await connection.execute("set session_replication_role = replica")
    await connection.execute(statement)
    await connection.close()


def figures(registry: CollectorRegistry) -> dict[str, float | None]:
    return {
        one: registry.get_sample_value("indexer_invariant_violations", {"invariant": one})
        for one in INVARIANTS
    }


async def looked(audit: Auditor) -> dict[str, float]:
    """What is violated, after a look."""
    meters = Meters()
    await audit.look(meters)
    found = figures(meters.registry)
    assert None not in found.values()
    return {one: count for one, count in found.items() if count}


async def booked(desk: Desk) -> tuple[FakeNode, Auditor]:
    node = FakeNode()
    node.add(*(coded(number, desk, slot=10 + number) for number in range(3)))
    await follower(node, desk.pool, desk.writer).round()
    return node, auditor(desk)


async def test_what_is_right_violates_nothing(desk: Desk) -> None:
    _, audit = await booked(desk)
    assert await looked(audit) == {}
    assert audit.seen_batch > 0
    assert audit.seen_slot == 13
    assert await looked(audit) == {}


async def test_an_entry_without_a_finalized_event(desk: Desk) -> None:
    _, audit = await booked(desk)
    await as_superuser(
        desk, "delete from indexer.event where event_at = (select min(event_at) from indexer.event)"
    )
    assert (await looked(audit))["I1"] == 1
    assert (await looked(audit))["I1"] == 1  # it stays, and is not counted again


async def test_a_frontier_above_what_is_not_final(desk: Desk) -> None:
    node, audit = await booked(desk)
    node.tip = 20
    await follower(node, desk.pool, desk.writer).round()
    assert await looked(audit) == {}
    await as_superuser(
        desk, "update indexer.signature set state = 'wanted', finished_at = null where slot = 10"
    )
    assert (await looked(audit))["I4"] == 2  # for the till, and for the program
    await as_superuser(
        desk,
        "update indexer.signature set state = 'booked', finished_at = now() where slot = 10",
    )
    assert "I4" not in await looked(audit)


async def test_rows_that_are_not_what_was_recorded(desk: Desk) -> None:
    _, audit = await booked(desk)
    await as_superuser(desk, "update indexer.movement set amount = 6 where slot = 11")
    assert (await looked(audit))["I9"] == 1


async def test_figures_of_incidents_and_of_what_waits(desk: Desk) -> None:
    node, audit = await booked(desk)
    node.add(coded(8, desk, slot=20), coded(9, desk, slot=21))
    node.missing = {signature(8)}
    node.answers[signature(9)] |= {"version": 9}
    node.answers[signature(9)]["transaction"]["message"]["accountKeys"].append(
        str(WATCH.deployment.till_vault)
    )
    await follower(node, desk.pool, desk.writer).round()
    meters = Meters()
    await audit.look(meters)
    value = meters.registry.get_sample_value
    waiting = value("indexer_oldest_open_seconds")
    assert waiting is not None
    assert 0 < waiting < 60
    assert value("indexer_audit_timestamp_seconds")
    kinds = {"kind": "unreadable transaction"}
    assert value("indexer_open_incidents_of_kind", kinds) == 1
