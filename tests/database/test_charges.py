"""The coordinator's door: hold, capture, void, and what a killed coordinator left behind."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest

from settlement.charges import (
    ABANDONED,
    AccountClosed,
    ChargeExceedsHold,
    Charges,
    InsufficientBalance,
    RequestClosed,
    RequestConflict,
    RequestUnknown,
    Settled,
    void_abandoned,
)
from settlement.ledger import store
from settlement.ledger.operations import HoldPurpose
from settlement.ledger.writer import GroupCommit
from settlement.money import MicroUsdc
from tests import factories
from tests.database.conftest import Books


def of(account: str) -> UUID:
    """The id in an account's name."""
    return UUID(account.partition(":")[2])


@pytest.fixture
async def charges(books: Books) -> AsyncIterator[Charges]:
    async with GroupCommit(books.pool, books.writer) as group:
        yield Charges(group)


async def hold(charges: Charges, books: Books, amount: int, request_id: UUID | None = None) -> UUID:
    """Hold for a request and return its id."""
    request_id = request_id or uuid4()
    await charges.hold(
        request_id=request_id, user_id=of(books.user), amount_microusdc=MicroUsdc(amount)
    )
    return request_id


async def capture(charges: Charges, books: Books, request_id: UUID, gross: int) -> Settled:
    return await charges.capture(
        request_id=request_id,
        user_id=of(books.user),
        provider_id=of(books.host),
        gross_microusdc=MicroUsdc(gross),
    )


async def test_a_request_from_hold_to_settlement(books: Books, charges: Charges) -> None:
    request_id = uuid4()
    available = await charges.hold(
        request_id=request_id, user_id=of(books.user), amount_microusdc=MicroUsdc(5_000)
    )
    assert available == 24_995_000
    settled = await capture(charges, books, request_id, 4_321)
    assert settled == Settled(
        gross_microusdc=MicroUsdc(4_321),
        operator_microusdc=MicroUsdc(3_457),
        treasury_microusdc=MicroUsdc(864),
        available_microusdc=24_995_679,
    )
    assert await capture(charges, books, request_id, 4_321) == settled
    assert (await books.balance(books.host)).net_microusdc == 3_457


async def test_a_balance_that_does_not_cover_it(books: Books, charges: Charges) -> None:
    await hold(charges, books, 24_000_000)
    with pytest.raises(InsufficientBalance) as refused:
        await hold(charges, books, 1_000_001)
    assert refused.value.details["available_microusdc"] == 1_000_000


async def test_a_void_gives_back_and_may_be_repeated(books: Books, charges: Charges) -> None:
    request_id = await hold(charges, books, 5_000)
    for _ in range(2):
        await charges.void(request_id=request_id, reason="client left")
    assert (await books.balance(books.user)).available_microusdc == 25_000_000


async def test_what_cannot_be_asked_is_an_error_of_its_own(books: Books, charges: Charges) -> None:
    request_id = await hold(charges, books, 5_000)
    with pytest.raises(RequestConflict):
        await hold(charges, books, 5_001, request_id)
    with pytest.raises(ChargeExceedsHold):
        await capture(charges, books, request_id, 5_001)
    with pytest.raises(RequestUnknown):
        await capture(charges, books, uuid4(), 1)
    with pytest.raises(RequestUnknown):
        await charges.void(request_id=uuid4(), reason="nobody")
    with pytest.raises(RequestUnknown):
        await charges.capture(
            request_id=request_id,
            user_id=of(books.user),
            provider_id=uuid4(),
            gross_microusdc=MicroUsdc(1),
        )
    with pytest.raises(RequestConflict):
        await charges.capture(
            request_id=request_id,
            user_id=await _other_user(books),
            provider_id=of(books.host),
            gross_microusdc=MicroUsdc(1),
        )
    await capture(charges, books, request_id, 5_000)
    with pytest.raises(RequestClosed):
        await charges.void(request_id=request_id, reason="too late")
    with pytest.raises(RequestConflict):
        await capture(charges, books, request_id, 4_999)


async def test_a_request_that_was_voided_cannot_be_settled(books: Books, charges: Charges) -> None:
    request_id = await hold(charges, books, 5_000)
    await charges.void(request_id=request_id, reason="failed")
    with pytest.raises(RequestClosed):
        await capture(charges, books, request_id, 1)


async def test_a_closed_account_takes_no_requests(books: Books, charges: Charges) -> None:
    await books.execute(
        "update settlement.account set closed_at = now() where name = $1", books.user
    )
    with pytest.raises(AccountClosed):
        await hold(charges, books, 1)


async def test_what_a_killed_coordinator_held_is_given_back(books: Books, charges: Charges) -> None:
    abandoned = {await hold(charges, books, 5) for _ in range(3)}
    settled = await hold(charges, books, 5)
    await capture(charges, books, settled, 5)
    payout = factories.hold(books.user, 7, purpose=HoldPurpose.PAYOUT)
    other = await store.open_writer(books.pool, "coordinator2")
    of_another = factories.hold(books.user, 11)
    await books.apply(payout)
    await books.apply(of_another, writer=other)

    reborn = await store.open_writer(books.pool, books.writer.name)
    own = factories.hold(books.user, 13)
    await books.apply(own, writer=reborn)
    assert set(await void_abandoned(books.pool, reborn)) == abandoned
    assert await void_abandoned(books.pool, reborn) == []
    assert (await books.balance(books.user)).held_microusdc == 7 + 11 + 13
    reasons = await books.fetchval(
        "select array_agg(distinct reason) from settlement.hold_event where event = 'voided'"
    )
    assert reasons == [ABANDONED]


async def test_more_than_a_page_of_abandoned_holds(books: Books) -> None:
    await books.apply(*(factories.hold(books.user, 1) for _ in range(450)))
    reborn = await store.open_writer(books.pool, books.writer.name)
    assert len(await void_abandoned(books.pool, reborn)) == 450
    assert (await books.balance(books.user)).held_microusdc == 0


async def test_an_older_life_settles_nothing_any_more(books: Books, charges: Charges) -> None:
    request_id = await hold(charges, books, 5)
    reborn = await store.open_writer(books.pool, books.writer.name)
    await void_abandoned(books.pool, reborn)
    with pytest.raises(store.WriterFenced):
        await capture(charges, books, request_id, 5)


async def test_a_hundred_users_at_once(books: Books, charges: Charges) -> None:
    async def one() -> None:
        request_id = await hold(charges, books, 1_000)
        await capture(charges, books, request_id, 999)

    await asyncio.gather(*(one() for _ in range(100)))
    assert (await books.balance(books.user)).net_microusdc == 25_000_000 - 99_900
    assert (await books.balance(books.host)).net_microusdc == 100 * 800
    assert (await books.balance(books.writer.treasury)).net_microusdc == 100 * 199


async def _other_user(books: Books) -> UUID:
    user_id = uuid4()
    await books.open(factories.accounts.user(user_id))
    return user_id
