"""The database takes every entry of the page as it is written there, floors and assets included."""

from dataclasses import replace
from uuid import UUID, uuid4

from settlement.clock import SystemClock, new_id
from settlement.db.pool import reading
from settlement.ledger import accounts, store
from settlement.ledger.accounts import AccountName, describe
from settlement.ledger.operations import Operation, Post
from tests import factories
from tests.database.conftest import Books
from tests.pure.worked_entries import ALICE, CALLS, OSCAR, WorkedEntry, page


async def test_the_books_take_every_entry(books: Books) -> None:
    entries = page()
    named = {name for entry in entries for row in entry.rows for name in row[:2]}
    await books.open(*named | {ALICE, OSCAR})
    for entry in entries:
        # A request of the entry's own: the page's refunds share one, and give back more of it in
        # all than was paid.
        request = new_id(SystemClock())
        for operations in (_before(entry, request), _itself(entry, request)):
            assert set(await books.codes(*operations)) <= {"applied"}, entry.title
    async with reading(books.pool) as conn:
        assert await store.broken_rules(conn) == []


def _before(entry: WorkedEntry, request: UUID) -> list[Operation]:
    """What must have happened: money is where it is taken from, and what is undone is booked."""
    made = CALLS[entry.title](entry.given)
    floored = [(name, amount) for name, _, amount in entry.rows if describe(name).floored]
    if isinstance(made, Post) and made.refunds is not None:
        floored.append((ALICE, _gross(entry)))
    funded = [factories.transfer(accounts.UNEXPLAINED_OUT, *row) for row in floored]
    before: list[Operation] = [factories.post(*funded)] if funded else []
    if isinstance(made, Post) and made.reverses is not None:
        undone = [factories.transfer(credit, debit, amount) for debit, credit, amount in entry.rows]
        before.append(factories.post(*undone, transaction_id=made.reverses))
    if isinstance(made, Post) and made.refunds is not None:
        before += _paid(request, ALICE, OSCAR, _gross(entry))
    return before


def _gross(entry: WorkedEntry) -> int:
    """What was paid for the request that an entry refunds; all of it, where that is not said."""
    return entry.given.get("gross") or entry.given["amount"]


def _itself(entry: WorkedEntry, request: UUID) -> list[Operation]:
    made = CALLS[entry.title](entry.given)
    if not isinstance(made, Post):
        (user, operator, _), *_ = entry.rows
        return _paid(request, user, operator, entry.given["gross"])
    # The page's entries share one movement; here each is an event of its own.
    own = replace(made, transaction_id=uuid4(), external_ref=f"test:{entry.title}")
    return [own if own.refunds is None else replace(own, refunds=request)]


def _paid(request: UUID, user: AccountName, operator: AccountName, gross: int) -> list[Operation]:
    hold = factories.hold(user, gross, hold_id=request)
    return [hold, factories.charge(request, user, operator, gross)]
