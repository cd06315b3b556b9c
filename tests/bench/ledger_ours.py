"""Our books, pushed through `GroupCommit`, as the coordinator does it: a charge against a lease.

Each user has one lease, placed before the clock runs (what that takes is told apart); a request is
then one operation in one commit. With holds by id it is two in two commits: a hold of its own, and
its charge when the hold has been answered. So many clients run in this process, on the event loop
the coordinator runs on, each with one request at a time.
"""

import asyncio
import random
import statistics
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

import asyncpg

from settlement.chain.movement import Vault
from settlement.clock import SystemClock, new_id
from settlement.db.pool import Pool, open_pool, transaction
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
_CLOCK = SystemClock()
_WRITER: Final = "bench"
_GROSS: Final = MicroUsdc(1_000)  # at most
_DEPOSIT: Final = MicroUsdc(10_000_000_000)
_LEASE: Final = MicroUsdc(5_000_000_000)
_LEASES_AT_ONCE: Final = 1_000
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
    leases: dict[AccountName, UUID]
    leases_per_second: float


@dataclass(kw_only=True)
class _Tally:
    """How long requests took, how long each of their two commits did, and what went wrong."""

    requests: list[float] = field(default_factory=list[float])
    commits: list[float] = field(default_factory=list[float])
    failed: int = 0


async def fill(
    dsn: str, connection: "asyncpg.Connection[asyncpg.Record]", *, users: int, hosts: int
) -> Names:
    """Open accounts and give every user a deposit and a lease, as the books would have it."""
    payers = [accounts.user(uuid4()) for _ in range(users)]
    earners = [accounts.host(uuid4()) for _ in range(hosts)]
    await connection.execute(_OPEN, payers, "user")
    await connection.execute(_OPEN, earners, "host")
    pool = await open_pool(dsn, role="pod_coordinator", application="bench", size=1)
    try:
        writer = await store.open_writer(pool, "bench-deposits")
        for at in range(0, users, _TRANSFERS_PER_POST):
            async with transaction(pool) as tx:
                post = _deposit(payers[at : at + _TRANSFERS_PER_POST])
                (outcome,) = await store.apply(tx, writer, [post])
            assert outcome.done, outcome
        begun = time.perf_counter()
        leases = await _lease(pool, payers)
        taken = time.perf_counter() - begun
    finally:
        await pool.close()
    for row in await connection.fetch(_TABLES):
        await connection.execute(f"vacuum analyze {row[0]}")
    return Names(users=payers, hosts=earners, leases=leases, leases_per_second=users / taken)


async def _lease(pool: Pool, users: list[AccountName]) -> dict[AccountName, UUID]:
    """A lease for each user, in the name of the writer that will charge them."""
    writer = await store.open_writer(pool, _WRITER)
    leases = {user: new_id(_CLOCK) for user in users}
    end = datetime.now(UTC) + timedelta(hours=1)
    async with GroupCommit(pool, writer) as books:
        for at in range(0, len(users), _LEASES_AT_ONCE):
            held = await asyncio.gather(
                *(
                    books.submit(_hold(leases[user], user, _LEASE, end))
                    for user in users[at : at + _LEASES_AT_ONCE]
                )
            )
            assert all(outcome.done for outcome in held)
    return leases


async def push(
    dsn: str, names: Names, meter: Meter, *, in_flight: int, seconds: float, by_id: bool = False
) -> dict[str, Number]:
    """Settle with so many requests in flight; `names` says over whom, `by_id` with own holds.

    Raises AssertionError when the warm-up is not settled.
    """
    client = _holding_client if by_id else _client
    pool = await open_pool(dsn, role="pod_coordinator", application="bench", size=3)
    try:
        writer = await store.open_writer(pool, _WRITER)
        async with GroupCommit(pool, writer) as books:
            await _meet(books, names)
            await _run(client, books, names, in_flight, _WARM_UP_SECONDS)
            commits = int(await meter.connection.fetchval(_COMMITS))
            before = await meter.read()
            begun = time.perf_counter()
            tally = await _run(client, books, names, in_flight, seconds)
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


async def _meet(books: GroupCommit, names: Names) -> None:
    """Charge every user once: a process that has run for a while has met them all before."""
    chance = random.Random()
    for at in range(0, len(names.users), _LEASES_AT_ONCE):
        users = names.users[at : at + _LEASES_AT_ONCE]
        charges = [_charge(new_id(_CLOCK), names.leases[u], u, names, chance) for u in users]
        charged = await asyncio.gather(*(books.submit(charge) for charge in charges))
        assert all(outcome.done for outcome in charged)


_Client = Callable[[GroupCommit, Names, float, _Tally], Coroutine[None, None, None]]


async def _run(
    client: _Client, books: GroupCommit, names: Names, in_flight: int, seconds: float
) -> _Tally:
    tally = _Tally()
    end = time.perf_counter() + seconds
    await asyncio.gather(*(client(books, names, end, tally) for _ in range(in_flight)))
    return tally


async def _client(books: GroupCommit, names: Names, end: float, tally: _Tally) -> None:
    """One request after the other until the time is over; begun in time is waited for."""
    chance = random.Random()
    while (begun := time.perf_counter()) < end:
        user = chance.choice(names.users)
        charged = await books.submit(
            _charge(new_id(_CLOCK), names.leases[user], user, names, chance)
        )
        done = time.perf_counter()
        tally.commits.append(done - begun)
        if charged.done:
            tally.requests.append(done - begun)
        else:
            tally.failed += 1


async def _holding_client(books: GroupCommit, names: Names, end: float, tally: _Tally) -> None:
    """The same, each request with a hold of its own name."""
    chance = random.Random()
    while (begun := time.perf_counter()) < end:
        request_id, user = new_id(_CLOCK), chance.choice(names.users)
        held = await books.submit(_hold(request_id, user, _GROSS))
        half = time.perf_counter()
        charged = await books.submit(_charge(request_id, request_id, user, names, chance))
        done = time.perf_counter()
        tally.commits += (half - begun, done - half)
        if held.done and charged.done:
            tally.requests.append(done - begun)
        else:
            tally.failed += 1


def _charge(
    request_id: UUID, hold_id: UUID, user: AccountName, names: Names, chance: random.Random
) -> Charge:
    return Charge(
        request_id=request_id,
        hold_id=hold_id,
        user=user,
        operator=chance.choice(names.hosts),
        gross_microusdc=MicroUsdc(chance.randint(1, _GROSS)),
    )


def _hold(
    hold_id: UUID, user: AccountName, amount: MicroUsdc, expires_at: datetime | None = None
) -> Hold:
    return Hold(
        hold_id=hold_id,
        account=user,
        amount_microusdc=amount,
        purpose=HoldPurpose.REQUEST if expires_at is None else HoldPurpose.LEASE,
        expires_at=expires_at,
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
