"""Crediting page by page, by several at once, and killed anywhere: each is credited once."""

import asyncio

import pytest

from settlement.cases import crediting
from settlement.cases.crediting import Credited
from settlement.ledger.accounts import REFUND_POOL
from tests.database.cases.world import World
from tests.database.payouts.stopping import Fuse, Stopped, stopping_pool


async def test_many_requests_are_settled_page_by_page(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crediting, "PAGE", 3)
    accused, alice = await world.operator(), await world.user()
    case = await world.reviewed(accused, await world.paid(alice, accused, *range(1, 9)))
    await world.seize(case)
    await world.draw(case)
    await world.approve(case)
    assert (await world.credit(case)).list.settled == 8
    assert len(await world.entries()) == 8


async def test_those_who_credit_at_once_credit_once(world: World) -> None:
    accused, alice = await world.operator(bond=10), await world.user()
    case = await world.reviewed(accused, await world.paid(alice, accused, 5, 6, 7, 8))
    await world.seize(case, 10)
    await world.draw(case, backed=True)
    await world.approve(case, backing=16)
    before = await world.net(alice)
    done = await asyncio.gather(*(world.credit(case) for _ in range(4)))
    assert all(one.list.open == 0 for one in done)
    assert await world.net(alice) == before + 26
    assert len(await world.entries()) == 5


async def test_a_credit_that_is_killed_anywhere_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crediting, "PAGE", 2)
    accused, alice = await world.operator(bond=10), await world.user()
    before = await world.net(alice)
    steps = cases = 0
    while True:
        case = await world.open(
            accused, await world.paid(alice, accused, 5, 6, 7), no_bond=cases > 0
        )
        await world.review(case)
        if cases == 0:
            await world.seize(case, 10)
        drawn = await world.draw(case, backed=True)
        await world.approve(case, backing=drawn.funds.backing_microusdc)
        fuse = Fuse(steps)
        try:
            done = await world.credit(case, stopping_pool(world.finance, fuse))
        except Stopped:
            done = await world.credit(case)
        assert isinstance(done, Credited)
        assert (done.list.settled, done.list.open, done.list.credited_microusdc) == (3, 0, 18)
        await world.close(case)
        cases, steps = cases + 1, steps + 1
        assert await world.net(alice) == before, "paid and given back"
        if not fuse.burned:
            break
    assert steps > 15
    assert len(await world.entries()) == 4 * cases
    assert await world.net(REFUND_POOL) == 0
