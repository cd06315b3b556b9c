"""A role's process: brought back when it crashes, ended in time, gone with its supervisor."""

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cli.supervisor.child import CannotStart, Child, Finding, Role, rotate, spawn

_STEADY = "import time; open('up', 'w').close(); time.sleep(60)"
_DEAF = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "open('up', 'w').close(); time.sleep(60)"
)


def _role(folder: Path, program: str) -> Role:
    """A role that is well once its process has made the file `up`."""

    def start(log: Path) -> subprocess.Popen[bytes]:
        (folder / "up").unlink(missing_ok=True)
        before = Path.cwd()
        os.chdir(folder)
        try:
            return spawn([sys.executable, "-c", program], {"WORD": "hello"}, log)
        finally:
            os.chdir(before)

    async def probe() -> Finding:
        well = (folder / "up").exists()
        return Finding(well=well, line="here" if well else "not yet")

    return Role(name="role", start=start, probe=probe)


@asynccontextmanager
async def _running(role: Role, folder: Path, grace_seconds: float = 5.0) -> AsyncGenerator[Child]:
    child = Child(role, folder, lambda _: None, grace_seconds=grace_seconds)
    task = asyncio.create_task(child.run())
    try:
        yield child
    finally:
        await child.stop()
        await task


async def _until(condition: Callable[[], bool]) -> None:
    for _ in range(2_000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never became true")


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


async def test_a_killed_process_comes_back_with_another_pid(tmp_path: Path) -> None:
    async with _running(_role(tmp_path, _STEADY), tmp_path) as child:
        await child.ready.wait()
        first = child.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await _until(lambda: child.state == "restarting")
        assert child.line == "ended by SIGKILL"
        await child.ready.wait()
        assert child.pid not in {None, first}
        assert (child.restarts, child.failures) == (1, 0)
    assert child.state == "stopped"


async def test_pauses_between_starts_grow(tmp_path: Path) -> None:
    starts: list[float] = []
    role = _role(tmp_path, "raise SystemExit(3)")

    def start(log: Path) -> subprocess.Popen[bytes]:
        starts.append(time.monotonic())
        return role.start(log)

    crashing = Role(name="role", start=start, probe=role.probe)
    async with _running(crashing, tmp_path):
        await _until(lambda: len(starts) == 4)
    pauses = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert pauses[0] >= 0.2
    assert pauses[1] >= 0.4
    assert pauses[2] >= 0.8


async def test_what_cannot_even_be_started_is_tried_again(tmp_path: Path) -> None:
    good = _role(tmp_path, _STEADY)
    tries = 0

    def start(log: Path) -> subprocess.Popen[bytes]:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise CannotStart("still in the way")
        return good.start(log)

    async with _running(Role(name="role", start=start, probe=good.probe), tmp_path) as child:
        await child.ready.wait()
        assert tries == 2


async def test_a_deaf_process_is_killed_after_the_grace(tmp_path: Path) -> None:
    async with _running(_role(tmp_path, _DEAF), tmp_path, grace_seconds=0.3) as child:
        await child.ready.wait()
        pid = child.pid
        assert pid is not None
    assert not _is_alive(pid)


async def test_stopping_while_it_waits_to_start_again_ends_at_once(tmp_path: Path) -> None:
    child = Child(_role(tmp_path, "raise SystemExit(1)"), tmp_path, lambda _: None)
    task = asyncio.create_task(child.run())
    await _until(lambda: child.failures >= 3)
    await child.stop()
    async with asyncio.timeout(2):
        await task
    assert child.pid is None


async def test_a_role_that_is_no_longer_well_is_shown_and_left_running(tmp_path: Path) -> None:
    async with _running(_role(tmp_path, _STEADY), tmp_path) as child:
        await child.ready.wait()
        pid = child.pid
        (tmp_path / "up").unlink()
        await _until(lambda: child.state == "unwell")
        assert child.pid == pid
        (tmp_path / "up").touch()
        await _until(lambda: child.state == "ready")
        assert child.restarts == 0


async def test_settings_and_output_pass(tmp_path: Path) -> None:
    program = "import os; print(os.environ['WORD'], flush=True)\n" + _STEADY
    async with _running(_role(tmp_path, program), tmp_path) as child:
        await child.ready.wait()
        assert child.log.read_text() == "hello\n"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux can tell a child")
def test_a_child_dies_with_a_killed_supervisor(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from cli.supervisor.child import spawn\n"
        "child = spawn([sys.executable, '-c', 'import time; time.sleep(60)'], {}, Path('log'))\n"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    supervisor = subprocess.Popen(
        [sys.executable, "-c", program], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    with supervisor:
        assert supervisor.stdout is not None
        pid = int(supervisor.stdout.readline())
        assert _is_alive(pid)
        supervisor.kill()
    deadline = time.monotonic() + 10
    while _is_alive(pid):
        assert time.monotonic() < deadline, "the child outlived its supervisor"
        time.sleep(0.01)


def test_a_large_log_is_put_aside_once(tmp_path: Path) -> None:
    log = tmp_path / "role.log"
    rotate(log)
    log.write_bytes(b"x" * 1_000)
    rotate(log)
    assert log.exists()
    with log.open("ab") as file:
        file.truncate(30_000_000)
    rotate(log)
    assert not log.exists()
    assert log.with_suffix(".log.1").stat().st_size == 30_000_000
