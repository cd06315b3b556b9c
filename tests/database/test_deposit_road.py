"""Runs of deposits by both roads: the same rows and hashes, or the road of sets declines.

The same run is sent twice from the same state, the first time in a transaction that is rolled back.
What is left of either in the books must be the same, row by row, but for the time of writing.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from settlement import deposits
from settlement.chain.movement import ChainMoment, MovementKey, Vault
from settlement.db.pool import Pool, ReadConn, Tx, open_pool, retried, transaction
from settlement.deposits import Arrived, VaultDeposit
from settlement.ledger import accounts, deposit_road, store
from settlement.ledger.deposit_road import NotEveryday, PlainDeposit
from settlement.ledger.operations import AccountName, TransactionKind, Writer
from settlement.ledger.store import WriterFenced
from settlement.money import MicroUsdc, Slot
from tests import factories
from tests.conftest import Database

TILL = accounts.chain_vault(Vault.TILL)
LARGEST_TAKEN = 10**15
_ROWS = {
    "txn": """select to_jsonb(x) - 'recorded_at' from settlement.txn x order by batch_seq, ord""",
    "content": "select content_sha256 from settlement.txn x order by batch_seq, ord",
    "transfer": "select to_jsonb(x) from settlement.transfer x order by txn_id, leg",
    "balance": "select to_jsonb(x) from settlement.balance x order by account_id",
    "batch": """select to_jsonb(x) - 'root' - 'hash' - 'created_at' from settlement.batch x
                 order by writer_id, seq""",
    "writer": "select to_jsonb(x) - 'head_hash' from settlement.writer x order by writer_id",
    "broken": "select to_jsonb(x) from settlement.check_books_v1() x",
}


@dataclass(frozen=True, kw_only=True)
class Ground:
    """Books in the indexer's hands, with users, a bond and a code nobody has."""

    pool: Pool
    writer: Writer
    codes: tuple[bytes | None, ...]
    dsn: str

    async def rows_after(self, step: Callable[[Tx], Any], *, keep: bool) -> dict[str, object]:
        """All rows of the books after a step; the step is taken back unless it is to be kept."""

        async def once() -> dict[str, object]:
            async with self.pool.acquire() as connection:
                begun = connection.transaction(isolation="read_committed")
                await begun.start()
                try:
                    await step(Tx(ReadConn(connection)))
                    return {
                        name: [row[0] for row in await connection.fetch(query)]
                        for name, query in _ROWS.items()
                    }
                finally:
                    await (begun.commit() if keep else begun.rollback())

        return await retried(once)


@pytest.fixture
async def ground(database: Database) -> AsyncIterator[Ground]:
    """With two users, one bond, and what names nobody."""
    pool = await open_pool(database.dsn, role="pod_indexer", application="test")
    coordinator = await open_pool(database.dsn, role="pod_coordinator", application="test", size=1)
    async with transaction(coordinator) as tx:
        users = [await deposits.enroll_user(tx, uuid4()) for _ in range(2)]
        bond = await deposits.enroll_operator(tx, uuid4(), factories.wallet())
    await coordinator.close()
    yield Ground(
        pool=pool,
        writer=await store.open_writer(pool, "indexer"),
        codes=(*users, bond.encode(), b"nobodys!", None),
        dsn=database.dsn,
    )
    await pool.close()


def seen(
    code: bytes | None,
    amount: int = 5,
    *,
    vault: Vault = Vault.TILL,
    source: str | None = "someone",
    slot: int = 7,
    seconds: int = 1_700_000_000,
) -> VaultDeposit:
    """A deposit nobody has seen before."""
    return VaultDeposit(
        key=MovementKey(cluster="localnet", signature=factories.signature(), outer=1),
        moment=ChainMoment(slot=Slot(slot), block_time=datetime.fromtimestamp(seconds, UTC)),
        vault=vault,
        amount_microusdc=MicroUsdc(amount),
        code=code,
        source=source,
    )


def plainly(one: VaultDeposit) -> Arrived:
    """The same in plain values."""
    return Arrived(
        reference=one.key.reference,
        slot=one.moment.slot,
        block_time=one.moment.block_time,
        vault=one.vault,
        amount_microusdc=one.amount_microusdc,
        code=one.code,
        source=one.source,
    )


async def compare(ground: Ground, run: Sequence[VaultDeposit]) -> None:
    """Both roads from here, the second one for good."""

    async def by_sets(tx: Tx) -> None:
        await deposits.book_run(tx, ground.writer, [plainly(one) for one in run])

    async def one_by_one(tx: Tx) -> None:
        asked = await deposits.book_deposits(tx, run)
        outcomes = await store.apply(tx, ground.writer, [o for each in asked for o in each])
        assert [outcome.code.value for outcome in outcomes] == ["applied"] * len(outcomes)

    other = await ground.rows_after(one_by_one, keep=False)
    assert await ground.rows_after(by_sets, keep=True) == other
    assert other["broken"] == []


def made_up(ground: Ground, chance: Random) -> VaultDeposit:
    """A deposit of any shape that the road of sets takes."""
    return seen(
        chance.choice(ground.codes),
        chance.choice((0, 1, chance.randint(1, 99), chance.randint(1, LARGEST_TAKEN))),
        vault=chance.choice(tuple(Vault)),
        source=chance.choice((None, "someone", 'with "quotes" and \\', "ä€𝄞\n\x7f", "")),
        slot=chance.choice((0, chance.randint(1, 10**9), 2**63 - 1)),
        seconds=chance.randint(1_584_000_000, 4_102_444_799),
    )


@pytest.mark.parametrize("seed", range(6))
async def test_both_roads_write_the_same_rows(ground: Ground, seed: int) -> None:
    chance = Random(seed)
    for _ in range(4):
        await compare(ground, [made_up(ground, chance) for _ in range(chance.randint(1, 30))])


async def test_a_run_of_nothing_is_nothing(ground: Ground) -> None:
    await compare(ground, [seen(None, 0)])
    await compare(ground, [])


async def books_declined(ground: Ground, *rows: PlainDeposit) -> bool:
    """Whether the road of sets declines; nothing of it is left either way."""
    try:
        await ground.rows_after(lambda tx: deposit_road.book(tx, ground.writer, rows), keep=False)
    except NotEveryday:
        return True
    return False


def plain(amount: int = 5) -> PlainDeposit:
    """A deposit in suspense that the road takes as it is."""
    key = MovementKey(cluster="localnet", signature=factories.signature(), outer=1)
    return PlainDeposit(
        kind=TransactionKind.DEPOSIT_SUSPENDED,
        debit=TILL,
        credit=accounts.SUSPENSE,
        amount_microusdc=MicroUsdc(amount),
        slot=Slot(7),
        event_at=factories.NOW,
        reference=key.reference,
        source=None,
        code=None,
    )


async def test_what_it_takes_is_taken(ground: Ground) -> None:
    assert not await books_declined(ground, plain(), plain(LARGEST_TAKEN))


@pytest.mark.parametrize(
    "changed",
    [
        {"amount_microusdc": 0},
        {"amount_microusdc": -1},
        {"amount_microusdc": LARGEST_TAKEN + 1},
        {"kind": "adjustment"},
        {"credit": accounts.user(UUID(int=7))},  # a name that stays: workers compare ids
        {"debit": "no such account"},
        {"debit": accounts.SUSPENSE, "credit": TILL},
        {"debit": TILL, "credit": TILL},
        {"credit": "funding:sol"},
        {"event_at": factories.NOW + timedelta(microseconds=1)},
        {"event_at": datetime(2019, 12, 31, tzinfo=UTC)},
        {"event_at": datetime(2100, 1, 2, tzinfo=UTC)},
        {"slot": -1},
        {"slot": None},
        {"amount_microusdc": None},
        {"kind": None},
        {"event_at": None},
        {"source": "x" * 101},
        {"code": "x" * 101},
    ],
    ids=str,
)
async def test_what_is_not_everyday_is_declined(ground: Ground, changed: dict[str, object]) -> None:
    if changed.get("credit") == "funding:sol":
        async with transaction(ground.pool) as tx:
            await store.open_account(tx, AccountName("funding:sol"))
    assert await books_declined(ground, plain(), plain()._replace(**changed))


async def test_names_that_are_there_are_declined(ground: Ground) -> None:
    known = plain()
    async with transaction(ground.pool) as tx:
        await deposit_road.book(tx, ground.writer, [known])
    assert await books_declined(ground, plain(), known)
    again = plain()
    assert await books_declined(ground, again, again)


async def test_a_closed_account_is_declined(ground: Ground) -> None:
    connection = await asyncpg.connect(ground.dsn)
    await connection.execute(
        "update settlement.account set closed_at = now() where name = $1", TILL
    )
    await connection.close()
    assert await books_declined(ground, plain())


async def test_turnovers_near_their_end_are_declined(ground: Ground) -> None:
    near = [plain(2**62), plain(35 * 10**17)]
    async with transaction(ground.pool) as tx:
        outcomes = await store.apply(tx, ground.writer, [one.post() for one in near[:1]])
        assert outcomes[0].done
        outcomes = await store.apply(tx, ground.writer, [near[1].post()])
    assert await books_declined(ground, plain())


async def test_an_older_life_of_the_writer_is_fenced(ground: Ground) -> None:
    await store.open_writer(ground.pool, "indexer")
    with pytest.raises(WriterFenced):
        await ground.rows_after(
            lambda tx: deposit_road.book(tx, ground.writer, [plain()]), keep=False
        )
