"""The newcomer's way: up, the demo, down, and all of it once more on what the first time left."""

import os
import signal
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from cli.workspace import Running
from tests.e2e.system import TestSystem, check_story, demo_report, running_system

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

_ROLES = {"postgres", "localnet", "indexer", "settlement", "signer", "coordinator", "provider"}
_STALL_SECONDS = float(os.environ.get("POD_TEST_STALL_SECONDS", "4"))


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Generator[TestSystem]:
    with running_system(tmp_path_factory.mktemp("e2e") / "a place") as made:
        yield made


def test_the_story_is_told_and_everything_adds_up(system: TestSystem) -> None:
    running = system.up()
    assert set(running.roles) == _ROLES
    assert all(role.pid for role in running.roles.values())
    check_story(demo_report(system.pod("demo", "--json").stdout))


def test_up_again_tells_the_same_and_does_nothing(system: TestSystem) -> None:
    before = system.up()
    assert system.up() == before
    assert system.pod("status").returncode == 0


def test_a_stalled_chain_is_waited_for(system: TestSystem) -> None:
    localnet = system.up().roles["localnet"].pid
    assert localnet is not None
    os.kill(localnet, signal.SIGSTOP)
    try:
        time.sleep(_STALL_SECONDS)  # this is the fault, not a wait for something
    finally:
        os.kill(localnet, signal.SIGCONT)
    system.pod("reconcile")
    assert system.up().roles["localnet"].pid == localnet


def test_down_and_up_again_keeps_everything(system: TestSystem) -> None:
    system.down()
    assert system.workspace.owner() is None
    assert not system.workspace.run_file.exists()
    system.down()
    system.up()  # how long that takes is a bar of `scripts/bench start`
    check_story(demo_report(system.pod("demo", "--json").stdout))


def test_no_secret_is_in_a_log_or_on_a_command_line(system: TestSystem) -> None:
    running = system.up()
    keys = Path(running.keys)
    secrets = [path.read_text().strip() for path in keys.glob("*.json")]
    secrets.append((system.workspace.postgres / "password").read_text().strip())
    for log in system.workspace.logs.glob("*.log"):
        text = log.read_text(errors="replace")
        assert not any(secret in text for secret in secrets), log.name
    for role in running.roles.values():
        told = b"".join(
            Path(f"/proc/{role.pid}/{name}").read_bytes() for name in ("cmdline", "environ")
        )
        assert not any(secret.encode() in told for secret in secrets), role
    for path in keys.glob("*.json"):
        assert path.stat().st_mode & 0o077 == 0, path.name


def test_ctrl_c_in_the_foreground_stops_everything(system: TestSystem) -> None:
    system.down()
    with system.start("up", "--json") as foreground:
        assert foreground.stdout is not None
        printed = ""
        while not printed.endswith("\n}\n"):
            printed += foreground.stdout.readline()
        running = Running.from_json(printed)
        assert running == system.up()
        foreground.send_signal(signal.SIGINT)
        assert foreground.wait(60) == 0
    assert system.workspace.owner() is None
    assert not any(Path(f"/proc/{role.pid}").exists() for role in running.roles.values())
