"""Our books, pushed through the coordinator's own door: `GroupCommit`, a hold and then its charge.

A request is two operations in two commits, as in life: its charge is asked for when its hold has
been answered. So many clients run in this process, on the event loop the coordinator runs on, each
with one request at a time.
"""

import asyncio
import random
import statistics
import time
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID, uuid4

import asyncpg

from settlement.chain.movement import Vault
from settlement.db.pool import open_pool, transaction
from settlement.ledger import accounts, store
from settlement.ledger.operations import (
    AccountName,
    Charge,
    Hold,
    HoldPurpose,
    Post,
    TransactionKind,
    Transfer,
)
from settlement.ledger.writer import GroupCommit
from settlement.money import MicroUsdc
from tests.bench.harness import Number
from tests.bench.ledger_meter import Meter
from tests.bench.load import Answers
from tests.factories import NOW

SCHEMA = "settlement"
# What one row of the report calls each thing that a commit of today has in it, or not yet.
COMMIT_HOLDS: Final[dict[str, Number]] = {
    "result_codes": 1,
    "holds_by_id": 1,
    "hash_chain": 1,
    "leases": 0,
    "seals": 0,
    "outbox": 0,
}
_HELD: Final = MicroUsdc(1_000)
_DEPOSIT: Final = MicroUsdc(10_000_000_000)
_TRANSFERS_PER_POST: Final = 200
_WARM_UP_SECONDS: Final = 0.3
_OPEN: Final = "select settlement.open_account_v1(name, $2) from unnest($1::text[]) as name"
_TABLES: Final = (
    "select format('settlement.%I', relname) from pg_class"
    " where relkind = 'r' and relnamespace = 'settlement'::regnamespace"
)
_CHECK: Final = "select rule from settlement.check_books_v1()"
_COMMITS: Final = "select sum(head_seq)::bigint from settlement.writer"


@dataclass(frozen=True, kw_only=True)
class Names:
    """Whose money moves."""

    users: list[AccountName]
    hosts: list[AccountName]


@dataclass(kw_only=True)
class _Tally:
    """How long requests took, how long each of their two commits did, and what went wrong."""

    requests: list[float] = field(default_factory=list[float])
    commits: list[float] = field(default_factory=list[float])
    failed: int = 0


async def fill(
    dsn: str, connection: "asyncpg.Connection[asyncpg.Record]", *, users: int, hosts: int
) -> Names:
    """Open accounts and give every user a deposit, as the books would have it."""
    names = Names(
        users=[accounts.user(uuid4()) for _ in range(users)],
        hosts=[accounts.host(uuid4()) for _ in range(hosts)],
    )
    await connection.execute(_OPEN, names.users, "user")
    await connection.execute(_OPEN, names.hosts, "host")
    pool = await open_pool(dsn, role="pod_coordinator", application="bench", size=1)
    try:
        writer = await store.open_writer(pool, "bench-deposits")
        for at in range(0, users, _TRANSFERS_PER_POST):
            async with transaction(pool) as tx:
                post = _deposit(names.users[at : at + _TRANSFERS_PER_POST])
                (outcome,) = await store.apply(tx, writer, [post])
            assert outcome.done, outcome
    finally:
        await pool.close()
    for row in await connection.fetch(_TABLES):
        await connection.execute(f"vacuum analyze {row[0]}")
    return names


async def push(
    dsn: str, names: Names, meter: Meter, *, in_flight: int, seconds: float
) -> dict[str, Number]:
    """Settle with so many requests in flight; `names` says over whom."""
    pool = await open_pool(dsn, role="pod_coordinator", application="bench", size=2)
    try:
        writer = await store.open_writer(pool, "bench")
        async with GroupCommit(pool, writer) as books:
            await _run(books, names, in_flight, _WARM_UP_SECONDS)
            commits = int(await meter.connection.fetchval(_COMMITS))
            before = await meter.read()
            begun = time.perf_counter()
            tally = await _run(books, names, in_flight, seconds)
            taken = time.perf_counter() - begun
            after = await meter.read()
            commits = int(await meter.connection.fetchval(_COMMITS)) - commits
    finally:
        await pool.close()
    answers = Answers(seconds=taken, taken=tally.requests, failed=tally.failed)
    quantiles = statistics.quantiles(tally.commits, n=100)
    return {
        **answers.figures(),
        "commit_p50_ms": round(quantiles[49] * 1_000, 2),
        "commit_p99_ms": round(quantiles[98] * 1_000, 2),
        "operations_per_commit": round(len(tally.commits) / max(commits, 1), 1),
        **after.per_request(before, len(tally.requests)),
    }


async def broken_rules(connection: "asyncpg.Connection[asyncpg.Record]") -> list[str]:
    """What the check of the books finds wrong after all that."""
    return [row["rule"] for row in await connection.fetch(_CHECK)]


async def _run(books: GroupCommit, names: Names, in_flight: int, seconds: float) -> _Tally:
    tally = _Tally()
    end = time.perf_counter() + seconds
    await asyncio.gather(*(_client(books, names, end, tally) for _ in range(in_flight)))
    return tally


async def _client(books: GroupCommit, names: Names, end: float, tally: _Tally) -> None:
    """One request after the other until the time is over; begun in time is waited for."""
    chance = random.Random()
    while time.perf_counter() < end:
        request_id = uuid4()
        user = chance.choice(names.users)
        begun = time.perf_counter()
        held = await books.submit(_hold(request_id, user))
        half = time.perf_counter()
        gross = MicroUsdc(chance.randint(1, _HELD))
        charged = await books.submit(
            Charge(
                request_id=request_id,
                user=user,
                operator=chance.choice(names.hosts),
                gross_microusdc=gross,
            )
        )
        done = time.perf_counter()
        tally.commits += (half - begun, done - half)
        if held.done and charged.done:
            tally.requests.append(done - begun)
        else:
            tally.failed += 1


def _hold(request_id: UUID, user: AccountName) -> Hold:
    return Hold(
        hold_id=request_id, account=user, amount_microusdc=_HELD, purpose=HoldPurpose.REQUEST
    )


def _deposit(users: list[AccountName]) -> Post:
    till = accounts.chain_vault(Vault.TILL)
    return Post(
        transaction_id=uuid4(),
        kind=TransactionKind.DEPOSIT_CREDITED,
        transfers=tuple(Transfer(debit=till, credit=u, amount_microusdc=_DEPOSIT) for u in users),
        event_at=NOW,
        effective_on=NOW.date(),
        actor="bench",
    )
