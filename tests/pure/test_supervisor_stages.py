"""Stages: up from below, down from above, and a clear end when a role never becomes ready."""

import subprocess
import sys
from pathlib import Path

import pytest

from cli.supervisor.child import CannotStart, Child, Finding, Role, State, spawn
from cli.supervisor.stages import Stages

_SLEEPS = "import time; time.sleep(60)"
_CRASHES = "import sys; sys.exit('I need a setting that is not there')"


class _Heard:
    """The states that were told, in their order."""

    def __init__(self) -> None:
        self.states: list[tuple[str, State]] = []

    def __call__(self, child: Child) -> None:
        self.states.append((child.role.name, child.state))

    def before(self, first: tuple[str, State], second: tuple[str, State]) -> bool:
        return self.states.index(first) < self.states.index(second)


def _role(name: str, program: str = _SLEEPS, *, well: bool = True) -> Role:
    def start(log: Path) -> subprocess.Popen[bytes]:
        return spawn([sys.executable, "-c", program], {}, log)

    async def probe() -> Finding:
        return Finding(well=well, line="")

    return Role(name=name, start=start, probe=probe)


async def test_a_stage_starts_when_the_one_below_is_ready_and_stops_before_it(
    tmp_path: Path,
) -> None:
    heard = _Heard()
    stages = Stages(tmp_path, heard)
    below = stages.add([_role("database"), _role("chain")])
    above = stages.add([_role("service")])
    try:
        await stages.bring_up(below)
        assert ("service", "starting") not in heard.states
        await stages.bring_up(above)
        assert all(child.state == "ready" for child in stages)
    finally:
        await stages.stop()
    assert heard.before(("service", "stopped"), ("database", "stopping"))
    assert all(child.pid is None for child in stages)


async def test_a_role_that_never_gets_ready_ends_the_start_with_its_log(tmp_path: Path) -> None:
    stages = Stages(tmp_path, _Heard())
    stage = stages.add([_role("good"), _role("bad", _CRASHES, well=False)])
    try:
        with pytest.raises(CannotStart, match=r"bad does not start \(ended with code 1\)") as told:
            await stages.bring_up(stage)
        assert "I need a setting that is not there" in str(told.value)
    finally:
        await stages.stop()


async def test_everything_can_be_ended_at_once(tmp_path: Path) -> None:
    stages = Stages(tmp_path, _Heard())
    await stages.bring_up(stages.add([_role("one"), _role("two")]))
    stages.kill()
    await stages.stop()
    assert all(child.state == "stopped" for child in stages)
