"""Payouts that were on their way before messages had rows of their own are on their way still."""

from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest
from solders.keypair import Keypair

from settlement.db.migrate import migrate
from settlement.db.pool import open_pool, reading
from settlement.db.sql import load
from tests.conftest import PACKAGES, Database
from tests.database.older_books import migrate_to

BEFORE = 24
PAYER = bytes(Keypair().pubkey())
_MESSAGES = load("settlement.payouts", "messages.sql")

_PAYOUT = """
insert into settlement.payout (payout_id, kind, provider_id, account, amount, destination, code,
  reference, state, requested_at, sequence, destination_account, outcome_reference, outcome_slot)
values ($1, 'pay', gen_random_uuid(), 'host:x', 5, 'w', 'Operator', uuid_send($1), $2,
  now(), $3, 'a', $4, $5)"""
_ATTEMPT = """
insert into settlement.payout_attempt (payout_id, attempt, action, creates_account, message,
  last_valid_height, built_at, signature, wire, signed_at, refusal, sends, first_sent_at,
  last_sent_at, problem, closed_at)
select $1, $2, 'execute', true, $3, 10 * $2, now() + $2 * interval '1 s', $4, $5,
  case when $4::text is null then null else now() end, $6, $7,
  case when $7::int > 0 then now() end, case when $7::int > 0 then now() end, $8,
  case when $9 then now() end"""


@pytest.fixture
async def connection(
    empty_database: Database,
) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    opened = await asyncpg.connect(empty_database.dsn)
    yield opened
    await opened.close()


def message(number: int) -> bytes:
    """How the bytes of a message of ours begin: three counts, how many keys, the payer."""
    return bytes([1, 0, 3, 8]) + PAYER + bytes([number])


async def test_nothing_of_what_was_there_is_lost(
    empty_database: Database, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await migrate_to(connection, BEFORE)
    done, open_, refused = (UUID(int=n) for n in (1, 2, 3))
    await connection.execute(_PAYOUT, done, "paid", 0, "localnet:second:2:-1:0", 9)
    await connection.execute(_PAYOUT, open_, "sent", 1, None, None)
    await connection.execute(_PAYOUT, refused, "numbered", 2, None, None)
    rows = [
        (done, 1, message(1), "first", b"w1", None, 3, "said", True),
        (done, 2, message(2), "second", b"w2", None, 1, None, True),
        (open_, 1, message(3), "third", b"w3", None, 2, "busy", False),
        (refused, 1, message(4), None, None, "no", 0, None, False),
    ]
    for row in rows:
        await connection.execute(_ATTEMPT, *row)
    await migrate(empty_database.dsn, PACKAGES)
    told = await connection.fetch(
        "select a.payout_id, a.attempt, m.message, m.signature, m.wire, m.refusal, m.sends,"
        " m.problem, m.closed_at is not null as closed, m.ended, m.payer, m.members,"
        " m.last_valid_height, a.position, a.closed_at is not null as attempt_closed,"
        " a.creates_account"
        " from settlement.payout_attempt a join settlement.payout_message m using (message_id)"
        " order by a.payout_id, a.attempt"
    )
    assert [tuple(row)[:9] for row in told] == rows
    assert [row["ended"] for row in told] == ["expired", "decided", None, None]
    assert [row["last_valid_height"] for row in told] == [10, 20, 10, 10]
    for row in told:
        assert (row["payer"], row["members"], row["position"]) == (PAYER, 1, 0)
        assert row["attempt_closed"] == row["closed"]
        assert row["creates_account"]


async def test_what_was_on_its_way_is_sent_again_and_what_comes_has_a_number_of_its_own(
    empty_database: Database, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await migrate_to(connection, BEFORE)
    payout = UUID(int=1)
    await connection.execute(_PAYOUT, payout, "sent", 1, None, None)
    row = (payout, 1, message(1), "first", b"w", None, 2, None, False)
    await connection.execute(_ATTEMPT, *row)
    await migrate(empty_database.dsn, PACKAGES)
    pool = await open_pool(empty_database.dsn, role="pod_settlement", application="t", size=1)
    try:
        async with reading(pool) as conn:
            now = await conn.fetchval("select now() + interval '1 hour'")
            (due,) = await conn.fetch(_MESSAGES["to_send"], now, 10)
            assert (bytes(due["wire"]), due["sends"]) == (b"w", 2)
            added = await conn.fetchval(_MESSAGES["add_message"], PAYER, 1, b"m", 0, 9, now)
    finally:
        await pool.close()
    assert added > due["message_id"]
