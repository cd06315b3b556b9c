"""`python -m coordinator` as a process: starting, refusing to be two, stopping, a wrong setting."""

import signal

import pytest

from tests.conftest import Database, free_port
from tests.wire.coordinator.process import Coordinator, coordinator
from tests.wire.coordinator.scripted import delta, events_of


async def test_sigterm_sends_agents_away_and_breaks_no_stream_silently(database: Database) -> None:
    async with coordinator(database.dsn) as (one, w):
        user, operator = await w.user(), await w.operator()
        async with w.agent(operator) as agent:
            hello = delta(content="hello")
            async with w.stream(user, agent, hello) as (response, _):
                one.process.send_signal(signal.SIGTERM)
                events = [each async for each in events_of(response)]
                assert events[-1]["error"]["type"] == "provider_failed"
            assert await agent.closed() == 1001
        code, said = await one.ended()
        assert (code, "Traceback" in said) == (0, False), said
        assert await w.leased() == 0, "all is given back at the end"


async def test_sigterm_lets_a_short_request_finish(database: Database) -> None:
    async with coordinator(database.dsn, POD_COORDINATOR_GRACE_SECONDS="20") as (one, w):
        user, operator = await w.user(), await w.operator()
        async with w.agent(operator) as agent:
            async with w.stream(user, agent, delta(content="hello")) as (response, job):
                one.process.send_signal(signal.SIGTERM)
                await agent.answer(job, "hello")
                events = [each async for each in events_of(response)]
                assert events[-1] == "[DONE]"
            assert await agent.closed() == 1001
        assert (await one.ended())[0] == 0


async def test_a_second_coordinator_is_refused(database: Database) -> None:
    async with coordinator(database.dsn) as (_, w):
        code, said = await Coordinator(database.dsn, free_port()).ended()
        assert code == 1
        assert "another coordinator is active on this database" in said
        assert "Traceback" not in said
        assert (await w.get("/health")).status == 200


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("POD_PROGRAM_ID", "not an address"),
        ("POD_USDC_MINT", ""),
        ("POD_COORDINATOR_LISTEN", "8402"),
        ("POD_COORDINATOR_GRACE_SECONDS", "-1"),
        ("DATABASE_URL", ""),
    ],
)
async def test_a_wrong_setting_is_named(database: Database, name: str, value: str) -> None:
    code, said = await Coordinator(database.dsn, free_port(), **{name: value}).ended()
    assert code == 1
    assert name in said
    assert "Traceback" not in said
