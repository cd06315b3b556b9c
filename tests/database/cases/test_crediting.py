"""From the refund pool to those who were harmed: by the list, once, and no more than they lost."""

import asyncio
from uuid import UUID

import pytest

from settlement.bonds.rules import SeizureStep
from settlement.cases.lists import (
    ApprovedBefore,
    BackingNotConfirmed,
    ListOutdated,
    ListUnknown,
    NothingToCredit,
    NotReviewed,
)
from settlement.cases.opening import SamePerson, TextMissing
from settlement.cases.states import CaseNotThere, CaseState
from settlement.ledger import accounts
from settlement.ledger.accounts import REFUND_POOL, TREASURY
from settlement.ledger.operations import AccountName
from settlement.ledger.postings import Refund, Voucher, request_refunded
from settlement.money import MicroUsdc
from tests import factories
from tests.database.cases.world import APPROVER, BOND, DRAWER, Accused, World


async def given_back(
    world: World, accused: Accused, user: AccountName, request: UUID, gross: int, amount: int
) -> None:
    """An ordinary refund, beside the case."""
    refund = Refund(
        request_id=request,
        user=user,
        operator=accounts.host(accused.provider_id),
        gross_microusdc=MicroUsdc(gross),
        refunded_before_microusdc=MicroUsdc(0),
        amount_microusdc=MicroUsdc(amount),
    )
    voucher = Voucher(actor="test", event_at=factories.NOW)
    post = request_refunded(voucher, refund, world.books.writer.treasury)
    assert await world.books.codes(post) == ["applied"]


async def test_losses_are_credited_whole_and_the_rest_stays(world: World) -> None:
    accused, alice, bob = await world.operator(), await world.user(), await world.user()
    first, second = await world.paid(alice, accused, 20_000_000, 10_000_000)
    (third,) = await world.paid(bob, accused, 5_000_000)
    case = await world.reviewed(accused, [first, second, third])
    await world.seize(case)
    before = await world.net(alice)
    drawn = await world.draw(case)
    assert (drawn.losses_microusdc, drawn.credits_microusdc) == (35_000_000, 35_000_000)
    assert (drawn.funds.seized_microusdc, drawn.funds.backing_microusdc) == (BOND, 0)
    approved = await world.approve(case)
    assert (approved.approved_by, approved.open) == (APPROVER, 3)
    assert (await world.case(case)).stored is CaseState.CREDITING
    done = await world.credit(case)
    assert (done.before, done.list.settled, done.list.open) == (False, 3, 0)
    assert await world.net(alice) == before + 30_000_000
    assert await world.net(REFUND_POOL) == BOND - 35_000_000
    posted = await world.entries()
    assert posted == [
        (
            "refund_pool_paid",
            f"refund-pool:{case.case_id}:{request}",
            request,
            APPROVER,
            factories.NOW,
            str(case.case_id),
            str(request),
            REFUND_POOL,
            user,
            amount,
        )
        for request, user, amount in sorted(
            [(first, alice, 20_000_000), (second, alice, 10_000_000), (third, bob, 5_000_000)]
        )
    ]
    again = await world.credit(case)
    assert (again.before, again.list) == (True, done.list)
    assert await world.entries() == posted
    assert (await world.close(case)).state is CaseState.CLOSED
    assert (await world.credit(case)).before


async def test_a_bond_that_is_too_small_is_shared_pro_rata(world: World) -> None:
    accused, alice, bob = await world.operator(bond=10), await world.user(), await world.user()
    requests = await world.paid(alice, accused, 20, 1, 9) + await world.paid(bob, accused, 3)
    case = await world.reviewed(accused, requests)
    await world.seize(case, 10)
    alices, bobs = await world.net(alice), await world.net(bob)
    await world.draw(case)
    await world.approve(case)
    await world.credit(case)
    assert await world.net(alice) - alices == 9  # of 9.09
    assert await world.net(bob) - bobs == 1  # of 0.91
    assert await world.net(REFUND_POOL) == 0
    settled = [one.credited_microusdc for one in await world.lines(case)]
    assert settled == [one.amount_microusdc for one in await world.lines(case)]
    assert 0 in settled, "a line of nothing is settled without an entry"


async def test_the_treasury_pays_the_rest_when_a_second_person_says_how_much(world: World) -> None:
    accused, alice = await world.operator(bond=10), await world.user()
    case = await world.reviewed(accused, await world.paid(alice, accused, 30, 12))
    await world.seize(case, 10)
    before = await world.net(alice)
    drawn = await world.draw(case, backed=True)
    assert drawn.funds.backing_microusdc == 32
    for backing in (0, 31, 33):
        with pytest.raises(BackingNotConfirmed) as refused:
            await world.approve(case, backing=backing)
        assert refused.value.details["required_microusdc"] == 32
    await world.approve(case, backing=32)
    await world.credit(case)
    assert await world.net(alice) == before + 42
    assert (await world.net(TREASURY), await world.net(REFUND_POOL)) == (-32, 0)
    backed = (await world.entries())[0]
    assert backed[:2] == ("refund_pool_backed", f"refund-pool-backed:{case.case_id}")
    assert backed[-3:] == (TREASURY, REFUND_POOL, 32)


async def test_without_a_bond_the_treasury_alone_pays(world: World) -> None:
    accused, alice = await world.operator(bond=None), await world.user()
    case = await world.open(accused, await world.paid(alice, accused, 30))
    with pytest.raises(CaseNotThere):
        await world.draw(case, backed=True)
    await world.review(case)
    with pytest.raises(NothingToCredit):
        await world.draw(case)
    before = await world.net(alice)
    await world.draw(case, backed=True)
    await world.approve(case, backing=30)
    await world.credit(case)
    assert await world.net(alice) == before + 30
    assert (await world.close(case)).state is CaseState.CLOSED


async def test_what_was_refunded_is_no_loss(world: World) -> None:
    accused, alice = await world.operator(), await world.user()
    first, second = await world.paid(alice, accused, 1_000, 500)
    case = await world.reviewed(accused, [first, second])
    await world.seize(case)
    await given_back(world, accused, alice, first, 1_000, 400)
    await given_back(world, accused, alice, second, 500, 500)
    assert (await world.draw(case)).losses_microusdc == 600
    assert [one.request_id for one in await world.lines(case)] == [first]


async def test_a_list_that_the_books_have_moved_away_from_is_drawn_up_again(world: World) -> None:
    accused, alice = await world.operator(), await world.user()
    (request,) = await world.paid(alice, accused, 1_000)
    case = await world.reviewed(accused, [request])
    await world.seize(case)
    await world.draw(case)
    await given_back(world, accused, alice, request, 1_000, 400)
    with pytest.raises(ListOutdated):
        await world.approve(case)
    assert (await world.draw(case)).list_no == 2
    assert (await world.approve(case, 2)).credits_microusdc == 600


async def test_what_was_refunded_after_the_approval_is_not_given_twice(world: World) -> None:
    accused, alice = await world.operator(), await world.user()
    first, second = await world.paid(alice, accused, 1_000, 500)
    case = await world.reviewed(accused, [first, second])
    await world.seize(case)
    await world.draw(case)
    await world.approve(case)
    await given_back(world, accused, alice, first, 1_000, 400)
    await given_back(world, accused, alice, second, 500, 500)
    done = await world.credit(case)
    assert (done.list.credited_microusdc, done.list.open) == (600, 0)
    lines = {one.request_id: one.credited_microusdc for one in await world.lines(case)}
    assert lines == {first: 600, second: 0}
    assert await world.net(REFUND_POOL) == BOND - 600


async def test_four_eyes_on_every_list(world: World) -> None:
    accused, alice = await world.operator(), await world.user()
    case = await world.reviewed(accused, await world.paid(alice, accused, 1_000))
    await world.seize(case)
    with pytest.raises(TextMissing):
        await world.draw(case, actor=" ")
    await world.draw(case)
    for name in (DRAWER, "CLEO ", "cleo"):
        with pytest.raises(SamePerson):
            await world.approve(case, actor=name)
    with pytest.raises(ListUnknown):
        await world.approve(case, 2)
    approved = await world.approve(case)
    assert await world.approve(case) == approved
    for again in (world.approve(case, actor="Eve"), world.draw(case)):
        with pytest.raises(ApprovedBefore):
            await again


async def test_no_money_moves_before_its_time(world: World) -> None:
    accused, alice = await world.operator(), await world.user()
    case = await world.open(accused, await world.paid(alice, accused, 1_000))
    for step in (None, SeizureStep.PROPOSED, SeizureStep.CONTESTED, SeizureStep.UPHELD):
        if step is not None:
            await world.step(case, step)
        for early in (world.draw(case), world.draw(case, backed=True), world.credit(case)):
            with pytest.raises(CaseNotThere):
                await early
    await world.execute(case)
    with pytest.raises(NotReviewed):
        await world.draw(case)
    await world.review(case)
    await world.draw(case)
    with pytest.raises(CaseNotThere, match="no list is approved"):
        await world.credit(case)
    await world.approve(case)
    with pytest.raises(CaseNotThere):
        await world.close(case)


@pytest.mark.parametrize(
    "ended", [SeizureStep.DISMISSED, SeizureStep.WITHDRAWN, SeizureStep.LAPSED]
)
async def test_a_seizure_that_came_to_nothing_pays_nobody(world: World, ended: SeizureStep) -> None:
    accused, alice = await world.operator(), await world.user()
    case = await world.reviewed(accused, await world.paid(alice, accused, 1_000))
    await world.step(case, SeizureStep.PROPOSED)
    await world.step(case, ended)
    with pytest.raises(CaseNotThere):
        await world.draw(case, backed=True)
    assert (await world.close(case)).state is CaseState.CLOSED
    assert await world.entries() == []


async def test_two_cases_against_one_bond(world: World) -> None:
    """The first takes the bond; when it is closed, the second takes what it left."""
    accused, alice, bob = await world.operator(), await world.user(), await world.user()
    first = await world.reviewed(accused, await world.paid(alice, accused, 40_000_000))
    second = await world.reviewed(accused, await world.paid(bob, accused, 15_000_000))
    await world.seize(first)
    await world.draw(first)
    with pytest.raises(NothingToCredit):
        await world.draw(second)
    await world.approve(first)
    await world.credit(first)
    await world.close(first)
    partly = await world.draw(second)
    assert (partly.funds.carried_microusdc, partly.credits_microusdc) == (10_000_000, 10_000_000)
    full = await world.draw(second, backed=True)
    assert (full.funds.carried_microusdc, full.funds.backing_microusdc) == (10_000_000, 5_000_000)
    before = await world.net(bob)
    await world.approve(second, 2, backing=5_000_000)
    await world.credit(second)
    assert await world.net(bob) == before + 15_000_000
    assert await world.net(REFUND_POOL) == 0
    third = await world.open(accused, await world.paid(bob, accused, 7), no_bond=True)
    await world.review(third)
    with pytest.raises(NothingToCredit):
        await world.draw(third)


async def test_what_one_case_left_over_is_taken_once(world: World) -> None:
    accused, alice = await world.operator(bond=100), await world.user()
    first = await world.reviewed(accused, await world.paid(alice, accused, 40))
    await world.seize(first, 100)
    await world.draw(first)
    await world.approve(first)
    await world.credit(first)
    await world.close(first)
    others = [
        await world.review(
            await world.open(accused, await world.paid(alice, accused, 50), no_bond=True)
        )
        for _ in range(3)
    ]
    for one in others:
        assert (await world.draw(one)).funds.carried_microusdc == 50
    said = await asyncio.gather(*(world.approve(one) for one in others), return_exceptions=True)
    refusals = [one for one in said if isinstance(one, BaseException)]
    assert len(refusals) == 2, "60 were left: once 50"
    assert await world.books.fetchval("select min(carriable) from settlement.case_pool") == 10


async def test_another_operators_rest_is_not_touched(world: World) -> None:
    accused, other, alice = (
        await world.operator(),
        await world.operator(bond=None),
        await world.user(),
    )
    case = await world.reviewed(accused, await world.paid(alice, accused, 40))
    await world.seize(case)
    await world.close(case)
    theirs = await world.review(
        await world.open(other, await world.paid(alice, other, 40), no_bond=True)
    )
    with pytest.raises(NothingToCredit):
        await world.draw(theirs)


async def test_a_request_in_two_cases_is_credited_once(world: World) -> None:
    accused, alice = await world.operator(), await world.user()
    (request,) = await world.paid(alice, accused, 1_000)
    first, second = [await world.reviewed(accused, [request]) for _ in range(2)]
    await world.seize(first)
    await world.draw(first)
    await world.approve(first)
    await world.credit(first)
    await world.close(first)
    with pytest.raises(NothingToCredit):
        await world.draw(second, backed=True)


async def test_a_request_that_is_not_at_hand_any_more_is_credited_once_too(world: World) -> None:
    """Archived: the books cannot bound its refunds, so the case files do."""
    accused, alice = await world.operator(), await world.user()
    (request,) = await world.paid(alice, accused, 1_000)
    first, second, third = [await world.reviewed(accused, [request]) for _ in range(3)]
    await world.seize(first)
    for case, backing in ((first, 0), (second, 1_000)):
        await world.draw(case, backed=backing > 0)
        await world.approve(case, backing=backing)
    part = await world.books.fetchval(
        "select tableoid::regclass::text from settlement.charge where request_id = $1", request
    )
    bounds = await world.books.fetchval(
        "select pg_get_expr(relpartbound, oid) from pg_class where oid = $1::text::regclass", part
    )
    await world.books.execute(f"alter table settlement.charge detach partition {part}")
    try:
        await world.credit(first)
        (entry,) = await world.entries()
        assert entry[:3] == ("refund_pool_paid", f"refund-pool:{first.case_id}:{request}", None)
        done = await world.credit(second)
        assert (done.list.credited_microusdc, done.list.open) == (0, 0)
        with pytest.raises(NothingToCredit):
            await world.draw(third, backed=True)
    finally:
        # The check of the books at the end reads every charge.
        await world.books.execute(f"alter table settlement.charge attach partition {part} {bounds}")
