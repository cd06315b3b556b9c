"""The database takes every entry of the page as it is written there, floors and assets included."""

from dataclasses import replace
from uuid import uuid4

from settlement.clock import SystemClock, new_id
from settlement.db.pool import reading
from settlement.ledger import accounts, store
from settlement.ledger.accounts import describe
from settlement.ledger.operations import Operation, Post
from tests import factories
from tests.database.conftest import Books
from tests.pure.worked_entries import CALLS, WorkedEntry, page


async def test_the_books_take_every_entry(books: Books) -> None:
    entries = page()
    await books.open(*{name for entry in entries for row in entry.rows for name in row[:2]})
    for entry in entries:
        codes = await books.codes(*_before(entry), *_itself(entry))
        assert set(codes) == {"applied"}, entry.title
    async with reading(books.pool) as conn:
        assert await store.broken_rules(conn) == []


def _before(entry: WorkedEntry) -> list[Operation]:
    """What must have happened: money is where it is taken from, what is reversed is posted."""
    made = CALLS[entry.title](entry.given)
    funded = [
        factories.transfer(accounts.UNEXPLAINED_OUT, debit, amount)
        for debit, _, amount in entry.rows
        if describe(debit).floored
    ]
    before: list[Operation] = [factories.post(*funded)] if funded else []
    if isinstance(made, Post) and made.reverses is not None:
        undone = [factories.transfer(credit, debit, amount) for debit, credit, amount in entry.rows]
        before.append(factories.post(*undone, transaction_id=made.reverses))
    return before


def _itself(entry: WorkedEntry) -> list[Operation]:
    made = CALLS[entry.title](entry.given)
    if isinstance(made, Post):
        # The page's entries share one movement; here each is an event of its own.
        return [replace(made, transaction_id=uuid4(), external_ref=f"test:{entry.title}")]
    (user, operator, _), *_ = entry.rows
    gross, request = entry.given["gross"], new_id(SystemClock())
    return [
        factories.hold(user, gross, hold_id=request),
        factories.charge(request, user, operator, gross),
    ]
