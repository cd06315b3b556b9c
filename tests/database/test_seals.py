"""Seals: made of what was verified, refused where they do not follow; each damage is named."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from localnet import postgres
from settlement.db.pool import AlreadyRunning, Pool, open_pool, reading
from settlement.ledger import seal, seal_read, store, verify_read, verify_state
from settlement.ledger.seal import BooksBroken, make_seal
from settlement.ledger.verify import Step, Verdict, verify
from settlement.ledger.verify_state import Progress
from tests import conftest, factories
from tests.conftest import Database
from tests.database.conftest import Books
from tests.database.damages import lived
from tests.database.seal_damages import SEAL_DAMAGES, names_seal, sealed


@pytest.fixture
async def loose(
    postgres_cluster: postgres.Cluster, migrated_template: str
) -> AsyncIterator[Database]:
    """A database that may be left damaged."""
    async for database in conftest._database(postgres_cluster, template=migrated_template):
        yield database


@pytest.fixture
async def sealer(database: Database) -> AsyncIterator[Pool]:
    """Connections of the role that may seal."""
    opened = await open_pool(database.dsn, role="pod_settlement", application="test")
    yield opened
    await opened.close()


def ignored(step: Step) -> None:
    """Nobody watches."""


async def checked(pool: Pool) -> Verdict:
    """A check from the beginning."""
    return await verify(pool, Progress(books="these"), ignored)


async def test_a_seal_is_made_of_all_rows_and_the_next_of_those_that_came(
    database: Database, pool: Pool, sealer: Pool
) -> None:
    books = await lived(database, pool)
    told: list[tuple[int, int]] = []
    first = await make_seal(sealer, lambda done, total: told.append((done, total)))
    assert first is not None
    assert (first.seal_no, first.rows, first.tree_size, first.era) == (1, 18, 18, 1)
    assert told[-1] == (18, 18)
    assert await make_seal(sealer) is None
    await books.apply(factories.deposit(books.user, 5))
    second = await make_seal(sealer)
    assert second is not None
    assert (second.seal_no, second.rows, second.tree_size) == (2, 1, 19)
    assert second.prev_hash == first.hash
    async with reading(sealer) as conn:
        assert await seal_read.seal_of(conn, 2) == second
        kept = await seal_read.snapshot_page(conn, 2, 0, 10)
    assert len(kept) == 2  # the two that moved
    verdict = await checked(sealer)
    assert (verdict.wrong, verdict.seals) == (None, 2)


async def test_books_without_a_row_get_no_seal(sealer: Pool) -> None:
    assert await make_seal(sealer) is None


async def test_a_seal_after_a_restore_is_of_the_new_era(
    database: Database, pool: Pool, sealer: Pool
) -> None:
    books = await lived(database, pool)
    await make_seal(sealer)
    await store.begin_era(sealer, actor="test", reason="restored")
    again = await store.open_writer(pool, "coordinator")
    await books.apply(factories.deposit(books.user, 5), writer=again)
    second = await make_seal(sealer)
    assert second is not None
    assert (second.era, second.rows) == (2, 1)
    assert (await checked(sealer)).wrong is None


async def test_of_two_at_once_one_gives_up(database: Database, pool: Pool, sealer: Pool) -> None:
    await lived(database, pool)
    answers = await asyncio.gather(*(make_seal(sealer) for _ in range(3)), return_exceptions=True)
    made = [answer for answer in answers if not isinstance(answer, BaseException)]
    assert len([one for one in made if one is not None]) == 1
    gave_up = [answer for answer in answers if isinstance(answer, BaseException)]
    assert all(isinstance(answer, AlreadyRunning) for answer in gave_up)


async def test_seals_are_made_while_rows_arrive(
    database: Database, pool: Pool, sealer: Pool
) -> None:
    books = await lived(database, pool)
    finished = asyncio.Event()
    made: list[int] = []
    indexer = await store.open_writer(pool, "indexer")

    async def busy() -> None:
        while not finished.is_set():
            held = factories.hold(books.user, 20)
            await books.apply(factories.deposit(books.user, 50), held)
            await books.apply(factories.deposit(books.user, 5), writer=indexer)
            await books.apply(factories.charge(held.hold_id, books.user, books.host, 11))

    async def sealing() -> None:
        try:
            while len(made) < 5:
                one = await make_seal(sealer)
                made.extend([] if one is None else [one.seal_no])
        finally:
            finished.set()

    await asyncio.gather(busy(), busy(), sealing())
    verdict = await checked(sealer)
    assert (verdict.wrong, verdict.seals) == (None, 5)


async def test_what_does_not_verify_is_not_sealed(loose: Database) -> None:
    async with _pools(loose) as (writing, sealing):
        books = await lived(loose, writing)
        await make_seal(sealing)
        await books.apply(factories.deposit(books.user, 5))
        statement = "update settlement.transfer set amount = 6 where amount = 5"
        await books.execute(f"set session_replication_role = replica; {statement}")
        with pytest.raises(BooksBroken) as caught:
            await make_seal(sealing)
        assert caught.value.details["rule"] == "batch root"
        assert await books.fetchval("select count(*) from settlement.seal") == 1


@asynccontextmanager
async def _pools(database: Database) -> AsyncGenerator[tuple[Pool, Pool]]:
    """Connections of one who writes and of one who seals."""
    writing = await open_pool(database.dsn, role="pod_coordinator", application="test")
    sealing = await open_pool(database.dsn, role="pod_settlement", application="test")
    try:
        yield writing, sealing
    finally:
        await writing.close()
        await sealing.close()


@pytest.mark.parametrize("name", SEAL_DAMAGES)
async def test_each_damage_of_a_seal_is_named(name: str, loose: Database) -> None:
    damage = SEAL_DAMAGES[name]
    async with _pools(loose) as (writing, sealing):
        books = await sealed(loose, writing, sealing)
        await books.execute(f"set session_replication_role = replica; {damage.statement}")
        wrong = (await checked(sealing)).wrong
    assert wrong is not None
    assert names_seal(wrong, damage), wrong


async def test_a_check_that_stops_inside_a_seal_goes_on_there(
    database: Database, pool: Pool, sealer: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify_read, "_BATCHES_PER_PAGE", 1)
    await sealed(database, pool, sealer)
    whole = await checked(sealer)
    assert (whole.wrong, whole.seals) == (None, 3)
    progress, stops = Progress(books="these"), 0
    while True:
        left = [3]

        def told(step: Step, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise InterruptedError

        try:
            again = await verify(sealer, progress, told)
            break
        except InterruptedError:
            stops += 1
            progress = verify_state.load(verify_state.dump(progress), books="these")
    assert again == whole
    assert stops > 3


# The function refuses what does not follow, whoever calls it: the second seal, wrong in one way.
ARGUMENTS = (
    "$1::integer", "$2::bigint", "$3::bytea[]", "$4::bytea", "$5::integer[]", "$6::bigint[]",
    "$7::bytea[]", "$8::integer[]", "$9::bigint[]", "$10::bytea[]", "$11::bigint[]",
    "$12::bigint[]", "$13::bigint[]", "$14::bigint[]",
)  # fmt: skip
CALL = f"select * from settlement.seal_v1({', '.join(ARGUMENTS)})"


async def _second(books: Books) -> list[Any]:
    """The arguments that the second seal would be made with."""
    async with _pools(books.database) as (_, sealing):
        await make_seal(sealing)
        await books.apply(factories.deposit(books.user, 5))
        making = await seal._begin(sealing)
        await making.follow(lambda done, total: None)
        return list(making.prepare())


async def test_what_does_not_follow_is_refused(database: Database, pool: Pool) -> None:
    books = await lived(database, pool)
    last = await books.fetchval("select hash from settlement.batch where writer_id = 1 and seq = 5")
    right = await _second(books)
    changes: dict[str, dict[int, Any]] = {
        "another number": {0: 3},
        "the same number": {0: 1},
        "no number": {0: None},
        "a size too large": {1: 20},
        "no peaks": {2: []},
        "another root": {3: b"\0" * 32},
        "no writer": {4: [], 5: [], 6: []},
        "a writer twice": {4: [1, 1], 5: [6, 6], 6: [right[6][0]] * 2},
        "a cut back": {5: [5], 6: [last]},
        "a cut beyond the head": {5: [7]},
        "a cut of another chain": {6: [b"\1" * 32]},
        "a writer there is not": {4: [99]},
        "a node too many": {7: [8], 8: [0], 9: [b"\0" * 32]},
        "a node of level 3": {7: [3], 8: [0], 9: [b"\0" * 32]},
        "an account too few": {
            10: right[10][:1],
            11: right[11][:1],
            12: right[12][:1],
            13: right[13][:1],
        },
        "an entry too far": {11: [one + 1 for one in right[11]]},
        "an entry back": {11: [one - 1 for one in right[11]]},
        "money from nowhere": {13: [one + 1 for one in right[13]]},
        "money both ways": {12: [one + 1 for one in right[12]], 13: [one + 1 for one in right[13]]},
        "an account there is not": {10: [98, 99]},
    }
    connection = await asyncpg.connect(database.dsn)
    try:
        await connection.execute("set role pod_settlement")
        for name, change in changes.items():
            arguments = [change.get(place, value) for place, value in enumerate(right)]
            with pytest.raises(asyncpg.PostgresError) as caught:
                await connection.fetch(CALL, *arguments)
            assert caught.value.sqlstate == "PL013", f"{name}: {caught.value}"
        for role in ("pod_coordinator", "pod_indexer", "pod_signer", "pod_finance"):
            await connection.execute(f"set role {role}")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.fetch(CALL, *right)
        await connection.execute("set role pod_settlement")
        await connection.fetch(CALL, *right)
    finally:
        await connection.close()


async def test_seals_only_grow(database: Database, pool: Pool, sealer: Pool) -> None:
    books = await sealed(database, pool, sealer)
    for table in ("seal", "seal_cut", "seal_node", "snapshot"):
        for statement in (
            "delete from {}",
            "truncate {} cascade",
            "insert into {} select * from {}",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await books.execute(
                    statement.replace("{}", f"settlement.{table}"), role="pod_settlement"
                )
        with pytest.raises(asyncpg.PostgresError, match="only grow"):
            await books.execute(f"delete from settlement.{table}")
