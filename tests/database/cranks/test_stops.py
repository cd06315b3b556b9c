"""The road of a crank, stopped after every single statement and call: each bond comes back once."""

import pytest

from tests.database.cranks.conftest import Bonds
from tests.database.payouts.chain import BOND_AMOUNT
from tests.database.payouts.stopping import Fuse, Stopped, StoppingChain, stopping_pool
from tests.database.payouts.world import Pools

pytestmark = pytest.mark.timeout(300)


async def stopped_road(bonds: Bonds, fuse: Fuse) -> None:
    world = bonds.world
    pools = Pools(
        worker=stopping_pool(world.worker, fuse),
        signer=stopping_pool(world.signer, fuse),
        indexer=stopping_pool(world.indexer, fuse),
    )
    world.line = StoppingChain(bonds.chain, fuse)
    try:
        await bonds.round(pools)
        await bonds.crank(pools.worker)
    except Stopped:
        pass
    finally:
        world.line = None


@pytest.mark.parametrize("stride", [pytest.param(1, marks=pytest.mark.nightly), 3])
@pytest.mark.parametrize("lost", ["nothing", "lose_sends", "lose_answers"])
async def test_a_stop_anywhere_releases_exactly_once(bonds: Bonds, lost: str, stride: int) -> None:
    steps = 0
    while True:
        address = await bonds.post()
        bonds.chain.now += 10
        if lost != "nothing":
            setattr(bonds.chain, lost, 1)
        fuse = Fuse(steps)
        await stopped_road(bonds, fuse)
        bonds.chain.lose_sends = bonds.chain.lose_answers = 0
        for _ in range(3):
            await bonds.round()
            bonds.chain.pass_blocks(200)
        await bonds.crank()
        assert bonds.received(address) == BOND_AMOUNT, f"stopped after {steps} steps"
        assert {state for _, state in await bonds.states()} == {"done"}, f"after {steps} steps"
        if not fuse.burned:
            break
        steps += stride
    assert steps > 30, "the road has more steps than that"
    assert len(bonds.chain.steps) == steps // stride + 1
