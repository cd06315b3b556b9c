"""Kill -9 of every process, the supervisor too, at seeded moments while the story is told.

The demo goes on by itself; a killed supervisor is started again, as a person would. In the end
nothing is lost and nothing is doubled: the ten requests are paid, earnings and bond are back in
their wallets, and books and chain are equal. Set POD_SEED to repeat a run.
"""

import os
import random
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from cli.workspace import Workspace
from tests.e2e.system import TestSystem, check_story, demo_report, running_system

_SEED = int(os.environ.get("POD_SEED", "1"))
_ROLES = ("postgres", "localnet", "indexer", "settlement", "signer", "coordinator", "provider")
_SUPERVISOR = "supervisor"
_STEPS = 20  # of the demo, while there is still something to disturb
_LONGEST_PAUSE_SECONDS = 0.8
_ONE_RESTART_AT_A_TIME = threading.Lock()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_process_is_killed_once_while_the_story_is_told(tmp_path: Path) -> None:
    with running_system(tmp_path) as system:
        _tell_under_fire(system, random.Random(_SEED), [*_ROLES, _SUPERVISOR])


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("seed", range(_SEED, _SEED + 8))
def test_processes_are_killed_again_and_again(tmp_path: Path, seed: int) -> None:
    moments = random.Random(seed)
    with running_system(tmp_path) as system:
        for _ in range(2):
            _tell_under_fire(system, moments, moments.choices([*_ROLES, _SUPERVISOR], k=16))


def _tell_under_fire(system: TestSystem, moments: random.Random, targets: list[str]) -> None:
    system.up()
    plan: dict[int, list[tuple[float, str]]] = {}
    for target in targets:
        pause = moments.uniform(0, _LONGEST_PAUSE_SECONDS)
        plan.setdefault(moments.randrange(_STEPS), []).append((pause, target))
    killed: list[str] = []
    with system.start("demo", "--json") as demo:
        told = _disturb(demo, system, plan, killed)
        assert demo.stdout is not None
        stdout = demo.stdout.read()
        code = demo.wait()
    failed = subprocess.CompletedProcess(["demo"], code, stdout, told)
    assert code == 0, f"killed {killed}\n{system.told(failed)}"
    assert sorted(killed) == sorted(targets)
    check_story(demo_report(stdout))
    system.up()
    system.pod("reconcile")


def _disturb(
    demo: "subprocess.Popen[str]",
    system: TestSystem,
    plan: dict[int, list[tuple[float, str]]],
    killed: list[str],
) -> str:
    """Kill by plan as the demo's steps go by; return what it told."""
    assert demo.stderr is not None
    told: list[str] = []
    shooters: list[threading.Thread] = []
    for number, line in enumerate(demo.stderr):
        told.append(line)
        shooters += [
            threading.Thread(target=_shoot, args=(system, pause, target, killed))
            for pause, target in plan.get(number, [])
        ]
        for shooter in shooters:
            if shooter.ident is None:
                shooter.start()
    for shooter in shooters:
        shooter.join()
    return "".join(told)


def _shoot(system: TestSystem, pause: float, target: str, killed: list[str]) -> None:
    time.sleep(pause)
    if target != _SUPERVISOR:
        os.kill(_pid(system.workspace, target), signal.SIGKILL)
        killed.append(target)
        return
    with _ONE_RESTART_AT_A_TIME:  # or the next kill would hit the start that follows this one
        os.kill(_pid(system.workspace, target), signal.SIGKILL)
        killed.append(target)
        system.up()


def _pid(workspace: Workspace, target: str) -> int:
    """The living process of a role; waits where somebody else was killed just before."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        running = workspace.running()
        if running is not None:
            pid = running.supervisor if target == _SUPERVISOR else running.roles[target].pid
            if pid is not None and Path(f"/proc/{pid}").exists():
                return pid
        time.sleep(0.02)
    raise AssertionError(f"{target} did not come back within a minute")
