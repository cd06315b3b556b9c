"""One supervisor owns a workspace, and `run.json` counts only while it lives."""

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from cli.supervisor.child import CannotStart
from cli.supervisor.ports import ChosenPorts, FixedPort, free_port, is_free, require_free
from cli.workspace import Running, RunningRole, Workspace


def _running(supervisor: int) -> Running:
    role = RunningRole(pid=7, url="http://127.0.0.1:1", metrics=None)
    return Running(
        supervisor=supervisor,
        coordinator="http://127.0.0.1:8402",
        rpc="http://127.0.0.1:8899",
        ws="ws://127.0.0.1:8900",
        database="postgresql://x",
        provider="http://127.0.0.1:2",
        cluster="localnet",
        program_id="p",
        usdc_mint="m",
        keys="/keys",
        roles={"indexer": role},
    )


def test_what_is_published_is_read_back(tmp_path: Path) -> None:
    workspace = Workspace(directory=tmp_path)
    lock = workspace.own()
    assert lock is not None
    with lock:
        assert workspace.running() is None
        workspace.publish(_running(os.getpid()))
        assert workspace.running() == _running(os.getpid())
        workspace.withdraw()
        assert workspace.running() is None


def test_only_one_supervisor_at_a_time(tmp_path: Path) -> None:
    workspace = Workspace(directory=tmp_path)
    first = workspace.own()
    assert first is not None
    with first:
        assert workspace.own() is None
        assert workspace.owner() == os.getpid()
    assert workspace.owner() is None
    second = workspace.own()
    assert second is not None
    second.close()


def test_what_a_killed_supervisor_left_behind_does_not_count(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from cli.workspace import Workspace\n"
        "lock = Workspace(directory=Path(sys.argv[1])).own(); print('mine', flush=True)\n"
        "time.sleep(60)"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    workspace = Workspace(directory=tmp_path)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "mine\n"
        workspace.publish(_running(other.pid))
        assert workspace.running() == _running(other.pid)
        other.kill()
    assert workspace.owner() is None
    assert workspace.running() is None


def test_a_stale_run_file_of_another_supervisor_does_not_count(tmp_path: Path) -> None:
    workspace = Workspace(directory=tmp_path)
    lock = workspace.own()
    assert lock is not None
    with lock:
        workspace.publish(_running(os.getpid() + 1))
        assert workspace.running() is None


def test_a_place_nobody_ever_used_has_no_owner(tmp_path: Path) -> None:
    assert Workspace(directory=tmp_path / "nowhere").owner() is None
    assert Workspace(directory=tmp_path / "nowhere").running() is None


def test_key_files_are_kept_private(tmp_path: Path) -> None:
    workspace = Workspace(directory=tmp_path / "pod")
    workspace.prepare()
    assert workspace.keys.stat().st_mode & 0o777 == 0o700


async def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = int(taken.getsockname()[1])
        wanted = FixedPort(host="127.0.0.1", port=port, used_by="coordinator", change="move it")
        with pytest.raises(CannotStart, match=rf"port {port} .*coordinator.*or move it"):
            await require_free([wanted], patience_seconds=0.05)


async def test_a_port_that_is_given_up_in_time_is_no_error() -> None:
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    port = int(taken.getsockname()[1])
    wanted = FixedPort(host="127.0.0.1", port=port, used_by="localnet", change="")
    waiting = asyncio.create_task(require_free([wanted], patience_seconds=10))
    await asyncio.sleep(0)
    taken.close()
    await waiting


def test_a_free_port_has_a_free_neighbour() -> None:
    port = free_port()
    assert is_free("127.0.0.1", port)
    assert is_free("127.0.0.1", port + 1)


async def test_chosen_ports_stay_the_same_until_somebody_takes_one(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    first = await ChosenPorts(file).take("indexer")
    other = await ChosenPorts(file).take("provider")
    assert first != other
    assert await ChosenPorts(file).take("indexer") == first
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", first))
        taken.listen()
        moved = await ChosenPorts(file, patience_seconds=0.05).take("indexer")
    assert moved != first
    assert await ChosenPorts(file).take("indexer") == moved
