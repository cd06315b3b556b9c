"""What a killed coordinator left: what was delivered is settled once, the rest comes back."""

from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from settlement.charges import Delivered, Recovered, left_over, settle_and_give_back
from settlement.charges.left_over import ABANDONED
from settlement.db.pool import Pool
from settlement.ledger import accounts, store
from settlement.ledger.operations import AccountName, Hold, HoldPurpose, Post, Writer
from settlement.money import MicroUsdc
from tests import factories
from tests.conftest import Database
from tests.database.charges.doors import charged, id_of
from tests.database.conftest import Books, open_books

FUNDS = 25_000_000


def lease(account: AccountName, amount: int) -> Hold:
    return factories.hold(account, amount, purpose=HoldPurpose.LEASE)


def delivered(books: Books, gross: int, *, user: AccountName | None = None) -> Delivered:
    """A request that was delivered before the crash."""
    return Delivered(
        request_id=factories.request_id(),
        user_id=id_of(user or books.user),
        provider_id=id_of(books.host),
        gross_microusdc=MicroUsdc(gross),
        delivered_at=factories.NOW,
    )


async def restarted(books: Books, *due: Delivered) -> list[UUID]:
    """The coordinator is killed and starts again."""
    reborn = await store.open_writer(books.pool, books.writer.name)
    return await settled(books, reborn, *due)


async def settled(books: Books, writer: Writer, *due: Delivered) -> list[UUID]:
    return (await settle_and_give_back(books.pool, writer, due)).refused


async def test_what_was_left_is_given_back(books: Books) -> None:
    """Leases and holds for requests, of this writer alone; not what a payout has set aside."""
    other = await store.open_writer(books.pool, "coordinator-2")
    spent = lease(books.user, 100)
    await books.apply(
        lease(books.user, 5_000),
        factories.hold(books.user, 5),
        factories.hold(books.user, 7, purpose=HoldPurpose.PAYOUT),
        spent,
        factories.charge(factories.request_id(), books.user, books.host, 60, hold_id=spent.hold_id),
    )
    await books.apply(lease(books.user, 11), writer=other)
    reborn = await store.open_writer(books.pool, books.writer.name)
    await books.apply(lease(books.user, 13), writer=reborn)

    found = await settle_and_give_back(books.pool, reborn, [])
    assert found == Recovered(settled=0, refused=[], given_back=3)
    assert (await settle_and_give_back(books.pool, reborn, [])).given_back == 0
    assert (await books.balance(books.user)).held_microusdc == 7 + 11 + 13
    reasons = "select array_agg(distinct reason) from settlement.hold_event where event = 'voided'"
    assert await books.fetchval(reasons) == [ABANDONED]


async def test_many_accounts_and_holds(books: Books) -> None:
    users = [accounts.user(uuid4()) for _ in range(10)]
    await books.open(*users)
    await books.apply(*(factories.deposit(user, 100) for user in users))
    await books.apply(*(lease(user, 1) for user in users for _ in range(45)))
    assert await restarted(books) == []
    assert sum([(await books.balance(user)).held_microusdc for user in users]) == 0


async def test_what_was_delivered_is_paid_from_what_was_set_aside(books: Books) -> None:
    await books.apply(lease(books.user, FUNDS))
    due = [delivered(books, 1_000), delivered(books, 0), delivered(books, FUNDS - 1_000)]
    assert await restarted(books, *due) == []
    assert await charged(books) == FUNDS
    assert (await books.balance(books.user)).net_microusdc == 0
    assert (await books.balance(books.host)).net_microusdc == FUNDS * 8 // 10
    assert (await books.balance(accounts.BAD_DEBT)).net_microusdc == 0


async def test_it_is_settled_once_however_often_the_coordinator_dies(books: Books) -> None:
    await books.apply(lease(books.user, 5_000))
    paid, due = delivered(books, 10), delivered(books, 1_000)
    await books.apply(factories.charge(paid.request_id, books.user, books.host, 10, hold_id=None))
    for _ in range(3):
        assert await restarted(books, paid, due) == []
    await books.apply(lease(books.user, 5), writer=await reopened(books))
    assert await restarted(books, due) == []
    assert await charged(books) == 1_010


async def test_leases_that_others_gave_back_meanwhile_take_no_operators_money(books: Books) -> None:
    """The coordinator was away for so long that the settlement worker gave its leases back."""
    due = delivered(books, 1_000)
    assert await restarted(books, due) == []
    assert await charged(books) == 1_000


async def reopened(books: Books) -> Writer:
    return await store.open_writer(books.pool, books.writer.name)


async def test_what_the_user_cannot_pay_is_bad_debt_and_the_operator_is_paid(
    database: Database, pool: Pool
) -> None:
    books = await open_books(database, pool, [1_000])
    other = await store.open_writer(books.pool, "coordinator-2")
    await books.apply(lease(books.user, 400))
    await books.apply(lease(books.user, 300), writer=other)  # of 1000, 700 can be had
    due = [delivered(books, 500), delivered(books, 600), delivered(books, 50)]
    for again in (0, 20):
        if again:  # the user has money again, but nothing is settled twice
            writer = await reopened(books)
            await books.apply(
                factories.deposit(books.user, again), lease(books.user, again), writer=writer
            )
        assert await restarted(books, *due) == []
        user = await books.balance(books.user)
        assert (user.net_microusdc, user.available_microusdc) == (300 + again, again)
        assert (await books.balance(accounts.BAD_DEBT)).net_microusdc == -450
        assert (await books.balance(books.host)).net_microusdc == 1_150 * 8 // 10
        assert await charged(books) == 500


async def test_what_the_books_refuse_is_named_and_stops_nothing(books: Books) -> None:
    stranger = accounts.user(uuid4())
    await books.open(stranger)
    await books.apply(factories.deposit(stranger, 100))
    await books.apply(lease(books.user, 10), lease(stranger, 10))
    odd = replace(delivered(books, 3), provider_id=uuid4())
    old = replace(delivered(books, 3), request_id=uuid4())
    good = delivered(books, 3)
    refusals = await restarted(books, odd, good, old, delivered(books, 4, user=stranger))
    assert set(refusals) == {odd.request_id, old.request_id}
    assert await charged(books) == 7
    assert (await books.balance(books.user)).held_microusdc == 0


async def test_a_crash_while_starting_changes_nothing(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is given back and what is charged happen together or not at all."""
    await books.apply(lease(books.user, FUNDS))
    due = [delivered(books, 1_000), delivered(books, FUNDS)]

    def killed(*_: object) -> Post:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(left_over, "late_capture", killed)
        with pytest.raises(KeyboardInterrupt):
            await restarted(books, *due)
    assert (await books.balance(books.user)).held_microusdc == FUNDS
    assert await charged(books) == 0
    assert await restarted(books, *due) == []
    assert await charged(books) == 1_000
    assert (await books.balance(books.user)).net_microusdc == 0
    assert (await books.balance(accounts.BAD_DEBT)).net_microusdc == -1_000
