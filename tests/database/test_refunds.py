"""What goes back to users stays, request by request, within what they paid."""

import asyncio
from dataclasses import replace
from uuid import UUID, uuid4

import asyncpg
import pytest

from settlement.db.pool import retried
from settlement.ledger.operations import Post
from settlement.ledger.postings import Refund, Voucher, request_refunded
from settlement.money import MicroUsdc
from tests import factories
from tests.database.conftest import Books

GROSS = 1_000


async def paid(books: Books) -> UUID:
    """A request of 1000 microunits that was settled."""
    charge = factories.charge(factories.request_id(), books.user, books.host, GROSS, hold_id=None)
    assert await books.codes(charge) == ["applied"]
    return charge.request_id


def refund(books: Books, request_id: UUID, *, before: int, amount: int) -> Post:
    """A part goes back, as the posting has it."""
    return request_refunded(
        Voucher(actor="test", event_at=factories.NOW),
        Refund(
            request_id=request_id,
            user=books.user,
            operator=books.host,
            gross_microusdc=MicroUsdc(GROSS),
            refunded_before_microusdc=MicroUsdc(before),
            amount_microusdc=MicroUsdc(amount),
        ),
        books.writer.treasury,
    )


async def test_parts_go_back_until_nothing_is_left(books: Books) -> None:
    request_id = await paid(books)
    first, second = (
        refund(books, request_id, before=0, amount=400),
        refund(books, request_id, before=400, amount=600),
    )
    assert await books.codes(first, first, second) == ["applied", "replayed", "applied"]
    assert (await books.balance(books.user)).net_microusdc == 25_000_000
    assert (await books.balance(books.host)).net_microusdc == 0
    # Whatever the caller believes went back before, the books know.
    forged = replace(first, transaction_id=uuid4(), external_ref="another")
    assert await books.codes(forged) == ["refund_exceeded"]


async def test_what_nobody_paid_is_not_refunded(books: Books) -> None:
    request_id = factories.request_id()
    asked = refund(books, request_id, before=0, amount=1)
    await books.apply(factories.deposit(books.host, 5))
    assert await books.codes(asked) == ["request_unknown"]


async def test_a_request_settled_in_the_same_batch_can_be_refunded(books: Books) -> None:
    charge = factories.charge(factories.request_id(), books.user, books.host, GROSS, hold_id=None)
    back = refund(books, charge.request_id, before=0, amount=400)
    more = replace(
        refund(books, charge.request_id, before=400, amount=600),
        transaction_id=uuid4(),
        external_ref="too much",
    )
    more = replace(more, transfers=(*more.transfers, *back.transfers))
    assert await books.codes(back, charge, back, more, charge) == [
        "request_unknown",
        "applied",
        "applied",
        "refund_exceeded",
        "replayed",
    ]
    assert await books.codes(charge, back, more) == ["replayed", "replayed", "refund_exceeded"]
    assert await books.fetchval("select count(*) from settlement.check_books_v1()") == 0


async def test_a_refund_goes_to_who_paid(books: Books) -> None:
    request_id = await paid(books)
    elsewhere = factories.post(factories.transfer(books.host, factories.TILL, 5))
    assert await books.codes(replace(elsewhere, refunds=request_id)) == ["conflict"]


async def test_refunds_at_once_never_pass_what_was_paid(books: Books) -> None:
    request_id = await paid(books)

    async def give_back() -> str:
        post = refund(books, request_id, before=0, amount=300)
        named = replace(post, transaction_id=uuid4(), external_ref=None)
        (code,) = await retried(lambda: books.codes(named), attempts=20)
        return code

    answers = await asyncio.gather(*(give_back() for _ in range(8)))
    assert sorted(answers) == ["applied"] * 3 + ["refund_exceeded"] * 5


async def test_no_hand_refunds_more_than_was_paid(books: Books) -> None:
    request_id = await paid(books)
    await books.apply(refund(books, request_id, before=0, amount=400))
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await books.execute("update settlement.refund set refunded = gross + 1")
    assert refused.value.constraint_name == "refunds_stay_within_gross"
    for statement in (
        "update settlement.refund set refunded = 1",
        "insert into settlement.refund values (gen_random_uuid(), 1, 5, 5)",
        "delete from settlement.refund",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await books.execute(statement, role="pod_settlement")


@pytest.mark.parametrize(
    "damage",
    [
        "update settlement.refund set refunded = refunded - 1",
        "delete from settlement.refund",
        "update settlement.txn set refunds = null where refunds is not null",
    ],
)
async def test_what_is_remembered_of_refunds_is_checked(books: Books, damage: str) -> None:
    request_id = await paid(books)
    await books.apply(refund(books, request_id, before=0, amount=400))
    admin = await asyncpg.connect(books.database.dsn)
    undone = admin.transaction()
    await undone.start()
    try:
        await admin.execute("set local session_replication_role = replica")
        check = "select rule from settlement.check_books_v1()"
        assert await admin.fetch(check) == []
        await admin.execute(damage)
        found = {row["rule"] for row in await admin.fetch(check)}
    finally:
        await undone.rollback()
        await admin.close()
    assert "refund is its posts" in found
