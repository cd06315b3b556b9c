"""Nobody spends what they do not have, whatever happens at once; every split is exact."""

import asyncio
import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coordinator.tokens import o200k
from tests.conftest import Database
from tests.wire.coordinator.scripted import Agent, ask, delta, finish
from tests.wire.coordinator.world import World, world

WORDS = ("one", " two", " three", " four", " five", " six", " seven")


async def serve(agent: Agent, *, words: int) -> None:
    """Answer every job with as many words as asked for, whatever the limit."""
    while True:
        job = await agent.frame()
        if job["type"] == "job":
            body = b"".join(delta(content=WORDS[n % len(WORDS)]) for n in range(words))
            await agent.give(job, body + finish())
            await agent.done(job)


async def spend(w: World, token: str, **more: object) -> int:
    response = await w.post(f"/proxy/{token}/v1/chat/completions", ask(**more))
    return response.status


async def test_overspending_is_impossible_at_once(database: Database) -> None:
    funded = 100
    async with world(database.dsn) as w:
        user, operator = await w.user(funded=funded), await w.operator()
        async with w.agent(operator, slots=64) as agent:
            serving = asyncio.create_task(serve(agent, words=7))
            requests = [
                spend(w, user.token, max_tokens=limit, stream=bool(limit % 2))
                for limit in (1, 7, 50, 1_000, 9, 3, 12, 80) * 5
            ]
            statuses = await asyncio.gather(*requests)
            serving.cancel()
        assert set(statuses) <= {200, 402}
        rows = await w.rows()
        gross = sum(row["gross_microusdc"] for row in rows)
        assert all(row["gross_microusdc"] <= row["held_microusdc"] for row in rows)
        assert await w.balance(user) == funded - gross >= 0
        earned = (await w.earned(operator)).net_microusdc
        assert earned + await w.treasury() == gross
        assert await w.reserved() == 0


async def test_the_last_token_can_be_spent(database: Database) -> None:
    async with world(database.dsn) as w:
        user, operator = await w.user(funded=10), await w.operator()
        async with w.agent(operator) as agent:
            serving = asyncio.create_task(serve(agent, words=50))
            assert await spend(w, user.token) == 200
            assert await w.balance(user) == 0
            assert await spend(w, user.token) == 402
            serving.cancel()


@settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    drawn=st.lists(
        st.tuples(st.integers(1, 7), st.integers(1, 30)), min_size=1, max_size=4, unique=True
    )
)
def test_every_split_is_exact(database: Database, drawn: list[tuple[int, int]]) -> None:
    asyncio.run(check_splits(database, drawn))


async def check_splits(database: Database, drawn: list[tuple[int, int]]) -> None:
    """Each (words, price) is one request; operator and treasury share its gross to the unit."""
    count = o200k.load()
    async with world(database.dsn) as w:
        treasury = await w.treasury()
        for words, price in drawn:
            user, operator = await w.user(), await w.operator()
            per_million = price * 137_731  # uneven on purpose
            async with w.agent(operator, models={f"m{words}-{price}": per_million}) as agent:
                serving = asyncio.create_task(serve(agent, words=words))
                told = await answer(w, user.token, f"m{words}-{price}")
                serving.cancel()
            tokens = 2 + count("".join(WORDS[:words]))
            gross = -(-tokens * per_million // 1_000_000)
            share = gross * 2_000 // 10_000
            assert told["usage"]["total_tokens"] == tokens
            assert (await w.earned(operator)).net_microusdc == gross - share
            assert await w.treasury() == treasury + share
            treasury += share


async def answer(w: World, token: str, model: str) -> dict[str, Any]:
    response = await w.post(f"/proxy/{token}/v1/chat/completions", ask(model=model))
    assert response.status == 200
    return json.loads(await response.read())
