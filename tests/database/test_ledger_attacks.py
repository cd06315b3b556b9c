"""Every forbidden thing, tried in raw SQL as each role of a service, with the exact answer.

What a role may not do at all is refused with 42501; what it may ask for, by the functions granted
to it, is refused by their rules. Tables and functions come from the catalog: one added later is
attacked as well.
"""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

import asyncpg
import pytest

from settlement.ledger.operations import HoldPurpose, Void
from tests import factories
from tests.database.conftest import Books

DENIED = "42501"
CHECK = "23514"
NOT_YOURS = "PL006"
POSTING = ("pod_coordinator", "pod_indexer", "pod_settlement")
ROLES = (*POSTING, "pod_signer", "pod_finance")
# Who may call what, in all three schemas. Nothing else, and nothing by everybody.
CALLABLE = {
    "settlement.apply_v2": POSTING,
    "settlement.open_account_v1": POSTING,
    "settlement.open_writer_v2": POSTING,
    "settlement.settle_v2": POSTING,
    "settlement.book_deposits_v1": ("pod_indexer",),
    "settlement.ensure_charge_days_v1": POSTING,
    "settlement.keep_leases_v1": POSTING,
    "settlement.fence_expired_v1": ("pod_settlement",),
    "settlement.begin_era_v1": ("pod_settlement",),
    "settlement.check_books_v1": (*POSTING, "pod_finance"),
    "settlement.batch_of_row_v1": (*POSTING, "pod_finance"),
    "settlement.seal_v1": ("pod_settlement",),
    "settlement.close_charge_day_v1": ("pod_settlement",),
    "settlement.fold_charge_day_v1": ("pod_settlement",),
    "settlement.keep_archived_nodes_v1": ("pod_settlement",),
    "settlement.archive_charge_day_v1": ("pod_settlement",),
    "settlement.payout_gate_closed_v1": ROLES,
    "settlement.lift_crediting_stop_v1": ("pod_indexer", "pod_finance"),
    "indexer.close_stop_incident_v1": ("pod_indexer", "pod_finance"),
}
# What the owner's own functions call with the owner's rights, and nobody else.
WITHIN = {"settlement.make_charge_day_v1"}
# What only reads, with the caller's own rights.
READS = {"settlement.batch_of_row_v1", "settlement.payout_gate_closed_v1"}
# Every table whose rows are never changed, and every one whose rows are never lost.
GUARDED = """
select distinct c.oid::regclass::text, t.tgname, a.attname
  from pg_trigger t
  join pg_class c on c.oid = t.tgrelid
  join pg_attribute a on a.attrelid = c.oid and a.attnum = 2  -- the first is often an identity
 where t.tgname in ('only_grows', 'nothing_lost')
"""
CHART = (
    "update settlement.account_kind set floored = false",
    "update settlement.account_kind set side = 'asset' where kind = 'user'",
    "insert into settlement.account_kind"
    " select 'mint', pattern, side, asset, false, parent, gl_code from settlement.account_kind",
    "delete from settlement.account_kind",
    "truncate settlement.account_kind cascade",
)
BY_HAND = (
    "update settlement.balance set dr = cr + 1 where floored",
    "update settlement.balance set held = cr + 1 where floored",
    "update settlement.balance set held = 0",
    "update settlement.account set floored = false",
    "update settlement.writer set role = current_user",
    "insert into settlement.writer (name, epoch, head_hash, treasury_account, role)"
    " values ('mine', 1, '', 1, current_user)",
    "insert into settlement.charge select * from settlement.charge",
    "insert into settlement.txn select * from settlement.txn",
    "insert into settlement.transfer select * from settlement.transfer",
    "insert into settlement.hold_event select * from settlement.hold_event",
    "insert into settlement.batch select * from settlement.batch",
    "insert into settlement.hold select * from settlement.hold",
    "insert into settlement.era values (2, now(), 'me', 'why not')",
    "update settlement.charge_window set low = high",
    "select settlement.make_charge_day_v1('2020-01-01')",
    "select settlement.claim_head_v2(1, 1, null, null)",
    "alter table settlement.charge disable trigger all",
    "alter function settlement.open_writer_v2(text) security invoker",
    "create function settlement.mine() returns int language sql as 'select 1'",
    "set session_replication_role = replica",
    "select settlement.caller_role_v1()",
)


@dataclass(frozen=True, kw_only=True)
class Crime:
    """Books with one of everything, and a session that takes each role in turn."""

    books: Books
    connection: "asyncpg.Connection[asyncpg.Record]"
    writers: dict[str, int]  # by role
    request_id: UUID  # a settled one
    reversed_id: UUID  # a transaction that was reversed

    async def sqlstate(self, role: str, statement: str, *arguments: object) -> str:
        """What the statement is refused with, or "" when it is not; it leaves nothing behind."""
        transaction = self.connection.transaction()
        await transaction.start()
        try:
            await self.connection.execute(f"set local role {role}")
            await self.connection.execute(statement, *arguments)
        except asyncpg.PostgresError as error:
            return error.sqlstate or "?"
        finally:
            await transaction.rollback()
        return ""

    async def codes(self, role: str, operations: Sequence[object]) -> list[str]:
        """What `apply_v2` answers this role, posting as its own writer."""
        async with self.connection.transaction():
            await self.connection.execute(f"set local role {role}")
            rows = await self.connection.fetch(_APPLY, self.writers[role], json.dumps(operations))
        return [code for row in rows for code in row["codes"]]


_APPLY = "select codes from settlement.apply_v2($1, 1, null, null, $2::text::jsonb)"


@pytest.fixture
async def crime(books: Books) -> AsyncIterator[Crime]:
    paid, voided = factories.hold(books.user, 10_000), factories.hold(books.user, 5)
    posted = factories.deposit(books.user, 9)
    back = factories.post(
        factories.transfer(books.user, factories.TILL, 9), reverses=posted.transaction_id
    )
    await books.apply(
        paid,
        factories.charge(paid.hold_id, books.user, books.host, 9_999),
        voided,
        Void(hold_id=voided.hold_id, reason="test"),
        factories.hold(books.user, 24_000_000, purpose=HoldPurpose.PAYOUT),
        posted,
        back,
    )
    connection = await asyncpg.connect(books.database.dsn)
    writers = {"pod_coordinator": books.writer.writer_id}
    for role in ("pod_indexer", "pod_settlement"):
        await connection.execute(f"set role {role}")
        writers[role] = await connection.fetchval(
            "select writer_id from settlement.open_writer_v2($1)", role.removeprefix("pod_")
        )
    await connection.execute("reset role")
    yield Crime(
        books=books,
        connection=connection,
        writers=writers,
        request_id=paid.hold_id,
        reversed_id=posted.transaction_id,
    )
    await connection.close()


async def test_no_role_changes_or_loses_a_row_of_history(crime: Crime) -> None:
    guarded = await crime.connection.fetch(GUARDED)
    assert len(guarded) > 15
    for table, trigger, column in guarded:
        for role in ROLES:
            statements = [f"delete from {table}", f"truncate {table} cascade"]
            if trigger == "only_grows":
                statements.append(f"update {table} set {column} = {column}")
            for statement in statements:
                assert await crime.sqlstate(role, statement) == DENIED, (role, statement)


async def test_no_role_writes_the_books_or_their_rules_by_hand(crime: Crime) -> None:
    for role in ROLES:
        for statement in (*CHART, *BY_HAND):
            assert await crime.sqlstate(role, statement) == DENIED, (role, statement)


async def test_no_role_uses_the_writer_of_another(crime: Crime) -> None:
    operations = json.dumps([_hold(crime, 1)])
    for role in ROLES:
        for owner, writer_id in crime.writers.items():
            if owner == role:
                continue
            refused = NOT_YOURS if role in POSTING else DENIED
            name = owner.removeprefix("pod_")
            for statement, arguments in (
                ("select settlement.open_writer_v2($1)", (name,)),
                (_APPLY, (writer_id, operations)),
                (_SETTLE, (writer_id, uuid4(), crime.books.user)),
            ):
                answered = await crime.sqlstate(role, statement, *arguments)
                assert answered == refused, (role, owner, statement)


_SETTLE = """
select codes from settlement.settle_v2($1, 1, null, null, '{}', '{}', '{}', '{}', '{}', '{}', '{1}',
  array[$2::uuid], array(select account_id from settlement.account where name = $3), '{1}',
  '{request}', '{null}', '{null}')
"""


async def test_its_own_writer_serves_each_role(crime: Crime) -> None:
    """What the tests above are refused, asked rightly."""
    for role, writer_id in crime.writers.items():
        assert await crime.codes(role, [_hold(crime, 1)]) == ["applied"]
        assert await crime.sqlstate(role, _SETTLE, writer_id, uuid4(), crime.books.user) == ""


async def test_no_role_posts_what_does_not_balance(crime: Crime) -> None:
    user = crime.books.user
    for role in POSTING:
        for transfers, refused in (
            ([_leg(user, "quarantine", 0)], "malformed"),
            ([_leg(user, "quarantine", -5)], "malformed"),
            ([_leg("quarantine", "quarantine", 5)], "malformed"),
            ([{"debit": "chain:till", "amount": 5}], "malformed"),
            ([{"credit": user, "amount": 5}], "malformed"),
            ([{"credit": user, "debit": "chain:till"}], "malformed"),
            ([], "malformed"),
            ([_leg("chain:till", "user:nobody", 5)], "account_unknown"),
            ([_leg("chain:till", "funding:sol", 5)], "asset_mismatch"),
            ([_leg("chain:till", "quarantine", 2**63)], "overflow"),
        ):
            assert await crime.codes(role, [_post(*transfers)]) == [refused], (role, transfers)
        large = _post(_leg("chain:till", "quarantine", 5)) | {"meta": {"a": "x" * 20_000}}
        assert await crime.codes(role, [large]) == ["meta_too_large"]


async def test_no_role_overdraws_an_account_or_what_is_left_beside_its_holds(crime: Crime) -> None:
    balance = await crime.books.balance(crime.books.user)
    assert balance.held_microusdc > balance.available_microusdc
    over = balance.available_microusdc + 1
    direct = {
        "verb": "charge",
        "id": str(factories.request_id()),
        "account": crime.books.user,
        "operator": crime.books.host,
        "amount": over,
        "split_bps": 2000,
    }
    for role in POSTING:
        asked = [_hold(crime, over), _post(_leg(crime.books.user, "quarantine", over)), direct]
        assert await crime.codes(role, asked) == ["insufficient"] * 3
        assert await crime.codes(role, [_hold(crime, 0), _hold(crime, -1)]) == ["malformed"] * 2
        forever = _hold(crime, 1) | {"purpose": "lease"}
        assert await crime.codes(role, [forever]) == ["malformed"]
    assert await crime.books.balance(crime.books.user) == balance


async def test_no_role_settles_twice_or_reverses_twice(crime: Crime) -> None:
    books = crime.books
    for role in POSTING:
        charge = {
            "verb": "charge",
            "id": str(crime.request_id),
            "account": books.user,
            "operator": books.host,
            "amount": 9_999,
            "split_bps": 2000,
            "hold": str(crime.request_id),
        }
        back = _post(_leg(books.user, "chain:till", 9)) | {"reverses": str(crime.reversed_id)}
        asked = [charge, charge | {"amount": 1}, back]
        assert await crime.codes(role, asked) == ["replayed", "conflict", "conflict"], role


async def test_each_role_calls_just_the_functions_it_was_given(crime: Crime) -> None:
    rows = await crime.connection.fetch(
        "select r as role, p.oid::regproc::text as name"
        "  from pg_proc p cross join unnest($1::text[]) as r"
        " where p.pronamespace::regnamespace::text in ('settlement', 'indexer', 'coordinator')"
        "   and has_function_privilege(r, p.oid, 'execute')",
        list(ROLES),
    )
    granted: dict[str, set[str]] = {}
    for row in rows:
        granted.setdefault(row["name"], set()).add(row["role"])
    assert granted == {name: set(roles) for name, roles in CALLABLE.items()}


async def test_a_function_with_its_owners_rights_is_safe_to_call(crime: Crime) -> None:
    """It finds its tables in no schema of the caller's, and nobody logs in as its owner."""
    rows = await crime.connection.fetch(
        "select p.oid::regproc::text as name, p.proconfig as settings, o.rolname as owner,"
        "       o.rolcanlogin or o.rolsuper or o.rolbypassrls or o.rolcreaterole as strong"
        "  from pg_proc p join pg_roles o on o.oid = p.proowner"
        " where p.prosecdef and p.pronamespace::regnamespace::text !~ '^pg_|^information_schema$'"
    )
    assert {row["name"] for row in rows} == set(CALLABLE) - READS | WITHIN
    for row in rows:
        assert "search_path=pg_catalog, pg_temp" in (row["settings"] or []), row["name"]
        assert (row["owner"], row["strong"]) == ("pod_owner", False), row["name"]


def _leg(debit: str, credit: str, amount: int) -> dict[str, object]:
    return {"debit": debit, "credit": credit, "amount": amount}


def _post(*transfers: Mapping[str, object]) -> dict[str, object]:
    return {
        "verb": "post",
        "id": str(uuid4()),
        "kind": "adjustment",
        "event_at": "2026-11-02T12:00:00Z",
        "effective_on": "2026-11-02",
        "actor": "test",
        "transfers": transfers,
    }


def _hold(crime: Crime, amount: int) -> dict[str, object]:
    return {
        "verb": "hold",
        "id": str(uuid4()),
        "account": crime.books.user,
        "amount": amount,
        "purpose": "request",
    }
