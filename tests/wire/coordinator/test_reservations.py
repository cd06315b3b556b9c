"""What is reserved for an answer: the likely price, more while it grows, never beyond the money."""

import asyncio
from typing import Any

from coordinator.order import Limits
from settlement.charges import LeaseTerms
from tests.conftest import Database
from tests.wire.coordinator.scripted import Agent, User, answered, ask, delta, events_of, finish
from tests.wire.coordinator.world import DOLLAR, World, whole, world

STREAM = {"stream": True}
LIKELY = 2 + 512  # a prompt of two tokens, and an eighth of 4,096


async def test_an_answer_longer_than_likely_is_served_to_its_end(database: Database) -> None:
    async with world(database.dsn) as w:
        user, operator = await w.user(), await w.operator()
        async with w.agent(operator) as agent:
            async with w.stream(user, agent, delta(content="word")) as (response, job):
                assert job["request"]["max_tokens"] == 4_096, "the estimate is not the user's bound"
                assert await w.reserved() == LIKELY
                assert await w.balance(user) == 25 * DOLLAR - LIKELY
                for _ in range(2_999):
                    await agent.say(job, " word")
                await agent.give(job, finish())
                await agent.done(job)
                assert [each async for each in events_of(response)][-1] == "[DONE]"
            assert await w.balance(user) == 25 * DOLLAR - 3_002
        (row,) = await w.rows()
        assert (row["outcome"], row["gross_microusdc"]) == ("settled", 3_002)
        assert LIKELY < row["gross_microusdc"] <= row["held_microusdc"] <= 4_098


async def test_who_can_pay_for_what_they_ask_is_not_locked_out(database: Database) -> None:
    """Ten answers at once, of a user whose balance covers the longest possible one only once."""
    async with world(database.dsn) as w:
        user, operator = await w.user(funded=6_000), await w.operator()
        async with w.agent(operator, slots=10) as agent:
            requests = [asyncio.create_task(whole(w, user, ask())) for _ in range(10)]
            jobs = [await agent.job() for _ in requests]
            for job in jobs:
                await agent.answer(job, "one two three")
            await asyncio.gather(*requests)
        assert await w.balance(user) == 6_000 - 10 * 6


async def test_answers_are_cut_when_the_money_is_used_up(database: Database) -> None:
    async with world(database.dsn) as w:
        user, operator = await w.user(funded=2_000), await w.operator()
        async with w.agent(operator) as agent:
            requests = [asyncio.create_task(whole(w, user, ask(**STREAM))) for _ in range(3)]
            jobs = [await agent.job() for _ in requests]
            for _ in range(1_990):
                for job in jobs:
                    await agent.say(job, " word")
            told = await asyncio.gather(*requests)
        assert all(b'"length"' in each for each in told)
        rows = await w.rows()
        assert [row["outcome"] for row in rows] == ["cut"] * 3
        assert sum(row["gross_microusdc"] for row in rows) == 2_000
        assert sum(each.count(b" word") for each in told) == 2_000 - 3 * 2
        assert await w.balance(user) == 0


async def test_money_that_arrives_while_an_answer_grows_pays_for_it(database: Database) -> None:
    async with world(database.dsn) as w:
        user, operator = await w.user(funded=600), await w.operator()
        async with w.agent(operator) as agent:
            request = asyncio.create_task(whole(w, user, ask(max_tokens=590, **STREAM)))
            job = await agent.job()
            other = asyncio.create_task(whole(w, user, ask(max_tokens=300, **STREAM)))
            late = await agent.job()
            await w.deposit(user, 1_000)
            for _ in range(590):
                await agent.say(job, " word")
            await agent.give(job, finish())
            await agent.done(job)
            assert (await request).count(b" word") == 590
            await agent.answer(late, "hello")
            await other
        assert await w.balance(user) == 1_600 - 592 - 4


async def test_a_deposit_bounds_the_next_answer_no_more(database: Database) -> None:
    async with world(database.dsn) as w:
        user, operator = await w.user(funded=1_000), await w.operator()
        async with w.agent(operator) as agent:
            assert await max_tokens(w, user, agent) == 998
            await w.deposit(user, 25 * DOLLAR)
            assert await max_tokens(w, user, agent) == 4_096


async def max_tokens(w: World, user: User, agent: Agent) -> int:
    """What the provider is told when this user asks."""
    serving = asyncio.create_task(answered(agent))
    await whole(w, user, ask())
    job: dict[str, Any] = await serving
    return int(job["request"]["max_tokens"])


async def test_what_is_likely_is_learnt(database: Database) -> None:
    async with world(database.dsn, limits=Limits(default_output_tokens=100_000)) as w:
        user, operator = await w.user(), await w.operator()
        async with w.agent(operator) as agent:
            for _ in range(8):
                assert await max_tokens(w, user, agent) == 100_000
            request = asyncio.create_task(whole(w, user, ask()))
            job = await agent.job()
            assert await w.reserved() == 2 + 16
            await agent.answer(job, "one two three")
            await request


async def test_what_is_set_aside_ahead_can_be_spent_all_the_same(database: Database) -> None:
    """The balance that users see counts what no running request has reserved."""
    terms = LeaseTerms(cap_microusdc=10 * DOLLAR)
    async with world(database.dsn, leases=terms) as w:
        user, operator = await w.user(), await w.operator()
        async with w.agent(operator) as agent:
            for spent in (6, 12, 18):
                serving = asyncio.create_task(answered(agent))
                async with w.chat(user) as response:
                    await response.read()
                await serving
                assert response.headers["x-balance-remaining"] == str(25 * DOLLAR - spent)
                assert await w.balance(user) == 25 * DOLLAR - spent
            assert await w.leased() > DOLLAR
            assert await w.reserved() == 0
    # At its end it gives back everything.
    async with world(database.dsn) as w:
        assert await w.leased() == 0
