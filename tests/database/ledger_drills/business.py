"""Paid requests without an end, a record of what was asked and told, and what must be true of it.

Sessions take a lease, charge it many times, and give the rest back, or not; beside it they hold for
single requests. Now and then something is asked twice. Everything that is asked can be done, so an
answer other than applied or replayed is a false rejection.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Any
from uuid import UUID

import asyncpg

from settlement.db.pool import Pool, open_pool, transaction
from settlement.ledger import accounts, store
from settlement.ledger.encode import encode
from settlement.ledger.operations import (
    AccountName,
    Charge,
    Hold,
    HoldPurpose,
    Operation,
    Outcome,
    Void,
)
from settlement.ledger.verify import verify
from settlement.ledger.verify_state import Progress
from settlement.money import MicroUsdc
from tests import factories
from tests.conftest import check_books

Paid = Hold | Charge | Void
Submit = Callable[[Operation], Awaitable[Outcome]]
FUNDS = 10**12
_LEASE = 100_000


@dataclass(frozen=True, kw_only=True)
class People:
    """Who pays and who earns."""

    users: list[AccountName]
    hosts: list[AccountName]


def people() -> People:
    """Always the same: whoever comes later finds them."""
    return People(
        users=[accounts.user(UUID(int=(7 << 76) + n)) for n in range(1, 5)],
        hosts=[accounts.host(UUID(int=(7 << 76) + n)) for n in range(11, 14)],
    )


async def fund(pool: Pool) -> None:
    """Open their accounts, and give the users more than they will ever spend."""
    known = people()
    writer = await store.open_writer(pool, "funding")
    async with transaction(pool) as tx:
        for name in [*known.users, *known.hosts]:
            await store.open_account(tx, name)
        deposits = [factories.deposit(user, FUNDS) for user in known.users]
        outcomes = await store.apply(tx, writer, deposits)
    assert all(outcome.done for outcome in outcomes)


@dataclass(kw_only=True)
class Record:
    """What was asked, by its content, and what was told of it."""

    asked: dict[str, Paid] = field(default_factory=dict[str, Paid])
    told: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    @property
    def answers(self) -> int:
        """How many answers there were."""
        return sum(map(len, self.told.values()))

    @property
    def unanswered(self) -> list[Paid]:
        """What was asked and never told of."""
        return [operation for key, operation in self.asked.items() if key not in self.told]

    @property
    def survivors(self) -> list[str]:
        """What was done although nobody ever heard so at the time."""
        return [key for key, codes in self.told.items() if "applied" not in codes]

    def codes(self) -> Counter[str]:
        """How often each code was told."""
        return Counter(code for codes in self.told.values() for code in codes)

    def ask(self, operation: Paid) -> str:
        """Note that it is about to be asked; what it is called here."""
        key = encode(operation)
        self.asked[key] = operation
        return key

    def tell(self, key: str, code: str) -> None:
        """Note an answer."""
        self.told.setdefault(key, []).append(code)


def operation_of(text: str) -> Paid:
    """What `encode` made a text of."""
    told: dict[str, Any] = json.loads(text)
    match told["verb"]:
        case "hold":
            expires = told.get("expires_at")
            return Hold(
                hold_id=UUID(told["id"]),
                account=told["account"],
                amount_microusdc=MicroUsdc(told["amount"]),
                purpose=HoldPurpose(told["purpose"]),
                expires_at=datetime.fromisoformat(expires) if expires else None,
            )
        case "charge":
            return Charge(
                request_id=UUID(told["id"]),
                hold_id=UUID(told["hold"]),
                user=told["account"],
                operator=told["operator"],
                gross_microusdc=MicroUsdc(told["amount"]),
                split_bps=told["split_bps"],
            )
        case _:
            return Void(hold_id=UUID(told["id"]), reason=told["reason"])


class Business:
    """Sessions at a seed's whim, until they are told that it is enough."""

    def __init__(self, submit: Submit, record: Record, random: Random) -> None:
        self._submit = submit
        self._record = record
        self._random = random
        self._people = people()
        self.enough = False

    async def run(self, sessions: int) -> None:
        """So many at a time."""
        await asyncio.gather(*(self._sessions() for _ in range(sessions)))

    async def ask(self, operation: Paid) -> None:
        """Have it done; now and then it is asked twice in one breath, or once more afterwards."""
        key = self._record.ask(operation)
        times = self._random.choice((1,) * 12 + (2,))
        outcomes = await asyncio.gather(*(self._submit(operation) for _ in range(times)))
        if self._random.random() < 0.05:
            outcomes.append(await self._submit(operation))
        for outcome in outcomes:
            self.told(key, outcome)

    def told(self, key: str, outcome: Outcome) -> None:
        """Note an answer."""
        self._record.tell(key, outcome.code.value)

    async def _sessions(self) -> None:
        while not self.enough:
            await self._session()

    async def _session(self) -> None:
        user = self._random.choice(self._people.users)
        lease = factories.hold(user, _LEASE, purpose=HoldPurpose.LEASE)
        await self.ask(lease)
        for _ in range(self._random.randrange(1, 4)):
            requests = self._random.randrange(1, 6)
            await asyncio.gather(
                self._single(user),
                *(self.ask(self._charge(lease.hold_id, user)) for _ in range(requests)),
            )
        if self._random.random() < 0.7:
            await self.ask(Void(hold_id=lease.hold_id, reason="the session ended"))

    async def _single(self, user: AccountName) -> None:
        """One request with a hold of its own."""
        hold = factories.hold(user, 500)
        await self.ask(hold)
        if self._random.random() < 0.3:
            await self.ask(Void(hold_id=hold.hold_id, reason="refused"))
        else:
            await self.ask(self._charge(hold.hold_id, user, name=hold.hold_id))

    def _charge(self, hold_id: UUID, user: AccountName, *, name: UUID | None = None) -> Charge:
        host = self._random.choice(self._people.hosts)
        gross = self._random.choice((0, 1, 7, 499, 500))
        return factories.charge(name or factories.request_id(), user, host, gross, hold_id=hold_id)


async def check_record(dsn: str, record: Record) -> None:
    """Everything told is in the books once and as it was asked; nothing else is; they add up."""
    assert set(record.codes()) <= {"applied", "replayed"}, record.codes()
    for key, codes in record.told.items():
        assert codes.count("applied") <= 1, key
    connection = await asyncpg.connect(dsn)
    try:
        there = await _in_the_books(connection)
        asked = set(record.asked)
        assert there - asked == set(), "nobody asked for it"
        assert {key for key in asked if key in record.told} - there == set(), "it was promised"
        done = [record.asked[key] for key in there]
        await _check_balances(connection, done)
    finally:
        await connection.close()
    await check_books(dsn)
    pool = await open_pool(dsn, role="pod_finance", application="drill", size=2)
    try:
        verdict = await verify(pool, Progress(books="drill"), lambda _: None)
    finally:
        await pool.close()
    assert verdict.wrong is None


_HOLDS = """
select h.hold_id, a.name, h.amount, h.purpose, h.expires_at, v.reason
  from settlement.hold h join settlement.account a using (account_id)
  left join settlement.hold_event v on v.hold_id = h.hold_id and v.event = 'voided'
"""
_CHARGES = """
select c.request_id, c.hold_id, u.name as payer, o.name as earner, c.gross, c.split_bps
  from settlement.charge c
  join settlement.account u on u.account_id = c.user_account
  join settlement.account o on o.account_id = c.operator_account
"""


async def _in_the_books(connection: "asyncpg.Connection[asyncpg.Record]") -> set[str]:
    """All that was done, in the words it was asked in."""
    there: list[Paid] = []
    for row in await connection.fetch(_HOLDS):
        there.append(
            Hold(
                hold_id=row["hold_id"],
                account=row["name"],
                amount_microusdc=row["amount"],
                purpose=HoldPurpose(row["purpose"]),
                expires_at=row["expires_at"],
            )
        )
        if row["reason"] is not None:
            there.append(Void(hold_id=row["hold_id"], reason=row["reason"]))
    there += [
        Charge(
            request_id=row["request_id"],
            hold_id=row["hold_id"],
            user=row["payer"],
            operator=row["earner"],
            gross_microusdc=row["gross"],
            split_bps=row["split_bps"],
        )
        for row in await connection.fetch(_CHARGES)
    ]
    keys = {encode(operation) for operation in there}
    assert len(keys) == len(there), "something is there twice"
    return keys


async def _check_balances(
    connection: "asyncpg.Connection[asyncpg.Record]", done: Iterable[Paid]
) -> None:
    """Every account stands where these operations put it, to the microunit."""
    debits, held, credits = Counter[str](), Counter[str](), Counter[str]()
    rest = {each.hold_id: each for each in done if isinstance(each, Hold)}
    left = Counter({hold_id: int(hold.amount_microusdc) for hold_id, hold in rest.items()})
    for operation in done:
        if isinstance(operation, Charge):
            assert operation.hold_id is not None
            debits[operation.user] += operation.gross_microusdc
            share = operation.gross_microusdc * operation.split_bps // 10_000
            credits[operation.operator] += operation.gross_microusdc - share
            lease = rest[operation.hold_id].purpose is HoldPurpose.LEASE
            left[operation.hold_id] -= operation.gross_microusdc if lease else 500
    for operation in done:
        if isinstance(operation, Void):
            left[operation.hold_id] = 0
    for hold_id, amount in left.items():
        assert amount >= 0, "more was spent than was set aside"
        held[rest[hold_id].account] += amount
    rows = await connection.fetch(
        "select a.name, b.dr, b.cr, b.held from settlement.balance b"
        "  join settlement.account a using (account_id) where a.kind in ('user', 'host')"
    )
    for row in rows:
        name = row["name"]
        funded = FUNDS if name.startswith("user:") else 0
        expected = (debits[name], credits[name] + funded, held[name])
        assert (row["dr"], row["cr"], row["held"]) == expected, name
