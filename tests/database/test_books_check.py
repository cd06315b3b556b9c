"""The check of the whole books finds each kind of damage and names the rule it breaks.

The damage is done the only way it can be: by a superuser who switches the triggers off.
"""

from hashlib import sha256
from uuid import uuid4

import asyncpg

from settlement.db.pool import Pool, reading
from settlement.ledger import store, verify_hash
from settlement.ledger.operations import Charge, Hold, HoldPurpose, Void
from tests import factories
from tests.conftest import Database
from tests.database.conftest import Books, open_books

DAMAGES = {
    "money appears": ("update settlement.balance set cr = cr + 1 where cr > 0", "zero sum"),
    "money moves by hand": (
        "update settlement.balance set cr = cr + 1, dr = dr + 1 where cr > 0",
        "balance is its entries",
    ),
    "an overdraft": (
        "alter table settlement.balance drop constraint no_overdraft;"
        "update settlement.balance set held = cr + 1 where cr > 0",
        "floor",
    ),
    "a floor is lifted": ("update settlement.balance set floored = false", "floor flag"),
    "held without a hold": (
        "update settlement.balance set held = held + 1 where cr > dr + 1",
        "held is open holds",
    ),
    "a hold forgotten": (
        "update settlement.hold set state = 'voided', released = amount"
        " where state = 'open' and captured = 0",
        "hold is its events",
    ),
    "a hold of a writer nobody opened": (
        "update settlement.hold set writer_id = 1000 where state = 'open'",
        "what is named is there",
    ),
    "a balance of nobody": (
        "insert into settlement.balance (account_id, floored, earns) values (1000, false, false)",
        "what is named is there",
    ),
    "a hold that is gone": (
        "alter table settlement.hold disable trigger nothing_lost;delete from settlement.hold",
        "what is named is there",
    ),
    "a batch of nobody": (
        "alter table settlement.batch disable trigger only_grows;"
        "update settlement.batch set writer_id = 1000",
        "what is named is there",
    ),
    "a host that earns nothing": (
        "update settlement.balance b set earns = not earns from settlement.account a"
        " where a.account_id = b.account_id and a.kind = 'host'",
        "floor flag",
    ),
    "a lease spent for more": (
        "update settlement.hold set captured = captured + 1 where purpose = 'lease'",
        "hold is its events",
    ),
    "a lease that lasts longer": (
        "update settlement.hold set expires_at = expires_at + interval '1 h'"
        " where purpose = 'lease'",
        "batch hash",
    ),
    "another hold paid": (
        "update settlement.charge set hold_id = request_id where hold_id <> request_id",
        "hold is its events",
    ),
    "the rows before": ("update settlement.batch set rows_before = rows_before + 1", "chain"),
    "another era": (
        "insert into settlement.era (era, actor, reason) values (2, 'x', 'x');"
        "update settlement.writer set era = 2",
        "chain",
    ),
    "a charge for less": (
        "alter table settlement.charge drop constraint gross_is_shared;"
        "update settlement.charge set gross = gross - 1 where gross > 9000",
        "balance is its entries",
    ),
    "a charge for somebody else": (
        "update settlement.charge set operator_account = user_account + 1000",
        "batch hash",
    ),
    "a running balance": (
        "update settlement.charge set user_balance_after = user_balance_after - 1",
        "balance after",
    ),
    "another date": (
        "update settlement.txn set event_at = event_at - interval '1 s'",
        "batch hash",
    ),
    "another note": ("update settlement.txn set meta = '{\"a\": 1}'", "batch hash"),
    "another transfer": ("update settlement.transfer set leg = leg + 1, amount = 5", "batch hash"),
    "another hold": ("update settlement.hold_event set available_after = 0", "batch hash"),
    "another reason": (
        "update settlement.hold_event set reason = 'other' where event = 'voided'",
        "batch hash",
    ),
    "a row removed": ("delete from settlement.charge", "batch hash"),
    "a batch removed": ("delete from settlement.batch where seq = 1", "chain"),
    "the last batch removed": ("delete from settlement.batch where seq = 2", "head"),
    "the head turned back": ("update settlement.writer set head_seq = 1", "head"),
    "a batch rewritten": ("update settlement.batch set hash = sha256(hash) where seq = 1", "chain"),
    "a row without its batch": (
        "update settlement.hold_event set batch_seq = 99 where event = 'voided'",
        "row without batch",
    ),
    "an entry skipped": (
        "update settlement.transfer set credit_entry = credit_entry + 7",
        "entries are numbered",
    ),
}


async def lived(database: Database, pool: Pool) -> Books:
    """Books with two batches and one of everything."""
    books = await open_books(database, pool, [25_000_000])
    paid, voided = factories.hold(books.user, 10_000), factories.hold(books.user, 5)
    payout = factories.hold(books.user, 50, purpose=HoldPurpose.PAYOUT)
    lease = factories.hold(books.user, 500, purpose=HoldPurpose.LEASE)
    await books.apply(
        paid,
        factories.charge(paid.hold_id, books.user, books.host, 9_999),
        voided,
        Void(hold_id=voided.hold_id, reason="test | 'quoted' — ünïcode"),
        factories.hold(books.user, 7),
        payout,
        factories.payment(payout.hold_id, books.user, 49),
        factories.hold(books.user, 7, hold_id=uuid4()),
        lease,
        _part(lease, books, 100),
        _part(lease, books, 55),
    )
    return books


def _part(lease: Hold, books: Books, gross: int) -> Charge:
    request = factories.request_id()
    return factories.charge(request, books.user, books.host, gross, hold_id=lease.hold_id)


async def test_right_books_break_no_rule(database: Database, pool: Pool) -> None:
    books = await lived(database, pool)
    async with reading(books.pool) as conn:
        assert await store.broken_rules(conn) == []


# One database for all: each damage is done in a transaction that is taken back.
async def test_every_damage_is_found(database: Database, pool: Pool) -> None:
    books = await lived(database, pool)
    for name, (damage, rule) in DAMAGES.items():
        found = await _rules_after(books, damage)
        assert rule in found, f"{name}: found {found}"


async def _rules_after(books: Books, damage: str) -> set[object]:
    connection = await asyncpg.connect(books.database.dsn)
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute("set local session_replication_role = replica")
        await connection.execute(damage)
        return {
            row["rule"]
            for row in await connection.fetch("select * from settlement.check_books_v1()")
        }
    finally:
        await transaction.rollback()
        await connection.close()


async def test_the_root_is_what_python_makes_of_the_leaves(books: Books) -> None:
    for count in (1, 2, 33):
        leaves = [sha256(bytes([number])).digest() for number in range(count)]
        root = await books.fetchval("select settlement.batch_root_v2($1::bytea)", b"".join(leaves))
        assert root == verify_hash.batch_root(leaves), count
