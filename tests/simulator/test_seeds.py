"""Seeded stories of money going out: each obligation is paid once or refunded once.

A seed stands for a whole story: what people ask for and change their minds about, which accounts
are frozen, whether the payer's key changes, what chain and nodes do wrong, and where processes die.
A story that fails says how to play it alone.
"""

import asyncio
import os
import traceback
from pathlib import Path

import pytest

from tests.conftest import _database
from tests.simulator.ends import check
from tests.simulator.ground import Ground
from tests.simulator.people import story_of
from tests.simulator.world import script_for, simulated

_FIRST = int(os.environ.get("POD_SEED", "1")) % 1_000_000
_STORIES = int(os.environ.get("POD_STORIES", "40"))
_BLOCK, _NIGHTLY_BLOCKS = 20, 150
_AT_ONCE = 4  # each mostly waits for Postgres


async def play(ground: Ground, path: Path, seed: int) -> None:
    """One story, on a chain and in books of its own."""
    story = story_of(seed)
    async for database in _database(ground.cluster, template=ground.database):
        async with simulated(ground, database.dsn, path, story, script_for(story)) as simulation:
            await simulation.play()
            await check(simulation)


async def play_all(ground: Ground, path: Path, seeds: range) -> list[str]:
    """What is wrong, each with its seed."""
    turns = asyncio.Semaphore(_AT_ONCE)

    async def told(seed: int) -> str | None:
        async with turns:
            try:
                await play(ground, path / str(seed), seed)
            except Exception:
                return (
                    f"seed {seed}: {story_of(seed)}\n{traceback.format_exc()}\nalone:"
                    f" POD_SEED={seed} POD_STORIES=1 scripts/test simulator -- -k every_story"
                )
            return None

    wrong = await asyncio.gather(*(told(seed) for seed in seeds))
    return [each for each in wrong if each is not None]


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_every_story_ends_paid_once_or_refunded_once(ground: Ground, tmp_path: Path) -> None:
    wrong = await play_all(ground, tmp_path, range(_FIRST, _FIRST + _STORIES))
    assert wrong == [], "\n\n".join(wrong)


@pytest.mark.nightly
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("block", range(_NIGHTLY_BLOCKS))
async def test_three_thousand_stories(ground: Ground, tmp_path: Path, block: int) -> None:
    first = _FIRST + 100_000 + block * _BLOCK
    wrong = await play_all(ground, tmp_path, range(first, first + _BLOCK))
    assert wrong == [], "\n\n".join(wrong)


def test_a_seed_is_always_the_same_story() -> None:
    assert story_of(7) == story_of(7)
    assert len({repr(story_of(seed)) for seed in range(50)}) == 50


def test_every_kind_of_thing_happens_in_some_story() -> None:
    stories = [story_of(seed) for seed in range(60)]
    wishes = [wish for story in stories for wish in story.wishes]
    assert any(wish.cancelled_at is not None for wish in wishes)
    assert any(wish.given_up_at is not None for wish in wishes)
    assert any(story.key_changed_at is not None for story in stories)
    assert any(freeze.thawed_at is None for story in stories for freeze in story.freezes)
    assert {story.is_calm for story in stories} == {story.is_nudged for story in stories}
