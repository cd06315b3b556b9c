"""Books as they were before leases: real traffic through the functions of that time.

A database at migration 9 is filled by three writers, in the roles that they belong to, over three
days of request ids. What was asked and answered is kept, to be asked again.
"""

from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg

from settlement.db import migrate as road
from settlement.ledger import accounts
from settlement.ledger.encode import encode_batch
from settlement.ledger.operations import (
    AccountName,
    Charge,
    Hold,
    HoldPurpose,
    Operation,
    TransactionKind,
    Void,
)
from tests import factories
from tests.database import days

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

Place = Callable[..., Coroutine[Any, Any, list[str]]]
THEN = 9
DAYS = 3
WRITERS = ("coordinator", "indexer", "settlement")
_SETTLE = """
select codes, available from settlement.settle_v1($1, $2, $3, $4,
  array(select x.account_id from unnest($5::text[]) with ordinality as o (name, n)
          left join settlement.account x using (name) order by o.n),
  array(select x.account_id from unnest($6::text[]) with ordinality as o (name, n)
          left join settlement.account x using (name) order by o.n), $7, $8, $9)
"""


@dataclass(frozen=True, kw_only=True)
class Answered:
    """What a writer asked, and what it was told."""

    writer: str
    operation: Operation
    code: str
    available: int | None


@dataclass(kw_only=True)
class OlderBooks:
    """The people in them, and all that was asked."""

    connection: "Connection"
    random: Random
    users: list[AccountName] = field(default_factory=list[AccountName])
    hosts: list[AccountName] = field(default_factory=list[AccountName])
    writers: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    answered: list[Answered] = field(default_factory=list[Answered])
    open_request: Hold | None = None
    open_payout: Hold | None = None

    async def apply(self, writer: str, *operations: Operation) -> list[str]:
        """By `apply_v1`; the codes."""
        async with self._as(writer):
            rows = await self.connection.fetch(
                "select code, available from settlement.apply_v1($1, $2, $3::text::jsonb)",
                *self.writers[writer],
                encode_batch(operations),
            )
        return self._keep(writer, operations, [(row[0], row[1]) for row in rows])

    async def settle(self, *operations: Hold | Charge | Void) -> list[str]:
        """By `settle_v1`, as the coordinator, and as it was asked: or by the other function."""
        columns = [_column(operation) for operation in operations]
        async with self._as("coordinator"):
            row = await self.connection.fetchrow(
                _SETTLE,
                *self.writers["coordinator"],
                *([column[n] for column in columns] for n in range(7)),
            )
        if row is None:
            return await self.apply("coordinator", *operations)
        told = list(zip(row["codes"], row["available"], strict=True))
        return self._keep("coordinator", operations, told)

    def done(self, writer: str) -> list[Answered]:
        """What this writer did, in its order."""
        return [each for each in self.answered if each.writer == writer and each.code == "applied"]

    @asynccontextmanager
    async def _as(self, writer: str) -> AsyncGenerator[None]:
        async with self.connection.transaction():
            await self.connection.execute(f"set local role pod_{writer}")
            yield

    def _keep(
        self, writer: str, operations: Sequence[Operation], told: Sequence[tuple[str, int | None]]
    ) -> list[str]:
        self.answered += [
            Answered(writer=writer, operation=operation, code=code, available=available)
            for operation, (code, available) in zip(operations, told, strict=True)
        ]
        return [code for code, _ in told]


def _column(operation: Hold | Charge | Void) -> tuple[object, ...]:
    match operation:
        case Hold():
            amount = operation.amount_microusdc
            return 1, operation.hold_id, operation.account, None, amount, None, None
        case Charge():
            earner, bps = operation.operator, operation.split_bps
            gross = operation.gross_microusdc
            return 2, operation.request_id, operation.user, earner, gross, bps, None
        case Void():
            return 3, operation.hold_id, None, None, None, None, operation.reason


async def migrate_to(connection: "Connection", last: int) -> None:
    """Run the settlement's migrations up to one, as the migrator does."""
    await connection.execute(road._BOOKKEEPING)
    for each in road.migrations_of("settlement"):
        if each.number <= last:
            assert await road._apply(connection, each)


async def lived(connection: "Connection", seed: int) -> OlderBooks:
    """An older database with three days of business in it."""
    await migrate_to(connection, THEN)
    books = OlderBooks(connection=connection, random=Random(seed))
    for writer in WRITERS:
        async with books._as(writer):
            row = await connection.fetchrow("select * from settlement.open_writer_v1($1)", writer)
            assert row is not None
            books.writers[writer] = row["writer_id"], row["epoch"]
    books.users += [accounts.user(uuid4()) for _ in range(3)]
    books.hosts += [accounts.host(uuid4()) for _ in range(2)]
    for name in [*books.users, *books.hosts]:
        kind = name.partition(":")[0]
        await connection.execute("select settlement.open_account_v1($1, $2)", name, kind)
    deposits = [factories.deposit(user, 25_000_000) for user in books.users]
    assert set(await books.apply("indexer", *deposits)) == {"applied"}
    await _requests(books)
    await _payouts(books)
    await _corrections(books)
    return books


async def _requests(books: OlderBooks) -> None:
    now = datetime.now(UTC)
    first = days.start_of(now.date() - timedelta(days=DAYS - 1))
    moments = [first + n * (now - first) / 60 for n in range(60)]
    asked = [
        replace(
            factories.hold(books.random.choice(books.users), books.random.randrange(5, 9_999)),
            hold_id=days.id_at(moment),
        )
        for moment in moments
    ]
    for start in range(0, len(asked), 6):
        holds = asked[start : start + 6]
        by_settle = start % 12 == 0
        place = books.settle if by_settle else _coordinator(books)
        assert set(await place(*holds)) == {"applied"}
        ends = [_end(books, hold) for hold in holds]
        assert set(await place(*ends)) == {"applied"}
        # The same again, and more than there is: they leave no row.
        assert set(await place(ends[0])) == {"replayed"}
        large = factories.hold(books.users[0], 10**12, hold_id=days.id_at(moments[start]))
        assert set(await place(large)) == {"insufficient"}
    books.open_request = factories.hold(books.users[0], 5_000)
    assert await books.settle(books.open_request) == ["applied"]


def _coordinator(books: OlderBooks) -> Place:
    async def apply(*operations: Hold | Charge | Void) -> list[str]:
        return await books.apply("coordinator", *operations)

    return apply


def _end(books: OlderBooks, hold: Hold) -> Charge | Void:
    if books.random.random() < 0.2:
        return Void(hold_id=hold.hold_id, reason=books.random.choice(("gone", 'a "reason"')))
    gross = books.random.choice((0, 1, hold.amount_microusdc // 2, hold.amount_microusdc))
    split = books.random.choice((2_000, 2_000, 0, 3_333, 10_000))
    host = books.random.choice(books.hosts)
    return factories.charge(hold.hold_id, hold.account, host, gross, split)


async def _payouts(books: OlderBooks) -> None:
    """Held by one writer, paid as another saw it, some of it, or given back."""
    for number in range(6):
        account = books.random.choice([*books.users, *books.hosts])
        hold = factories.hold(account, 1 + number, hold_id=uuid4(), purpose=HoldPurpose.PAYOUT)
        assert await books.apply("settlement", hold) == ["applied"]
        if number % 3 == 2:
            void = Void(hold_id=hold.hold_id, reason="expired")
            assert await books.apply("settlement", void) == ["applied"]
        else:
            paid = factories.payment(hold.hold_id, account, 1 + number // 2)
            assert await books.apply("indexer", paid) == ["applied"]
    books.open_payout = factories.hold(
        books.users[1], 777, hold_id=uuid4(), purpose=HoldPurpose.PAYOUT
    )
    assert await books.apply("settlement", books.open_payout) == ["applied"]


async def _corrections(books: OlderBooks) -> None:
    """Several legs, a reference, a reversal, metadata."""
    legs = [factories.transfer(user, accounts.QUARANTINE, 3) for user in books.users]
    post = replace(
        factories.post(*legs, external_ref="invoice 1", slot=300), meta={"note": 'a "b"', "n": 1}
    )
    back = [factories.transfer(leg.credit, leg.debit, leg.amount_microusdc) for leg in legs]
    undone = factories.post(*back, reverses=post.transaction_id, kind=TransactionKind.REVERSAL)
    assert await books.apply("settlement", post, undone) == ["applied", "applied"]
