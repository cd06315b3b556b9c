"""One payout after the other, each stopped one step later than the one before.

All processes share one fuse, so the whole machine dies: after every statement, every commit and
every call of request, approval, worker, signer and indexer, on a calm chain. Then everything begins
again from the database. (A step's "before" is the step before its "after": a dead process runs no
line more.)
"""

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Final

import pytest
from solders.keypair import Keypair

from localnet.adversary.faults import Script
from settlement.payouts.states import PayoutState
from tests.conftest import _database
from tests.simulator.death import Stopped
from tests.simulator.ends import check
from tests.simulator.ground import Ground
from tests.simulator.people import USDC, Freeze, Story, Wish
from tests.simulator.world import Simulation, simulated

AMOUNT: Final = 5 * USDC
_LANES: Final = 4  # worlds that share the stops
# The normal run takes a third of the stops, another one with each seed; the nightly run all.
_STRIDE, _SEED = 3, int(os.environ.get("POD_SEED", "1"))
_MOST_ROUNDS: Final = 60
_FEWEST_STEPS: Final = 150
_NOBODY: Final = Story(
    seed=0,
    wishes=(),
    freezes=(),
    key_changed_at=None,
    deaths=0.0,
    is_calm=True,
    is_nudged=True,
    batch_from=8,
)


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way a payout goes: what has to be on the chain first, and how it ends."""

    prepare: Callable[[Simulation, Wish], None]
    ends: PayoutState


def nothing(_simulation: Simulation, _wish: Wish) -> None:
    """Its token account is opened on the way."""


def frozen(simulation: Simulation, wish: Wish) -> None:
    freeze = Freeze(wallet=wish.wallet, at=0, thawed_at=None)
    simulation.senders.send(simulation.frozen(freeze, is_frozen=True))


WAYS: Final = {
    "paid": Way(prepare=nothing, ends=PayoutState.PAID),
    "refunded": Way(prepare=frozen, ends=PayoutState.SKIPPED),
}


async def road(simulation: Simulation, wish: Wish) -> None:
    """From the request to the books, by the shortest way."""
    await simulation._ask(wish)
    await simulation.working.step()  # numbers, builds, tells the signer, sends
    for _ in range(3):
        await simulation.chain.end_slots(3)
        await simulation.indexing.step()


async def state(simulation: Simulation, wish: Wish) -> PayoutState | None:
    payout_id = simulation.ids.get(wish.name)
    rows = await simulation.rows(
        f"select state from settlement.payout where payout_id = '{payout_id}'"
    )
    return PayoutState(rows[0]["state"]) if rows else None


async def stopped_once(simulation: Simulation, way: Way, wish: Wish, after: int) -> bool:
    """Stop after so many steps, begin again, and see it through. False: there are fewer steps."""
    way.prepare(simulation, wish)
    while simulation.senders.waiting:
        await simulation._time_passes(2)
    fuse = simulation.fuses["working"]
    fuse.left = after
    with contextlib.suppress(Stopped):
        await road(simulation, wish)
    was_stopped, fuse.left = fuse.is_burned, None
    simulation.everybody_dies()
    for _ in range(_MOST_ROUNDS):
        # Who asked and heard nothing asks again.
        await simulation._ask(wish)
        if await state(simulation, wish) is way.ends:
            return was_stopped
        for process in (simulation.working, simulation.signing, simulation.indexing):
            await process.step()
        await simulation._time_passes(3)
    raise AssertionError(f"stopped after {after} steps: it is {await state(simulation, wish)}")


async def lane(ground: Ground, path: Path, way: Way, stops: Iterable[int]) -> int:
    """These stops, one after the other in one world; the last, or the one that was too late."""
    after = 0
    async for database in _database(ground.cluster, template=ground.database):
        async with simulated(
            ground, database.dsn, path, _NOBODY, Script(), one_fuse=True
        ) as simulation:
            try:
                for after in stops:
                    if not await stopped_once(simulation, way, wish_of(simulation, after), after):
                        break
                    # The day's limits are another test's.
                    simulation.clock.forward(timedelta(hours=2))
                await check(simulation)
            except Exception as error:
                error.add_note(
                    f"after {after} steps; alone:"
                    f" POD_STOP={after} scripts/test simulator -- -k one_stop"
                )
                raise
    return after


def wish_of(simulation: Simulation, after: int) -> Wish:
    """One more withdrawal in this world."""
    wish = Wish(
        name=f"stop {after}",
        operator=after % 2,
        amount_microusdc=AMOUNT,
        wallet=Keypair(),
        at=0,
        approved_at=0,
    )
    wishes = (*simulation.story.wishes, wish)
    simulation.story = replace(simulation.story, wishes=wishes)
    return wish


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("stride", [_STRIDE, pytest.param(1, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("name", WAYS)
async def test_a_stop_anywhere_ends_as_if_there_had_been_none(
    ground: Ground, tmp_path: Path, name: str, stride: int
) -> None:
    firsts = [_SEED % stride + stride * lane_no for lane_no in range(_LANES)]
    last = await asyncio.gather(
        *(lane(ground, tmp_path / str(n), WAYS[name], count(n, stride * _LANES)) for n in firsts)
    )
    assert min(last) > _FEWEST_STEPS, "the road has more steps than that"


@pytest.mark.parametrize("name", WAYS)
async def test_one_stop(ground: Ground, tmp_path: Path, name: str) -> None:
    """The stop that POD_STOP names, alone: what a failure of all of them says."""
    after = int(os.environ.get("POD_STOP", "7"))
    assert await lane(ground, tmp_path / "chain", WAYS[name], [after]) == after
