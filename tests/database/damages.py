"""Books with one of everything in them, and what a superuser can do to them."""

from dataclasses import dataclass, replace
from uuid import UUID

from settlement.db.pool import Pool
from settlement.ledger import store
from settlement.ledger.operations import HoldPurpose, Void
from settlement.ledger.verify_chain import Wrong
from tests import factories
from tests.conftest import Database
from tests.database.conftest import Books, open_books

CHARGE, SECOND, PART, OTHER_PART, UNHELD, LAST_PART = (factories.request_id() for _ in range(6))
VOIDED, OPEN, PAYOUT, LEASE, SPENT = (UUID(int=number) for number in range(0xA, 0xF))


async def lived(database: Database, pool: Pool) -> Books:
    """Books of two writers with one of everything: batches 1 to 5 of the first, 1 of the second.

    One lease is open with two parts spent, one was given back with one part spent.
    """
    books = await open_books(database, pool, [25_000_000])
    await books.apply(
        factories.hold(books.user, 10_000, hold_id=CHARGE),
        factories.hold(books.user, 500, hold_id=SECOND),
        factories.hold(books.user, 5, hold_id=VOIDED),
        factories.hold(books.user, 50, hold_id=PAYOUT, purpose=HoldPurpose.PAYOUT),
        factories.hold(books.user, 7, hold_id=OPEN),
        factories.hold(books.user, 1_000, hold_id=LEASE, purpose=HoldPurpose.LEASE),
        factories.hold(books.user, 300, hold_id=SPENT, purpose=HoldPurpose.LEASE),
    )
    second = await store.open_writer(pool, "indexer")
    paid = factories.post(factories.transfer(books.user, factories.TILL, 49), slot=7)
    paid = replace(paid, meta={"b": 'ü | "x"\n\t', "a": 1.50, "long": [None, True, {"k": 10**20}]})
    await books.apply(
        replace(factories.payment(PAYOUT, books.user, 49), post=paid),
        factories.deposit(books.user, 3),
        writer=second,
    )
    await books.apply(
        factories.charge(CHARGE, books.user, books.host, 9_999),
        Void(hold_id=VOIDED, reason="test | 'quoted' — ünïcode \\ \x01"),
        factories.charge(SECOND, books.user, books.host, 404),
    )
    await books.apply(
        factories.charge(PART, books.user, books.host, 100, hold_id=LEASE),
        factories.charge(OTHER_PART, books.user, books.host, 50, hold_id=LEASE),
        factories.charge(UNHELD, books.user, books.host, 20, hold_id=None),
    )
    await books.apply(
        factories.charge(LAST_PART, books.user, books.host, 120, hold_id=SPENT),
        Void(hold_id=SPENT, reason="done"),
    )
    return books


@dataclass(frozen=True, kw_only=True)
class Damage:
    """What is done, and what must be named: (writer, batch, ord, id), or the account's kind."""

    statement: str
    rule: str
    writer: int | None = None
    batch: int | None = None
    ord: int | None = None
    row_id: UUID | None = None
    account: str | None = None


def _charge(column_changes: str, rule: str, row: UUID = CHARGE, order: int = 1) -> Damage:
    statement = f"update settlement.charge set {column_changes} where request_id = '{row}'"
    return Damage(statement=statement, rule=rule, writer=1, batch=3, ord=order, row_id=row)


_LIFT = "alter table settlement.charge drop constraint gross_is_shared;"
_AS = (
    f"insert into settlement.charge select '{factories.request_id()}', hold_id, user_account,"
    " operator_account, gross, operator_share, treasury_share, user_entry + 100,"
    " operator_entry + 100, treasury_entry, user_balance_after"
)
_FROM = f"split_bps from settlement.charge where request_id = '{SECOND}'"
DAMAGES = {
    "a gross": replace(
        _charge("gross = gross - 1", "row"),
        statement=f"{_LIFT} update settlement.charge set gross = gross - 1"
        f" where request_id = '{CHARGE}'",
    ),
    "a gross, share and all": _charge(
        "gross = gross - 1, operator_share = operator_share - 1", "balance after"
    ),
    "a gross down to its balance": _charge(
        "gross = gross - 1, operator_share = operator_share - 1,"
        " user_balance_after = user_balance_after + 1",
        "batch root",
    ),
    "the last gross down to its balance": _charge(
        "gross = gross - 1, operator_share = operator_share - 1,"
        " user_balance_after = user_balance_after + 1",
        "batch root",
        row=SECOND,
        order=3,
    ),
    "another operator": _charge(
        "operator_account = 1", "entries are numbered", row=SECOND, order=3
    ),
    "another hold": _charge(f"hold_id = '{LEASE}'", "row"),
    "a lease of the same user": Damage(
        statement=f"update settlement.charge set hold_id = '{SPENT}' where request_id = '{PART}'",
        rule="batch root", writer=1, batch=4,
    ),
    "a hold that is none": _charge(f"hold_id = '{UUID(int=9)}'", "row"),
    "paid without its hold": Damage(
        statement=f"update settlement.charge set hold_id = '{UUID(int=0)}'"
        f" where request_id = '{CHARGE}'",
        rule="batch root", writer=1, batch=3, ord=2, row_id=VOIDED,  # the first that has less left
    ),
    "another time": Damage(
        statement="update settlement.txn set recorded_at = recorded_at + interval '1 s'",
        rule="row", writer=1, batch=1, ord=1,
    ),
    "another time of a batch": Damage(
        statement="update settlement.batch set created_at = created_at + interval '1 us'"
        " where writer_id = 1 and seq = 4",
        rule="batch hash", writer=1, batch=4,
    ),
    "another treasury": Damage(
        statement="update settlement.writer set treasury_account = (select account_id"
        " from settlement.account where name = 'treasury') where writer_id = 1",
        rule="balance is its entries", account="treasury",
    ),
    "a row removed": Damage(
        statement=f"delete from settlement.charge where request_id = '{CHARGE}'",
        rule="rows of a batch", writer=1, batch=3, ord=1,
    ),
    "the last row removed": Damage(
        statement=f"delete from settlement.charge where request_id = '{SECOND}'",
        rule="rows of a batch", writer=1, batch=3, ord=3,
    ),
    "a swapped order": Damage(
        statement="update settlement.charge set ord = ord + 100 where batch_seq = 3;"
        " update settlement.charge set ord = 104 - ord where batch_seq = 3",
        rule="batch root", writer=1, batch=3, ord=2, row_id=VOIDED,  # the first that has more left
    ),
    "swapped holds": Damage(
        statement="alter table settlement.hold_event drop constraint"
        " hold_event_writer_id_batch_seq_ord_key;"
        " update settlement.hold_event set ord = 3 - ord where batch_seq = 2 and ord < 3",
        rule="batch root", writer=1, batch=2, ord=1, row_id=SECOND,
    ),
    "a row beyond its batch": Damage(
        statement=f"{_AS}, batch_seq, writer_id, 4, {_FROM}",
        rule="rows of a batch", writer=1, batch=3, ord=4,
    ),
    "a row beyond all batches": Damage(
        statement=f"{_AS}, 9, writer_id, 1, {_FROM}",
        rule="row without batch", writer=1, batch=9, ord=1,
    ),
    "a row of nobody": Damage(
        statement=f"{_AS}, 1, 77, 1, {_FROM}",
        rule="row without batch", writer=77, batch=1, ord=1,
    ),
    "a batch hash": Damage(
        statement="update settlement.batch set hash = sha256(hash) where writer_id = 1 and seq = 2",
        rule="batch hash", writer=1, batch=2,
    ),
    "a batch root": Damage(
        statement="update settlement.batch set root = sha256(root) where writer_id = 1 and seq = 1",
        rule="batch root", writer=1, batch=1, ord=1,
    ),
    "a link": Damage(
        statement="update settlement.batch set prev_hash = sha256(hash)"
        " where writer_id = 1 and seq = 2",
        rule="chain", writer=1, batch=2,
    ),
    "a batch removed": Damage(
        statement="delete from settlement.batch where writer_id = 1 and seq = 2",
        rule="chain", writer=1, batch=2,
    ),
    "the last batch removed": Damage(
        statement="delete from settlement.batch where writer_id = 1 and seq = 5",
        rule="head", writer=1, batch=5,
    ),
    "the head turned back": Damage(
        statement="update settlement.writer w set head_seq = 4, head_hash = b.hash, head_rows ="
        " rows_before + n from settlement.batch b"
        " where w.writer_id = 1 and b.writer_id = 1 and b.seq = 4",
        rule="row without batch", writer=1, batch=5, ord=1,
    ),
    "the head's rows": Damage(
        statement="update settlement.writer set head_rows = head_rows + 1 where writer_id = 1",
        rule="head", writer=1, batch=6,
    ),
    "the rows before a batch": Damage(
        statement="update settlement.batch set rows_before = rows_before + 1"
        " where writer_id = 1 and seq = 3",
        rule="chain", writer=1, batch=3,
    ),
    "another era": Damage(
        statement="insert into settlement.era (era, actor, reason) values (2, 'x', 'x');"
        " update settlement.writer set era = 2 where writer_id = 1",
        rule="chain", writer=1, batch=1,
    ),
    "another note": Damage(
        statement="update settlement.txn set meta = '{\"a\": 1}' where writer_id = 1",
        rule="batch root", writer=1, batch=1, ord=1,
    ),
    "another transfer": Damage(
        statement="update settlement.transfer set amount = amount + 1 where amount = 49",
        rule="row", writer=2, batch=1, ord=1,
    ),
    "a transfer removed": Damage(
        statement="delete from settlement.transfer where amount = 3",
        rule="row", writer=2, batch=1, ord=2,
    ),
    "an entry skipped": Damage(
        statement="update settlement.transfer set credit_entry = credit_entry + 7"
        " where amount = 25000000",
        rule="batch root", writer=1, batch=1, ord=1,
    ),
    "another reason": Damage(
        statement="update settlement.hold_event set reason = 'other' where event = 'voided'",
        rule="batch root", writer=1, batch=3,
    ),
    "a balance": Damage(
        statement="update settlement.balance b set cr = cr + 1 from settlement.account a"
        " where a.account_id = b.account_id and a.kind = 'host'",
        rule="balance is its entries", account="host",
    ),
    "what is held": Damage(
        statement="update settlement.balance set held = held + 1 where held > 0",
        rule="balance is its entries", account="user",
    ),
    "a floor lifted": Damage(
        statement="update settlement.balance b set floored = false from settlement.account a"
        " where a.account_id = b.account_id and a.kind = 'user'",
        rule="floor flag", account="user",
    ),
    "requests paid to a user": Damage(
        statement="update settlement.balance b set earns = true from settlement.account a"
        " where a.account_id = b.account_id and a.kind = 'user'",
        rule="floor flag", account="user",
    ),
    "a balance removed": Damage(
        statement="delete from settlement.balance where held > 0",
        rule="balance is its entries", account="user",
    ),
    "an account removed": Damage(
        statement="delete from settlement.account where kind = 'host'", rule="account",
    ),
    "a hold that says captured": Damage(
        statement="update settlement.hold set state = 'captured', captured = amount"
        f" where hold_id = '{OPEN}'",
        rule="hold is its events", row_id=OPEN,
    ),
    "a hold that says it spent less": Damage(
        statement="update settlement.hold set captured = captured - 1, released = released + 1"
        f" where hold_id = '{CHARGE}'",
        rule="hold is its events", row_id=CHARGE,
    ),
    "a lease that says it spent more": Damage(
        statement=f"update settlement.hold set captured = captured + 1 where hold_id = '{LEASE}'",
        rule="hold is its events", row_id=LEASE,
    ),
    "a lease that gave back less": Damage(
        statement="update settlement.hold set captured = captured + 1, released = released - 1"
        f" where hold_id = '{SPENT}'",
        rule="hold is its events", row_id=SPENT,
    ),
    "a lease that is open again": Damage(
        statement="update settlement.hold set state = 'open', released = 0"
        f" where hold_id = '{SPENT}'",
        rule="hold is its events", row_id=SPENT,
    ),
    "a lease that lasts longer": Damage(
        statement="update settlement.hold set expires_at = expires_at + interval '1 h'"
        f" where hold_id = '{LEASE}'",
        rule="batch root", writer=1, batch=2,
    ),
    "a hold nobody placed": Damage(
        statement="insert into settlement.hold (hold_id, account_id, amount, purpose, writer_id,"
        f" epoch) select '{UUID(int=1)}', account_id, 1, 'request', 1, 1 from settlement.account"
        " where kind = 'user'",
        rule="hold is its events", row_id=UUID(int=1),
    ),
    "a hold of another writer": Damage(
        statement=f"update settlement.hold set writer_id = 2 where hold_id = '{OPEN}'",
        rule="hold is its events", row_id=OPEN,
    ),
    "a writer removed": Damage(
        statement="delete from settlement.writer where writer_id = 2",
        rule="row without batch", writer=2, batch=1, ord=1,
    ),
    "another asset": Damage(
        statement="update settlement.account_kind set asset = 'SOL' where kind = 'host';"
        " update settlement.account set asset = 'SOL' where kind = 'host'",
        rule="zero sum",
    ),
    "another epoch": Damage(
        statement="update settlement.hold_event set epoch = 2 where event = 'voided'",
        rule="row", writer=1, batch=3, ord=2, row_id=VOIDED,
    ),
    "a hold removed": Damage(
        statement=f"delete from settlement.hold where hold_id = '{OPEN}'",
        rule="row", writer=1, batch=2, ord=5, row_id=OPEN,
    ),
    "a larger hold": Damage(
        statement=f"update settlement.hold set amount = 8 where hold_id = '{OPEN}'",
        rule="batch root", writer=1, batch=2, ord=5, row_id=OPEN,
    ),
}  # fmt: skip


def names(wrong: Wrong, damage: Damage) -> bool:
    place = (wrong.rule, wrong.writer, wrong.batch)
    order = damage.ord is None or wrong.ord == damage.ord
    row = damage.row_id is None or wrong.row_id == str(damage.row_id)
    account = damage.account is None or str(wrong.account).startswith(damage.account)
    return place == (damage.rule, damage.writer, damage.batch) and order and row and account
