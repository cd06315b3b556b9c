"""The journal's days: a name leads into one partition, whoever asks, and nobody breaks into it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest

from settlement.db import sql
from settlement.db.pool import CallConn, Pool, calling, open_pool, transaction
from settlement.ledger import store
from settlement.ledger.everyday import EverydayRoad
from settlement.ledger.operations import Charge
from settlement.ledger.writer import GroupCommit
from tests import factories
from tests.database import days, plans
from tests.database.conftest import Books
from tests.database.plans import Connection

KEPT = 30
SERVICES = ("pod_coordinator", "pod_indexer", "pod_settlement")
EVERYONE = (*SERVICES, "pod_signer", "pod_finance")


@pytest.fixture
async def month(books: Books) -> Books:
    """Books that keep a month at hand."""
    await days.open_days(books.database.dsn, days.today() - KEPT * days.DAY, days.today())
    return books


@asynccontextmanager
async def fresh(books: Books) -> AsyncGenerator[Pool]:
    """One connection of the coordinator's that has not done anything yet."""
    pool = await open_pool(books.database.dsn, role="pod_coordinator", application="test", size=1)
    try:
        yield pool
    finally:
        await pool.close()


@asynccontextmanager
async def connected(books: Books, role: str | None = None) -> AsyncGenerator[Connection]:
    """A raw connection; without a role, the superuser's."""
    connection = await asyncpg.connect(books.database.dsn)
    try:
        if role:
            await connection.execute(f"set role {role}")
        yield connection
    finally:
        await connection.close()


def charge(books: Books, request_id: UUID) -> Charge:
    """A request paid from what the user has."""
    return factories.charge(request_id, books.user, books.host, 10, hold_id=None)


async def test_a_name_leads_to_the_partition_of_its_day(month: Books) -> None:
    wanted = days.today() - 7 * days.DAY
    name = f"'{days.id_at(days.start_of(wanted) + timedelta(hours=5))}'"
    async with connected(month) as connection:
        for query in (
            "select gross from settlement.charge where request_id = $1",
            sql.load("cli.story", "books.sql")["get_charge"],
        ):
            found = await plans.touched(connection, query, ["uuid"], name)
            assert found.tables | found.spared == {days.partition_of(wanted)}
            assert found.removed == KEPT + 3


async def test_a_look_between_bounds_leaves_out_the_days_beyond_them(month: Books) -> None:
    first = days.today() - 9 * days.DAY
    bounds = [f"settlement.uuid_floor_v1('{first + n * days.DAY}')" for n in (0, 2)]
    async with connected(month) as connection:
        found = await plans.touched(
            connection,
            "select count(*) from settlement.charge where request_id >= $1 and request_id < $2",
            ["uuid", "uuid"],
            *bounds,
        )
    assert found.tables == {days.partition_of(first), days.partition_of(first + days.DAY)}
    assert (found.spared, found.removed) == (frozenset(), KEPT + 2)


async def test_apply_looks_for_names_in_their_days_alone(month: Books) -> None:
    asked = [days.today() - n * days.DAY for n in (0, 1, 20)]
    names = [days.id_at(days.start_of(day) + timedelta(hours=3)) for day in asked]
    strangers = [days.id_at(days.start_of(days.today() - 900 * days.DAY)), uuid4()]
    listed = ", ".join(f"'{name}'" for name in [*names, *strangers])
    async with connected(month) as connection:
        low, high = await window(connection)
        found = await plans.touched(
            connection,
            await plans.body_of(connection, "charges_v2", ("p_requests", "p_low", "p_high")),
            ["uuid[]", "uuid", "uuid"],
            *(f"array[{listed}]::uuid[]", f"'{low}'", f"'{high}'"),
        )
    assert found.tables == {days.partition_of(day) for day in asked}
    assert len(found.spared) == KEPT + 4 - len(asked)


async def window(connection: Connection) -> tuple[UUID, UUID]:
    """Between which names requests may be settled."""
    row = await connection.fetchrow("select low, high from settlement.charge_window")
    assert row is not None
    return row["low"], row["high"]


async def test_settling_writes_where_it_must_and_looks_nowhere(month: Books) -> None:
    yesterday = days.today() - days.DAY
    names = [days.id_at(days.start_of(yesterday) + timedelta(hours=n)) for n in range(5)]
    holds = [factories.hold(month.user, 10) for _ in names]
    charges = [
        factories.charge(name, month.user, month.host, 10, hold_id=hold.hold_id)
        for name, hold in zip(names, holds, strict=True)
    ]
    await month.apply(*holds)
    async with fresh(month) as pool, transaction(pool) as tx:
        settled = await EverydayRoad(month.writer).settle(CallConn(tx), charges, [])
        assert settled is not None
        assert await plans.looks_and_rows(tx) == {days.partition_of(yesterday): (0, 5)}


async def test_applying_looks_into_the_days_it_writes_to(month: Books) -> None:
    async with fresh(month) as pool, transaction(pool) as tx:
        (outcome,) = await store.apply(tx, month.writer, [charge(month, factories.request_id())])
        assert outcome.done
        assert set(await plans.looks_and_rows(tx)) == {days.partition_of(days.today())}


async def test_each_name_goes_into_the_day_it_says(month: Books) -> None:
    midnight = days.start_of(days.today())
    at = [midnight - timedelta(milliseconds=1), midnight, midnight - 3 * days.DAY]
    names = [days.id_at(moment) for moment in at]
    assert set(await month.codes(*(charge(month, name) for name in names))) == {"applied"}
    async with connected(month) as connection:
        rows = await connection.fetch(
            "select request_id, tableoid::regclass::text as place from settlement.charge"
        )
    assert {row["request_id"]: row["place"] for row in rows} == {
        name: f"settlement.{days.partition_of(moment.date())}"
        for name, moment in zip(names, at, strict=True)
    }


async def outside(books: Books) -> list[UUID]:
    """Names that may not be settled: of later, of before the window, of no time at all."""
    now = await books.fetchval("select clock_timestamp()")
    assert isinstance(now, days.datetime)
    async with connected(books) as connection:
        low, high = await window(connection)
    return [
        *(days.id_at(now + timedelta(minutes=n)) for n in (6, 24 * 60, 1_000_000)),
        UUID(int=high.int),
        UUID(int=low.int - 1),
        days.id_at(days.start_of(days.today() - (KEPT + 1) * days.DAY)),
        # A version 4 with the time of this very moment.
        UUID(int=days.id_at(now).int ^ (0x7 ^ 0x4) << 76),
        uuid4(),
        UUID(int=0),
        UUID(int=2**128 - 1),
    ]


async def traces(books: Books) -> tuple[object, ...]:
    """What settling anything would change."""
    return tuple(
        [
            await books.fetchval(f"select {what}")
            for what in (
                "count(*) from settlement.charge",
                "count(*) from settlement.batch",
                "sum(version) + sum(dr) + sum(held) from settlement.balance",
            )
        ]
    )


async def test_a_name_outside_the_window_is_refused_at_every_door(month: Books) -> None:
    names = await outside(month)
    hold = factories.hold(month.user, 1_000)
    await month.apply(hold)
    before = await traces(month)
    for hold_id in (None, hold.hold_id):
        asked = [
            factories.charge(name, month.user, month.host, 10, hold_id=hold_id) for name in names
        ]
        assert await month.codes(*asked) == ["outside_window"] * len(names)
        async with calling(month.pool) as conn:
            road = EverydayRoad(month.writer)
            for one in asked:
                assert await road.settle(conn, [one], []) is None
        async with GroupCommit(month.pool, month.writer) as group:
            answers = await asyncio.gather(*(group.submit(one) for one in asked))
        assert {answer.code.value for answer in answers} == {"outside_window"}
    assert await traces(month) == before


async def test_one_name_outside_the_window_does_not_stop_its_batch(month: Books) -> None:
    hold = factories.hold(month.user, 10)
    good = factories.charge(hold.hold_id, month.user, month.host, 10)
    bad = factories.charge(uuid4(), month.user, month.host, 10, hold_id=hold.hold_id)
    async with GroupCommit(month.pool, month.writer) as group:
        await group.submit(hold)
        answers = await asyncio.gather(*(group.submit(one) for one in (bad, good)))
    assert [answer.code.value for answer in answers] == ["outside_window", "applied"]


async def test_the_edges_of_the_window_are_inside(month: Books) -> None:
    async with connected(month) as connection:
        low, _ = await window(connection)
    first = UUID(int=low.int | 0x7 << 76 | 0b10 << 62)
    soon = await month.fetchval("select clock_timestamp() + interval '4 minutes'")
    assert isinstance(soon, days.datetime)
    names = (first, days.id_at(soon))
    assert await month.codes(*(charge(month, name) for name in names)) == ["applied"] * 2


# Each as it would be tried on the partition of today.
BREAKING_IN = {
    "write": "insert into {} select * from {}",
    "change": "update {} set gross = gross",
    "remove": "delete from {}",
    "empty": "truncate {}",
    "drop": "drop table {}",
    "detach": "alter table settlement.charge detach partition {}",
    "take its index": "drop index {}_pkey",
    "stop its trigger": "alter table {} disable trigger all",
    "make one": "create table settlement.charge_x partition of settlement.charge default",
    "make a day": "select settlement.make_charge_day_v1(current_date + 40)",
    "move the window": "update settlement.charge_window set low = gen_random_uuid()",
    "forget a day": "delete from settlement.charge_day",
    "say it is archived": "update settlement.charge_day set state = 'archived'",
}


async def test_no_role_breaks_into_a_partition(month: Books) -> None:
    place = f"settlement.{days.partition_of(days.today())}"
    for role in EVERYONE:
        async with connected(month, role) as connection:
            for attempt in BREAKING_IN.values():
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(attempt.replace("{}", place))


async def test_not_even_the_owner_changes_what_is_in_a_partition(month: Books) -> None:
    assert await month.codes(charge(month, factories.request_id())) == ["applied"]
    place = f"settlement.{days.partition_of(days.today())}"
    for attempt in ("change", "remove", "empty"):
        for role in ("pod_owner", None):
            async with connected(month, role) as connection:
                with pytest.raises(asyncpg.PostgresError) as refused:
                    await connection.execute(BREAKING_IN[attempt].format(place))
                assert refused.value.sqlstate == "PL003"


async def test_the_same_name_is_settled_once_whoever_settles_it(month: Books) -> None:
    other = await store.open_writer(month.pool, "other")
    name = factories.request_id()

    async def attempt(writer: store.Writer) -> str:
        async with transaction(month.pool) as tx:
            (outcome,) = await store.apply(tx, writer, [charge(month, name)])
        return outcome.code.value

    codes = await asyncio.gather(*(attempt(writer) for writer in (month.writer, other) * 5))
    assert sorted(codes) == ["applied"] + ["replayed"] * 9
