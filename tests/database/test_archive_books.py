"""What stays of an archived day: sums that the books are held to, and what proofs go on with."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import asyncpg
import pytest

from settlement.db.pool import reading
from settlement.ledger import archive_read, seal_read, store
from settlement.ledger.archive_tree import hashes_of
from settlement.ledger.merkle_proof import (
    consistency_needs,
    consistency_path,
    inclusion_needs,
    inclusion_path,
    verify_consistency,
    verify_inclusion,
)
from settlement.ledger.operations import Void
from tests import factories
from tests.conftest import check_books
from tests.database import days
from tests.database.archiving import Past, past
from tests.database.test_partitions import EVERYONE, connected

__all__ = ["past"]
# Every row that is there, with its place in the tree and its hash.
LEAVES = """
select c.first_leaf + b.rows_before - f.rows_before + x.ord - 1 as at, x.leaf
  from settlement.seal_cut c
  join settlement.batch f on f.writer_id = c.writer_id and f.seq = c.from_seq
  join settlement.batch b on b.writer_id = c.writer_id and b.seq between c.from_seq and c.to_seq
 cross join lateral settlement.batch_leaves_v2(b.writer_id, b.seq) as x
 order by at
"""


async def with_archive(past: Past, *, rows: int = 60, other_rows: int = 25) -> None:
    """Two writers, three seals, two days in the archive, and a day that is not."""
    other = await store.open_writer(past.books.pool, "other")
    for at in range(3):
        await past.trade(past.day(at), rows, seed=at)
        await past.trade(past.day(at), other_rows, writer=other, seed=10 + at)
        await past.seal()
        # Late requests of the same day, mixed with those of the next: days share tiles and batches.
        await past.trade(past.day(at), 9, seed=20 + at)
    await past.seal()
    for at in range(2):
        await past.archive(past.day(at))


async def test_entries_add_up_to_the_balances_as_before(past: Past) -> None:
    await with_archive(past)
    await check_books(past.books.database.dsn)
    async with connected(past.books) as connection:
        rows = await connection.fetch(
            "select b.dr, b.cr, b.version, e.* from settlement.balance b"
            " left join (select account_id, sum(dr) as d, sum(cr) as c, sum(entries) as n,"
            "                   count(*) filter (where kind = 'charges_archived') as folded"
            "              from settlement.entry group by account_id) as e using (account_id)"
            " where b.version > 0"
        )
    assert all(
        (row["dr"], row["cr"], row["version"]) == (row["d"], row["c"], row["n"]) for row in rows
    )
    # User and operator were paid through two writers on each of two days, each treasury by its own.
    assert sorted(row["folded"] for row in rows) == [0, 2, 2, 4, 4]


async def test_each_summary_balances_as_a_transaction_does(past: Past) -> None:
    await with_archive(past)
    async with connected(past.books) as connection:
        sums = await connection.fetch(
            "select cause_id, sum(dr) as dr, sum(cr) as cr, count(distinct (batch_seq, ord)) as n"
            "  from settlement.entry where kind = 'charges_archived' group by cause_id"
        )
    assert [(row["dr"] - row["cr"], row["n"]) for row in sums] == [(0, 1)] * 4


async def test_a_lease_goes_on_after_what_it_paid_for_went(past: Past) -> None:
    books = past.books
    lease = factories.hold(books.user, 1_000, purpose=factories.HoldPurpose.LEASE)
    old, new = (
        factories.charge(
            days.ids_of(past.day(at), 1)[0], books.user, books.host, 30, hold_id=lease.hold_id
        )
        for at in (0, 1)
    )
    await books.apply(lease, old)
    await past.seal()
    await past.archive(past.day(0))
    assert await books.codes(new, Void(hold_id=lease.hold_id, reason="over")) == ["applied"] * 2
    held = await books.fetchval("select captured from settlement.hold")
    assert (held, (await books.balance(books.user)).held_microusdc) == (60, 0)


async def test_every_row_that_is_left_has_its_proof(past: Past) -> None:
    await with_archive(past, rows=300, other_rows=150)
    async with connected(past.books) as connection:
        leaves = await connection.fetch(LEAVES)
    async with reading(past.pool) as conn:
        seals = [await seal_read.seal_of(conn, number) for number in range(1, 5)]
    last = seals[-1]
    assert 300 < len(leaves) < last.tree_size - 300
    needed = {n for row in leaves for n in inclusion_needs(row["at"], last.tree_size)}
    hashes = await hashes_of(past.pool, needed)
    for row in leaves:
        path = inclusion_path(row["at"], last.tree_size, hashes)
        assert verify_inclusion(row["leaf"], row["at"], last.tree_size, path, last.root)


async def test_every_seal_is_still_consistent_with_every_later_one(past: Past) -> None:
    await with_archive(past)
    async with reading(past.pool) as conn:
        seals = [await seal_read.seal_of(conn, number) for number in range(1, 5)]
    for at, new in enumerate(seals):
        for old in seals[: at + 1]:
            sizes = old.tree_size, new.tree_size
            path = consistency_path(*sizes, await hashes_of(past.pool, consistency_needs(*sizes)))
            assert verify_consistency(sizes[0], old.root, sizes[1], new.root, path)


# What is done to the books, and the rule that then is broken.
DAMAGES = {
    "a sum for less": (
        "update settlement.archived_entry_sum set dr = dr - 1 where dr > 0",
        "balance is its entries",
    ),
    "a sum forgotten": (
        "delete from settlement.archived_entry_sum where cr > 0",
        "balance is its entries",
    ),
    "an entry less": (
        "update settlement.archived_entry_sum set n = n - 1",
        "balance is its entries",
    ),
    "other numbers": (
        "update settlement.archived_entry_sum set numbers = numbers + 1",
        "entries are numbered",
    ),
    "other first numbers": (
        "update settlement.archived_entry_sum set first_entry = 0",
        "entries are numbered",
    ),
    "a hold spent otherwise": (
        "update settlement.archived_hold set captured = captured + 1",
        "hold is its events",
    ),
    "a hold's spending forgotten": ("delete from settlement.archived_hold", "hold is its events"),
    "a row less in the archive": (
        "update settlement.archived_span set n = n - 1 where n > 1",
        "archived rows",
    ),
    "a row gone beside it": (
        "delete from settlement.charge where ctid = (select min(ctid) from settlement.charge)"
        " and tableoid = (select min(tableoid) from settlement.charge)",
        "archived rows",
    ),
    "a deposit gone beside it": (
        "with gone as (delete from settlement.txn where txn_id = (select txn_id from settlement.txn"
        " where batch_seq > 5 limit 1) returning txn_id)"
        " delete from settlement.transfer using gone where transfer.txn_id = gone.txn_id",
        "archived rows",
    ),
    "batches that no archive has rows of": (
        "update settlement.archived_span set last_seq = first_seq",
        "batch hash",
    ),
    "a batch rewritten": (
        "update settlement.batch set root = sha256(root) where seq = 3",
        "batch hash",
    ),
    "a day that is back": (
        "update settlement.charge_day set state = 'attached', archived_at = null, archive = null",
        "balance is its entries",
    ),
    "a balance after": (
        "update settlement.charge set user_balance_after = user_balance_after + 1",
        "balance after",
    ),
}


async def test_damage_to_what_is_left_is_found(past: Past) -> None:
    await with_archive(past)
    async with connected(past.books) as connection:
        for name, (statement, rule) in DAMAGES.items():
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute("set local session_replication_role = replica")
            assert (await connection.execute(statement)) not in ("UPDATE 0", "DELETE 0"), name
            broken = await connection.fetch("select rule from settlement.check_books_v1()")
            await transaction.rollback()
            assert rule in {row["rule"] for row in broken}, name
        assert await connection.fetch("select * from settlement.check_books_v1()") == []


Change = Callable[[dict[str, Any]], Mapping[str, Any]]
OTHER_MANIFESTS: dict[str, Change] = {
    "fewer rows": lambda m: {"sums": {**m["sums"], "rows": 19}},
    "another gross": lambda m: {"sums": {**m["sums"], "gross": 1}},
    "another share": lambda m: {"sums": {**m["sums"], "treasury_share": 0}},
    "more than sums": lambda m: {"sums": {**m["sums"], "more": 0}},
    "no sums": lambda _: {"sums": None},
    "another day": lambda _: {"day": "2020-01-01"},
    "no seal": lambda _: {"seal": None},
    "another seal": lambda m: {"seal": {**m["seal"], "seal_no": 1}},
    "another hash": lambda m: {"seal": {**m["seal"], "hash": "00" * 32}},
}


async def test_the_database_holds_a_manifest_to_what_it_added_up(
    past: Past, monkeypatch: pytest.MonkeyPatch
) -> None:
    await past.trade(past.day(1), 5)
    await past.seal()
    await past.trade(past.day(0), 20)
    await past.seal()
    held: list[str] = []

    async def keep(_pool: object, _day: object, manifest: str) -> None:
        held.append(manifest)

    with monkeypatch.context() as patch:
        patch.setattr(archive_read, "let_go", keep)
        await past.archive(past.day(0))
    right = json.loads(held[0])
    for change in OTHER_MANIFESTS.values():
        other = json.dumps({**right, **change(right)})
        with pytest.raises(archive_read.ArchiveWrong):
            await archive_read.let_go(past.pool, past.day(0), other)
    await archive_read.let_go(past.pool, past.day(0), held[0])


CALLS = (
    "select settlement.close_charge_day_v1(current_date - 6)",
    "select settlement.fold_charge_day_v1(current_date - 6, 10)",
    "select settlement.archive_charge_day_v1(current_date - 6, '{}')",
    "select settlement.keep_archived_nodes_v1('{}', '{}', '{}')",
)


async def test_one_role_archives(past: Past) -> None:
    for role in EVERYONE:
        async with connected(past.books, role) as connection:
            for call in CALLS if role != "pod_settlement" else ():
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(call)
            for table in ("archived_span", "archived_entry_sum", "archived_hold", "archived_node"):
                for verb in ("delete from", "truncate", "insert into"):
                    rest = f" select * from settlement.{table}" if verb == "insert into" else ""
                    with pytest.raises(asyncpg.InsufficientPrivilegeError):
                        await connection.execute(f"{verb} settlement.{table}{rest}")


async def test_a_day_is_not_added_up_while_it_is_open(past: Past) -> None:
    await past.trade(past.day(0), 5)
    for call in CALLS[1:3]:
        async with connected(past.books, "pod_settlement") as connection:
            with pytest.raises(asyncpg.PostgresError) as refused:
                await connection.execute(call)
            assert refused.value.sqlstate == "PL014"
    await archive_read.call(past.pool, archive_read.QUERIES["close"], past.day(0))
    async with connected(past.books, "pod_settlement") as connection:
        with pytest.raises(asyncpg.PostgresError, match="not added up"):
            await connection.execute(CALLS[2])
        assert await connection.fetchval(CALLS[1]) == 5
        assert await connection.fetchval(CALLS[1]) == 0
