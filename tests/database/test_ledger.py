"""The books' answers one by one: where they stand, what they tell, what they refuse."""

from dataclasses import replace
from typing import Literal
from uuid import uuid4

import asyncpg
import pytest

from settlement.chain.movement import Vault
from settlement.db.pool import ReadConn, Tx, reading, transaction
from settlement.ledger import accounts, store
from settlement.ledger.accounts import CHART, InvalidAccount
from settlement.ledger.operations import AccountName, HoldPurpose, Operation, Void
from settlement.ledger.store import AccountMissing, WriterFenced
from settlement.money import Slot
from tests import factories
from tests.database.conftest import Books


async def test_a_paid_request_is_shared_to_the_microunit(books: Books) -> None:
    hold = factories.hold(books.user, 2_000)
    charge = factories.charge(hold.hold_id, books.user, books.host, 1_234)
    placed, settled = await books.apply(hold, charge)
    assert (placed.available_microusdc, settled.balance_microusdc) == (24_998_000, 24_998_766)
    assert (await books.balance(books.host)).net_microusdc == 988
    assert (await books.balance(books.writer.treasury)).net_microusdc == 246
    assert (await books.balance(books.user)).net_microusdc == 24_998_766


async def test_a_request_that_cost_nothing_settles_as_a_row_of_zeros(books: Books) -> None:
    hold = factories.hold(books.user, 2_000)
    charge = factories.charge(hold.hold_id, books.user, books.host, 0)
    assert await books.codes(hold, charge, charge) == ["applied", "applied", "replayed"]
    assert await books.fetchval("select gross from settlement.charge") == 0
    assert (await books.balance(books.user)).available_microusdc == 25_000_000


async def test_a_replay_tells_what_was_told_the_first_time(books: Books) -> None:
    hold = factories.hold(books.user, 2_000)
    charge = factories.charge(hold.hold_id, books.user, books.host, 1_500)
    first = await books.apply(hold, charge)
    await books.apply(factories.hold(books.user, 7_777))
    again = await books.apply(hold, charge)
    assert [outcome.code.value for outcome in again] == ["replayed", "replayed"]
    assert [outcome.available_microusdc for outcome in again] == [
        outcome.available_microusdc for outcome in first
    ]


async def test_one_bad_operation_does_not_stop_the_others(books: Books) -> None:
    good = factories.hold(books.user, 5)
    codes = await books.codes(
        factories.hold(books.user, 10**12),
        factories.hold(accounts.user(uuid4()), 1),
        factories.charge(factories.request_id(), books.user, books.host, 1),
        factories.post(factories.transfer(books.host, factories.TILL, 1)),
        good,
        factories.hold(books.user, 6, hold_id=good.hold_id),
        factories.hold(books.user, 2**63),
    )
    assert codes == [
        "insufficient",
        "account_unknown",
        "hold_unknown",
        "insufficient",
        "applied",
        "conflict",
        "overflow",
    ]
    assert (await books.balance(books.user)).held_microusdc == 5


async def test_a_refused_hold_tells_what_there_was(books: Books) -> None:
    (refused,) = await books.apply(factories.hold(books.user, 25_000_001))
    assert refused.available_microusdc == 25_000_000


async def test_a_batch_without_effect_leaves_no_trace(books: Books) -> None:
    before = await books.fetchval("select row(head_seq, head_hash)::text from settlement.writer")
    await books.codes(factories.hold(books.user, 10**12), Void(hold_id=uuid4(), reason="x"))
    assert before == await books.fetchval(
        "select row(head_seq, head_hash)::text from settlement.writer"
    )


async def test_nothing_asked_is_nothing_answered(books: Books) -> None:
    assert await books.apply() == []


async def test_a_withdrawal_is_held_by_one_writer_and_paid_by_another(books: Books) -> None:
    indexer = await store.open_writer(books.pool, "indexer")
    hold = factories.hold(books.user, 1_000, purpose=HoldPurpose.PAYOUT)
    paid = factories.payment(hold.hold_id, books.user, 1_000)
    assert await books.codes(hold) == ["applied"]
    assert await books.codes(paid, paid, writer=indexer) == ["applied", "replayed"]
    assert await books.codes(Void(hold_id=hold.hold_id, reason="x")) == ["hold_closed"]
    balance = await books.balance(books.user)
    assert (balance.available_microusdc, balance.held_microusdc) == (24_999_000, 0)


async def test_another_coordinator_cannot_end_a_request(books: Books) -> None:
    other = await store.open_writer(books.pool, "coordinator2")
    hold = factories.hold(books.user, 1_000)
    await books.apply(hold)
    ends: list[Operation] = [
        factories.charge(hold.hold_id, books.user, books.host, 1),
        Void(hold_id=hold.hold_id, reason="mine now"),
        factories.payment(hold.hold_id, books.user, 1),
    ]
    assert await books.codes(*ends, writer=other) == ["conflict"] * 3


async def test_a_capture_gives_back_what_it_does_not_use(books: Books) -> None:
    hold = factories.hold(books.user, 1_000, purpose=HoldPurpose.PAYOUT)
    await books.apply(hold, factories.payment(hold.hold_id, books.user, 600))
    assert (await books.balance(books.user)).available_microusdc == 24_999_400
    row = await books.fetchval(
        "select array[captured, released] from settlement.hold where hold_id = $1", hold.hold_id
    )
    assert row == [600, 400]


async def test_money_held_cannot_be_moved_by_a_post(books: Books) -> None:
    out = factories.post(factories.transfer(books.user, factories.TILL, 25_000_000))
    assert await books.codes(factories.hold(books.user, 1), out) == ["applied", "insufficient"]


async def test_one_movement_is_booked_once_whatever_it_is_called(books: Books) -> None:
    first = replace(factories.deposit(books.user), external_ref="chain:localnet:a:0:-1:0")
    other = replace(first, transaction_id=uuid4())
    assert await books.codes(first, first, other) == ["applied", "replayed", "conflict"]
    assert (await books.balance(books.user)).net_microusdc == 50_000_000


async def test_the_chart_in_the_database_is_the_chart_in_the_code(books: Books) -> None:
    async with reading(books.pool) as conn:
        rows = await conn.fetch("select * from settlement.account_kind")
    assert {
        (
            spec.kind.value,
            spec.pattern,
            spec.side.value,
            spec.asset,
            spec.floored,
            spec.parent,
            spec.gl_code,
        )
        for spec in CHART
    } == {tuple(row.values()) for row in rows}


async def test_an_account_is_opened_once_and_only_under_a_name_of_its_kind(books: Books) -> None:
    await books.open(books.user, books.user)
    async with transaction(books.pool) as tx:
        with pytest.raises(InvalidAccount):
            await store.open_account(tx, AccountName("wallet:somebody"))
    for name, kind in (("user:x", "user"), (str(books.user), "host"), ("till", "chain_vault")):
        with pytest.raises(asyncpg.PostgresError) as refused:
            await books.execute("select settlement.open_account_v1($1, $2)", name, kind)
        assert refused.value.sqlstate == "PL005"


async def test_an_account_nobody_opened_is_missing(books: Books) -> None:
    with pytest.raises(AccountMissing):
        await books.balance(accounts.user(uuid4()))


async def test_the_books_at_a_slot(books: Books) -> None:
    till = accounts.chain_vault(Vault.TILL)
    await books.apply(
        factories.deposit(books.user, 7, slot=200),
        factories.deposit(books.user, 11, slot=201),
        factories.post(factories.transfer(books.user, till, 3), slot=201),
    )
    expected = {99: 0, 100: 25_000_000, 200: 25_000_007, 201: 25_000_015, 10**9: 25_000_015}
    async with reading(books.pool) as conn:
        for slot, holds in expected.items():
            balance = await store.balance_at_slot(conn, till, Slot(slot))
            assert -balance.net_microusdc == holds, slot


async def test_an_accounts_history_is_numbered_without_gaps(books: Books) -> None:
    hold = factories.hold(books.user, 100)
    await books.apply(
        hold,
        factories.charge(hold.hold_id, books.user, books.host, 10),
        factories.deposit(books.user, 5),
    )
    async with reading(books.pool) as conn:
        page = await store.entries(conn, books.user)
        rest = await store.entries(conn, books.user, after=1, limit=1)
    assert [entry.number for entry in page] == [1, 2, 3]
    assert [entry.kind for entry in page] == ["deposit_credited", "charge", "deposit_credited"]
    assert [entry.debit_microusdc for entry in page] == [0, 10, 0]
    assert rest == page[1:2]


async def test_apply_stands_or_falls_with_its_transaction(books: Books) -> None:
    async def step() -> None:
        async with transaction(books.pool) as tx:
            await store.apply(tx, books.writer, [factories.hold(books.user, 5)])
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        await step()
    assert (await books.balance(books.user)).held_microusdc == 0


async def test_only_read_committed_will_do(books: Books) -> None:
    async def step(level: Literal["repeatable_read", "serializable"]) -> None:
        async with books.pool.acquire() as held, held.transaction(isolation=level):
            tx = Tx(ReadConn(held))
            await store.apply(tx, books.writer, [factories.hold(books.user, 5)])

    with pytest.raises(asyncpg.PostgresError) as refused:
        await step("repeatable_read")
    assert refused.value.sqlstate == "PL002"
    with pytest.raises(asyncpg.PostgresError) as refused:
        await step("serializable")
    assert refused.value.sqlstate == "PL002"


async def test_a_writer_whose_last_batch_is_gone_posts_no_more(books: Books) -> None:
    """A restore that lost the end of the chain must not be continued as if nothing were missing."""
    await books.execute(
        "set session_replication_role = replica; update settlement.batch set hash = 'x'::bytea"
    )
    with pytest.raises(WriterFenced):
        await books.apply(factories.hold(books.user, 5))
    await books.execute(
        "set session_replication_role = replica;"
        " update settlement.batch b set hash = w.head_hash from settlement.writer w"
        " where w.head_seq = b.seq and w.writer_id = b.writer_id"
    )


async def test_a_writer_nobody_opened_posts_nothing(books: Books) -> None:
    with pytest.raises(WriterFenced):
        await books.apply(factories.hold(books.user, 5), writer=replace(books.writer, writer_id=99))


async def test_settling_costs_the_same_however_long_the_history(books: Books) -> None:
    """Plans are made while the tables are small; a kept plan must not read the history again."""
    await books.apply(factories.deposit(books.user, 10**9))
    connection = await asyncpg.connect(
        books.database.dsn, server_settings={"role": "pod_coordinator"}
    )
    operations = 0
    for _ in range(60):
        holds = [factories.hold(books.user, 10) for _ in range(10)]
        charges = [factories.charge(h.hold_id, books.user, books.host, 10) for h in holds]
        async with connection.transaction():
            await store.apply(_as_tx(connection), books.writer, holds)
        async with connection.transaction():
            await store.apply(_as_tx(connection), books.writer, charges)
        operations += 20
    await connection.execute("select pg_stat_force_next_flush()")
    read = await connection.fetch(
        "select relname, seq_tup_read + coalesce(idx_tup_fetch, 0) as rows"
        " from pg_stat_user_tables where schemaname = 'settlement'"
        " and relname in ('charge', 'hold', 'hold_event', 'txn', 'transfer', 'batch')"
    )
    await connection.close()
    assert {row["relname"]: row["rows"] for row in read if row["rows"] > 10 * operations} == {}


def _as_tx(connection: "asyncpg.Connection[asyncpg.Record]") -> Tx:
    """One connection for the whole test, so that it keeps its plans."""
    return Tx(ReadConn(connection))  # pyright: ignore[reportArgumentType]
