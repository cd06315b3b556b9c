"""What cannot work says so, names the thing to change, and leaves nothing running."""

import socket
from pathlib import Path

import pytest

from tests.e2e.system import TestSystem, running_system

_TAKEN = "is taken by another program"


def _refused(system: TestSystem, *words: str) -> str:
    done = system.pod(*words, check=False)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert system.workspace.owner() is None
    return done.stderr


def _edit(system: TestSystem, old: str, new: str) -> None:
    path = Path(system.environment["POD_LOCALNET"])
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize("how", [(), ("--detach",)], ids=["here", "in the background"])
def test_a_taken_port_is_named(tmp_path: Path, how: tuple[str, ...]) -> None:
    with running_system(tmp_path) as system, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = int(taken.getsockname()[1])
        system.environment["POD_COORDINATOR_LISTEN"] = f"127.0.0.1:{port}"
        told = _refused(system, "up", *how)
    assert f"port {port} on 127.0.0.1 {_TAKEN}" in told
    assert "POD_COORDINATOR_LISTEN" in told


def test_a_chain_that_is_not_installed_is_named(tmp_path: Path) -> None:
    with running_system(tmp_path) as system:
        _edit(system, 'kind = "embedded"', 'kind = "surfpool"')
        assert "surfpool is not on PATH" in _refused(system, "up")


def test_a_wrong_key_in_the_settings_is_named(tmp_path: Path) -> None:
    with running_system(tmp_path) as system:
        _edit(system, "slot_time_ms = 80", 'slot_time_ms = "fast"')
        assert "embedded.slot_time_ms" in _refused(system, "up")


def test_a_missing_program_is_named(tmp_path: Path) -> None:
    with running_system(tmp_path) as system:
        _edit(system, "bond.so", "bund.so")
        assert "bund.so" in _refused(system, "up")


def test_an_address_that_is_none_is_named(tmp_path: Path) -> None:
    with running_system(tmp_path) as system:
        system.environment["POD_COORDINATOR_LISTEN"] = "127.0.0.1:70000"
        assert "POD_COORDINATOR_LISTEN" in _refused(system, "up")


def test_with_nothing_running_down_is_content_and_status_is_not(tmp_path: Path) -> None:
    with running_system(tmp_path) as system:
        assert system.pod("down").stdout == "nothing is running\n"
        assert "nothing is running" in _refused(system, "status")
        assert "nothing is running" in _refused(system, "reconcile")
