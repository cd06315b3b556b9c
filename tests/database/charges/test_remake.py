"""Several leases become one, in one transaction that may be repeated, or nothing happens."""

from dataclasses import replace
from uuid import UUID

import pytest

from settlement.charges import AccountClosed
from settlement.charges.remake import Remade, Remake, Short, remake
from settlement.ledger.operations import HoldPurpose
from tests import factories
from tests.database.charges.doors import holds
from tests.database.conftest import Books

FUNDS = 25_000_000


async def leased(books: Books, *amounts: int) -> list[UUID]:
    placed = [factories.hold(books.user, each, purpose=HoldPurpose.LEASE) for each in amounts]
    await books.apply(*placed)
    return [each.hold_id for each in placed]


def plan(books: Books, old: list[UUID], amount: int) -> Remake:
    return Remake(
        account=books.user,
        old=old,
        lease_id=factories.request_id(),
        expires_at=factories.LEASE_END,
        amount_of=lambda _: amount,
    )


async def test_leases_become_one_and_doing_it_again_changes_nothing(books: Books) -> None:
    """Whoever lost the answer asks again with the same plan, though there is less now."""
    seen: list[int] = []

    def amount_of(available: int) -> int:
        seen.append(available)
        return available - 5

    old = [*await leased(books, 100, 200), factories.request_id()]
    again = replace(plan(books, old, 0), amount_of=amount_of)
    for _ in range(3):
        made = await remake(books.pool, books.writer, again)
        assert made == Remade(amount_microusdc=FUNDS - 5, available_microusdc=5)
    assert seen == [FUNDS], "old leases count as what is available"
    assert (await books.balance(books.user)).held_microusdc == FUNDS - 5
    assert await holds(books) == (3, 1)


async def test_old_leases_may_only_end(books: Books) -> None:
    made = await remake(books.pool, books.writer, plan(books, await leased(books, 100), 0))
    assert made == Remade(amount_microusdc=0, available_microusdc=FUNDS)
    assert await holds(books) == (1, 0)


async def test_what_was_spent_of_a_lease_stays_spent(books: Books) -> None:
    (old,) = await leased(books, 100)
    await books.apply(
        factories.charge(factories.request_id(), books.user, books.host, 40, hold_id=old)
    )
    made = await remake(books.pool, books.writer, plan(books, [old], 60))
    assert made.available_microusdc == FUNDS - 100


async def test_too_little_changes_nothing(books: Books) -> None:
    def short(available: int) -> int:
        raise Short(available)

    old = await leased(books, 100)
    with pytest.raises(Short) as told:
        await remake(books.pool, books.writer, replace(plan(books, old, 0), amount_of=short))
    assert told.value.unspent_microusdc == FUNDS
    assert (await books.balance(books.user)).held_microusdc == 100


async def test_a_closed_account_keeps_its_leases(books: Books) -> None:
    old = await leased(books, 100)
    await books.execute(
        "update settlement.account set closed_at = now() where name = $1", books.user
    )
    with pytest.raises(AccountClosed):
        await remake(books.pool, books.writer, plan(books, old, 100))
    assert (await books.balance(books.user)).held_microusdc == 100
