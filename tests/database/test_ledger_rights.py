"""The database refuses what the code promised not to do: each forbidden thing, as each role."""

import re
from dataclasses import replace
from uuid import uuid4

import asyncpg
import pytest

from settlement.ledger.operations import Void
from tests import factories
from tests.database.conftest import Books

SERVICES = ("pod_coordinator", "pod_indexer", "pod_settlement")
EVERYONE = (*SERVICES, "pod_signer", "pod_finance")
JOURNAL = ("charge", "txn", "transfer", "hold_event", "batch")
PROJECTIONS = ("account", "account_kind", "balance", "hold", "writer")
# One statement for each way to lie; the tables have the rows that `lived` made.
LIES = {
    "take money": "update settlement.balance set cr = cr + 1000000",
    "hide a hold": "update settlement.balance set held = 0",
    "end a hold": "update settlement.hold set state = 'voided', released = amount",
    "rewrite history": "update settlement.charge set gross = gross",
    "backdate": "update settlement.txn set event_at = now()",
    "book a deposit": "insert into settlement.txn select * from settlement.txn",
    "move money": "insert into settlement.transfer select * from settlement.transfer",
    "settle": "insert into settlement.charge select * from settlement.charge",
    "hold": "insert into settlement.hold select * from settlement.hold",
    "forge a batch": "insert into settlement.batch select * from settlement.batch",
    "turn back a writer": "update settlement.writer set epoch = 1",
    "lift a floor": "update settlement.account set floored = false",
    "open by hand": "insert into settlement.balance (account_id, floored, earns)"
    " values (99, false, false)",
    "forget": "truncate settlement.charge",
    "drop": "drop table settlement.charge cascade",
    "replace the function": "create or replace function settlement.refuse_change_v1() returns"
    " trigger language plpgsql as 'begin return null; end'",
}


@pytest.fixture
async def lived(books: Books) -> Books:
    """Books with one of everything in them."""
    paid = factories.hold(books.user, 10_000)
    voided = factories.hold(books.user, 5)
    await books.apply(
        paid,
        factories.charge(paid.hold_id, books.user, books.host, 9_999),
        voided,
        Void(hold_id=voided.hold_id, reason="test"),
        factories.hold(books.user, 7),
    )
    return books


async def test_no_role_can_write_the_books_by_hand(lived: Books) -> None:
    for role in EVERYONE:
        for statement in LIES.values():
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await lived.execute(statement, role=role)


async def test_not_even_the_owner_changes_history(lived: Books) -> None:
    for table in JOURNAL:
        column = await lived.fetchval(
            "select attname from pg_attribute where attrelid = $1::text::regclass and attnum = 1",
            f"settlement.{table}",
        )
        for statement in (
            "delete from {}",
            "truncate {} cascade",
            f"update {{}} set {column} = {column}",
        ):
            for role in ("pod_owner", None):
                await _refuses(lived, statement.format(f"settlement.{table}"), role)


async def test_not_even_the_owner_loses_an_account_or_a_hold(lived: Books) -> None:
    for table in PROJECTIONS:
        for statement in ("delete from {}", "truncate {} cascade"):
            await _refuses(lived, statement.format(f"settlement.{table}"), None)


async def _refuses(books: Books, statement: str, role: str | None) -> None:
    with pytest.raises(asyncpg.PostgresError) as refused:
        await books.execute(statement, role=role)
    assert refused.value.sqlstate == "PL003", statement


IMPOSSIBLE = (
    ("update settlement.balance set dr = cr + 1 where floored and cr > 0", "no_overdraft"),
    ("update settlement.balance set held = cr + 1 where floored and cr > 0", "no_overdraft"),
    ("update settlement.balance set dr = -1", "nothing_is_negative"),
    ("update settlement.balance set held = -1", "nothing_is_negative"),
    ("update settlement.hold set captured = amount + 1 where state = 'captured'", "hold_adds_up"),
    ("update settlement.hold set state = 'open' where state = 'voided'", "hold_adds_up"),
    ("update settlement.hold set expires_at = now() where state = 'open'", "only_leases_expire"),
    ("update settlement.hold set amount = 0 where state = 'open'", "hold_amount_check"),
    ("update settlement.hold set amount = -1 where state = 'open'", "hold_adds_up"),
    ("update settlement.balance set cr = -1 where not floored", "nothing_is_negative"),
    ("update settlement.balance set version = -1", "nothing_is_negative"),
    ("update settlement.hold set captured = -1 where state = 'captured'", "hold_adds_up"),
    ("update settlement.hold set released = -1 where state = 'open'", "hold_adds_up"),
    ("update settlement.hold set purpose = 'fun'", "hold_purpose_check"),
)


async def test_no_hand_makes_a_balance_or_a_hold_impossible(lived: Books) -> None:
    for statement, constraint in IMPOSSIBLE:
        with pytest.raises(asyncpg.CheckViolationError) as refused:
            await lived.execute(statement)
        assert refused.value.constraint_name == constraint


_CHARGE = """
insert into settlement.charge
select {id}, hold_id, user_account, operator_account, {gross}, {operator}, {treasury},
       user_entry + 1000, operator_entry + 1000, treasury_entry, user_balance_after,
       batch_seq + 1000, writer_id, ord, split_bps
  from settlement.charge
"""


WRONG_CHARGES: tuple[tuple[dict[str, str], str], ...] = (
    ({"operator": "operator_share + 1"}, "gross_is_shared"),
    (
        {"operator": "operator_share - 1", "treasury": "treasury_share + 1"},
        "treasury_share_is_floored",
    ),
    ({"gross": "-5", "operator": "-4", "treasury": "-1"}, "gross_is_shared"),
    ({"operator": "gross + 1", "treasury": "-1"}, "gross_is_shared"),
    ({"id": "request_id"}, "charge_pkey"),
)


async def test_no_hand_settles_wrongly_or_twice(lived: Books) -> None:
    for changes, constraint in WRONG_CHARGES:
        row = {
            "id": f"'{factories.request_id()}'",
            "gross": "gross",
            "operator": "operator_share",
            "treasury": "treasury_share",
            **changes,
        }
        with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refused:
            await lived.execute(_CHARGE.format(**row))
        # A key is the partition's own, under the partition's name.
        told = refused.value.constraint_name or ""
        assert re.sub(r"^charge_\d{8}_", "charge_", told) == constraint


_TXN = """
insert into settlement.txn
select gen_random_uuid(), kind, slot, event_at, recorded_at, effective_on, {ref}, {reverses}, null,
       null, null, actor, reason, meta, content_sha256, writer_id, epoch, batch_seq + 1000, ord
  from settlement.txn
"""


async def test_no_hand_books_a_movement_twice_or_reverses_twice(books: Books) -> None:
    first = factories.post(
        factories.transfer(factories.TILL, books.user, 5), external_ref="chain:localnet:x:0:-1:0"
    )
    back = factories.post(
        factories.transfer(books.user, factories.TILL, 5), reverses=first.transaction_id
    )
    assert await books.codes(first, back) == ["applied", "applied"]
    for row, constraint in (
        ({"ref": "external_ref", "reverses": "null"}, "txn_external_ref_key"),
        ({"ref": "null", "reverses": "reverses"}, "txn_reverses_key"),
    ):
        with pytest.raises(asyncpg.UniqueViolationError) as refused:
            await books.execute(_TXN.format(**row))
        assert refused.value.constraint_name == constraint
    again = replace(back, transaction_id=uuid4())
    assert await books.codes(again) == ["conflict"]


async def test_a_transfer_moves_a_positive_amount_between_two_accounts(lived: Books) -> None:
    for credit, amount in (("credit", "0"), ("credit", "-1"), ("debit", "amount")):
        with pytest.raises(asyncpg.CheckViolationError):
            await lived.execute(
                f"insert into settlement.transfer select txn_id, leg + 1, debit, {credit},"
                f" {amount}, debit_entry + 99, credit_entry + 99 from settlement.transfer"
            )


async def test_finance_reads_everything_and_may_not_post(lived: Books) -> None:
    for table in (*JOURNAL, *PROJECTIONS, "entry", "hold_flow"):
        await lived.execute(f"select * from settlement.{table}", role="pod_finance")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await lived.execute(
            "select settlement.apply_v2(1, 1, null, null, '[]')", role="pod_finance"
        )


async def test_the_signer_sees_nothing_of_the_books(lived: Books) -> None:
    for statement in (
        "select * from settlement.balance",
        "select settlement.apply_v2(1, 1, null, null, '[]')",
        "select settlement.open_writer_v2('coordinator')",
        "select settlement.check_books_v1()",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await lived.execute(statement, role="pod_signer")


async def test_the_owner_cannot_log_in(books: Books) -> None:
    assert await books.fetchval("select rolcanlogin from pg_roles where rolname = 'pod_owner'") is (
        False
    )


async def test_no_function_is_open_to_everybody_or_finds_its_tables_by_luck(books: Books) -> None:
    loose = await books.fetchval(
        """
        select array_agg(p.oid::regprocedure::text) from pg_proc p
          join pg_namespace n on n.oid = p.pronamespace
         where n.nspname in ('settlement', 'indexer', 'coordinator')
           and (p.proowner <> 'pod_owner'::regrole
                or exists (select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner)))
                            where grantee = 0)
                or p.prosecdef and not coalesce(p.proconfig @> array[$1::text], false))
        """,
        "search_path=pg_catalog, pg_temp",
    )
    assert loose is None
