"""The provider from its own address: setup, pairing, and going on after a kill."""

import asyncio
import json
import os
import signal
import stat
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from localnet.provider import running
from localnet.provider_config import parse_config
from localnet.provider_identity import Identity
from localnet.provider_state import StateUnreadable
from tests.wire.agent.scripted import model_ids
from tests.wire.agent.stand_in import Frame, StandIn, stand_in
from tests.wire.waiting import eventually

SETUP = {"model_id": "tiny-chat", "input_per_1m": 300_000, "output_per_1m": 600_000}
HOST_TOKEN = "pod_host_" + "Ab3" * 13 + "z"


@pytest.fixture
async def http() -> AsyncGenerator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def post(http: aiohttp.ClientSession, url: str, body: object) -> tuple[int, Frame]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with http.post(f"{url}/setup", data=data) as response:
        answer: Frame = await response.json()
        return response.status, answer


async def status(http: aiohttp.ClientSession, url: str) -> Frame:
    async with http.get(f"{url}/status") as response:
        answer: Frame = await response.json()
        return answer


def files_below(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]


class Dashboard:
    """The operator's side of pairing: gives codes out and, when told to, activates."""

    def __init__(self, one: StandIn) -> None:
        self.keys: list[str] = []
        self.polls: list[Frame] = []
        self.issued: tuple[int, Frame] | None = None
        self.answer: tuple[int, Frame] = (200, {"status": "pending"})
        one.issue, one.poll = self._issue, self._poll

    def activate(self, **changes: object) -> None:
        model = {**SETUP, "max_concurrent": 2}
        ids = {"host_token": HOST_TOKEN, "provider_id": "p-1"}
        self.answer = (200, {"status": "active", "model_config": [model], **ids, **changes})

    def _issue(self, body: Frame) -> tuple[int, Frame]:
        if self.issued is not None:
            return self.issued
        self.keys.append(str(body["agent_pubkey"]))
        code = f"AAAA-{len(self.keys):04}"
        return 200, {"pair_code": code, "poll_token": f"poll-{code}", "expires_at": "soon"}

    def _poll(self, body: Frame) -> tuple[int, Frame]:
        self.polls.append(body)
        return self.answer


async def test_from_idle_to_connected(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    async with stand_in() as one, running(directory=tmp_path, coordinator=one.url) as provider:
        dashboard = Dashboard(one)
        idle = await status(http, provider.url)
        assert (idle["state"], idle["pair_code"], idle["model_ids"]) == ("idle", None, [])
        assert await post(http, provider.url, SETUP) == (200, {"pair_code": "AAAA-0001"})
        pairing = await status(http, provider.url)
        assert (pairing["state"], pairing["pair_code"]) == ("pairing", "AAAA-0001")
        await eventually(lambda: dashboard.polls)
        assert dashboard.polls[0] == {
            "poll_token": "poll-AAAA-0001",
            "capabilities": {
                "backends": [{"kind": "vllm", "url": idle["backend"], "models": ["tiny-chat"]}],
                "agent_version": "0.3.3",
            },
        }
        dashboard.activate()
        line = await one.next_line()
        assert (await line.challenge())["pubkey"] == dashboard.keys[0]
        assert (await status(http, provider.url))["state"] == "connecting"
        await line.send(type="auth_ok", provider_id="p-1")
        assert model_ids(await line.receive()) == ["tiny-chat"]
        connected = await status(http, provider.url)
        assert (connected["state"], connected["provider_id"]) == ("connected", "p-1")
        assert connected["model_ids"] == ["tiny-chat"]
        async with http.get(f"{provider.url}/metrics") as response:
            assert "usepod_agent_ws_connected 1.0" in await response.text()
        async with http.get(f"{provider.url}/health") as response:
            assert (await response.json())["line"] == "connected"


async def test_what_it_leaves_on_the_disk(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    async with stand_in() as one, running(directory=tmp_path, coordinator=one.url) as provider:
        dashboard = Dashboard(one)
        dashboard.activate()
        await post(http, provider.url, SETUP)
        await (await one.next_line()).accept()
        address = json.loads((tmp_path / "address.json").read_text())
        assert address["url"] == provider.url
        files = files_below(tmp_path)
        names = {path.name for path in files}
        assert names == {"address.json", "state.json", "agent.toml", "identity.key"}
        assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
        assert not [path for path in files if HOST_TOKEN in path.read_text()]
        written = next(path for path in files if path.name == "agent.toml").read_text()
        config = parse_config(written)
        assert config.coordinator.url == f"{one.url.replace('http', 'ws')}/provider/connect"
        assert config.coordinator.enrollment_code is None
        assert config.limits.max_concurrent == 2
        assert "# provider_id = " in written


async def test_prices_come_from_the_claim_and_else_from_the_setup(
    tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    async with stand_in() as one, running(directory=tmp_path, coordinator=one.url) as provider:
        dashboard = Dashboard(one)
        dashboard.activate(
            model_config=[{"model_id": "tiny-chat", "input_per_1m": 5, "output_per_1m": 6}]
        )
        await post(http, provider.url, SETUP)
        capabilities = await (await one.next_line()).accept()
        assert "'input_per_1m': 5, 'output_per_1m': 6, 'max_concurrent': 4" in str(capabilities)
        # One bare string drops the whole list, as in the real agent: the file's default counts.
        dashboard.activate(model_config=["tiny-chat"])
        await post(http, provider.url, {**SETUP, "max_concurrent": 3})
        capabilities = await (await one.next_line()).accept()
        expected = "'input_per_1m': 300000, 'output_per_1m': 600000, 'max_concurrent': 3"
        assert expected in str(capabilities)


async def test_a_second_setup_is_a_new_key_and_ends_the_first(
    tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    async with stand_in() as one, running(directory=tmp_path, coordinator=one.url) as provider:
        dashboard = Dashboard(one)
        dashboard.activate()
        await post(http, provider.url, SETUP)
        first = await one.next_line()
        await first.accept()
        await post(http, provider.url, {**SETUP, "model_id": "another"})
        await first.closed()
        second = await one.next_line()
        assert (await second.challenge())["pubkey"] == dashboard.keys[1] != dashboard.keys[0]
        await second.send(type="auth_ok")
        assert model_ids(await second.receive()) == ["another"]
        kept = [path for path in files_below(tmp_path) if path.name == "identity.key"]
        assert [Identity.load(path).public_key for path in kept] == [dashboard.keys[1]]


BAD_SETUPS: list[object] = [
    b"",
    b"{not json",
    b"\xff",
    [],
    {},
    {**SETUP, "surprise": 1},
    {**SETUP, "model_id": ""},
    {**SETUP, "model_id": "two\nlines"},
    {**SETUP, "model_id": "x" * 201},
    {**SETUP, "model_id": 5},
    {**SETUP, "input_per_1m": 0},
    {**SETUP, "input_per_1m": -1},
    {**SETUP, "input_per_1m": 1.5},
    {**SETUP, "input_per_1m": "1"},
    {**SETUP, "input_per_1m": True},
    {**SETUP, "input_per_1m": 2**63},
    {**SETUP, "output_per_1m": 0},
    {**SETUP, "output_per_1m": 10**40},
    {**SETUP, "max_concurrent": 0},
    {**SETUP, "max_concurrent": 257},
]


async def test_bad_setups_are_refused_and_change_nothing(
    tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    async with stand_in() as one, running(directory=tmp_path, coordinator=one.url) as provider:
        for body in BAD_SETUPS:
            code, answer = await post(http, provider.url, body)
            assert code == 400, body
            assert set(answer) == {"error"}
        code, _ = await post(http, provider.url, b" " * 70_000)
        assert code == 413
        assert (await status(http, provider.url))["state"] == "idle"
        assert not (tmp_path / "state.json").exists()


BAD_ISSUES: list[tuple[tuple[int, Frame], int, str]] = [
    ((500, {}), 503, "coordinator_unavailable"),
    ((400, {"error": {"message": "bad key"}}), 502, "coordinator_refused"),
    ((200, {"pair_code": "AAAA-0001"}), 502, "coordinator_refused"),
]


async def test_a_coordinator_that_does_not_answer_changes_nothing(
    tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    async with stand_in() as one, running(directory=tmp_path, coordinator=one.url) as provider:
        for answered, expected, kind in BAD_ISSUES:
            Dashboard(one).issued = answered
            code, answer = await post(http, provider.url, SETUP)
            assert code == expected
            assert kind in str(answer)
    async with running(directory=tmp_path, coordinator=one.url) as provider:
        code, answer = await post(http, provider.url, SETUP)
        assert (code, "coordinator_unavailable" in str(answer)) == (503, True)
        assert (await status(http, provider.url))["state"] == "idle"


BAD_POLLS: list[tuple[tuple[int, Frame], str]] = [
    ((200, {"status": "expired"}), "expired"),
    ((200, {"status": "dancing"}), "unexpected poll status: dancing"),
    ((200, {}), "unexpected poll status"),
    ((200, {"status": "active", "provider_id": "p"}), "missing host_token"),
    ((404, {}), "HTTP 404"),
]


@pytest.mark.parametrize(("answer", "reason"), BAD_POLLS)
async def test_a_pairing_that_ends_badly_goes_back_to_idle(
    answer: tuple[int, Frame], reason: str, tmp_path: Path, http: aiohttp.ClientSession
) -> None:
    async with stand_in() as one, running(directory=tmp_path, coordinator=one.url) as provider:
        dashboard = Dashboard(one)
        dashboard.answer = answer
        await post(http, provider.url, SETUP)
        await eventually(lambda: provider.provider.status()["state"] == "idle")
        assert reason in str((await status(http, provider.url))["last_error"])


async def test_a_failing_poll_is_asked_again(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    async with stand_in() as one, running(directory=tmp_path, coordinator=one.url) as provider:
        dashboard = Dashboard(one)
        dashboard.answer = (503, {})
        await post(http, provider.url, SETUP)
        await eventually(lambda: dashboard.polls)
        dashboard.activate()
        await (await one.next_line()).accept()


@asynccontextmanager
async def process(directory: Path, url: str) -> AsyncGenerator[Callable[[], str]]:
    """`python -m localnet.provider` until left, then killed -9; yields how to get its address."""
    arguments = ["--coordinator", url, "--directory", str(directory), "--log-level", "WARNING"]
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "localnet.provider", *arguments
    )
    address = directory / "address.json"

    def found() -> str:
        return str(json.loads(address.read_text())["url"]) if address.exists() else ""

    try:
        await eventually(found)
        yield found
    finally:
        child.kill()
        await child.wait()
        address.unlink(missing_ok=True)


async def test_it_goes_on_after_a_kill(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    async with stand_in() as one:
        dashboard = Dashboard(one)
        async with process(tmp_path, one.url) as address:
            await post(http, address(), SETUP)
        async with process(tmp_path, one.url) as address:  # killed while pairing
            resumed = await status(http, address())
            assert (resumed["state"], resumed["pair_code"]) == ("pairing", "AAAA-0001")
            dashboard.activate()
            line = await one.next_line()
            await line.accept()
        async with process(tmp_path, one.url):  # killed while connected
            line = await one.next_line()
            assert (await line.challenge())["pubkey"] == dashboard.keys[0]
            await line.send(type="auth_ok", provider_id="p-1")
            assert model_ids(await line.receive()) == ["tiny-chat"]


async def test_asked_to_stop_it_ends_with_zero(tmp_path: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "localnet.provider", "--coordinator", "http://127.0.0.1:9"),
            *("--directory", str(tmp_path), "--log-level", "WARNING"),
        )
        await eventually((tmp_path / "address.json").exists)
        os.kill(child.pid, number)
        assert await child.wait() == 0
        (tmp_path / "address.json").unlink()


async def test_a_state_file_of_another_program_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("{}")
    with pytest.raises(StateUnreadable):
        async with running(directory=tmp_path, coordinator="http://127.0.0.1:9"):
            pass
