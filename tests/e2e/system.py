"""A whole system of a test's own: directory, ports, chain; driven by the real commands."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.supervisor.ports import free_port
from cli.workspace import ROOT, Running, Workspace

_COMMAND_SECONDS = 280


@dataclass(frozen=True, kw_only=True)
class TestSystem:
    """Where it is, and how the commands find it."""

    __test__ = False

    workspace: Workspace
    environment: dict[str, str]

    def pod(self, *words: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end; its output is in the message when it fails."""
        done = subprocess.run(
            [sys.executable, "-P", "-m", "cli", *words],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=_COMMAND_SECONDS,
            check=False,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"pod {' '.join(words)}: {done.returncode}\n{self.told(done)}")
        return done

    def start(self, *words: str) -> "subprocess.Popen[str]":
        """Start a command whose stderr tells its progress."""
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "cli", *words],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def up(self) -> Running:
        """Bring it up; it may be up already."""
        return Running.from_json(self.pod("up", "--detach", "--json").stdout)

    def down(self) -> None:
        """Stop it; it may be down already."""
        self.pod("down")

    def told(self, done: "subprocess.CompletedProcess[str]") -> str:
        """What a failed command said, and the end of each role's log."""
        parts = [done.stdout[-2_000:], done.stderr[-4_000:]]
        for log in sorted(self.workspace.logs.glob("*.log")):
            tail = log.read_text(errors="replace").splitlines()[-12:]
            parts.append("\n".join([f"--- {log.name}", *tail]))
        return "\n".join(parts)


_CHEAP = (
    ("max_concurrent = 4", "max_concurrent = 256"),
    ("input_per_1m = 2_000_000_000", "input_per_1m = 1_000_000"),
    ("output_per_1m = 8_000_000_000", "output_per_1m = 1_000_000"),
)


def make_system(
    directory: Path, *, cheap_tokens: bool = False, slot_time_ms: int = 80
) -> TestSystem:
    """Write the settings of a system with ports of its own; nothing is started.

    With `cheap_tokens` a deposit lasts for millions, and the provider takes many requests.
    """
    text = (ROOT / "localnet.toml").read_text()
    for old, new in (
        ("rpc_port = 8899", f"rpc_port = {free_port()}"),
        ("slot_time_ms = 200", f"slot_time_ms = {slot_time_ms}"),
        ('path = "programs', f'path = "{ROOT}/programs'),
        *(_CHEAP if cheap_tokens else ()),
    ):
        assert old in text, f"localnet.toml no longer says {old}"
        text = text.replace(old, new)
    directory.mkdir(parents=True, exist_ok=True)
    localnet = directory / "localnet.toml"
    localnet.write_text(text)
    own = {
        "POD_DIRECTORY": str(directory / "pod"),
        "POD_LOCALNET": str(localnet),
        "POD_COORDINATOR_LISTEN": f"127.0.0.1:{free_port()}",
    }
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name != "DATABASE_URL" and not name.startswith("POD_")
    }
    return TestSystem(
        workspace=Workspace(directory=directory / "pod"), environment={**inherited, **own}
    )


@contextmanager
def running_system(
    directory: Path, *, cheap_tokens: bool = False, slot_time_ms: int = 80
) -> Generator[TestSystem]:
    """A system that is down when we leave, whatever happened."""
    system = make_system(directory, cheap_tokens=cheap_tokens, slot_time_ms=slot_time_ms)
    try:
        yield system
    finally:
        owner = system.workspace.owner()
        if owner is not None:
            system.pod("down", check=False)
            if system.workspace.owner() == owner:
                os.kill(owner, signal.SIGKILL)


def check_story(report: dict[str, Any]) -> None:
    """What `demo --json` must say, in integers."""
    requests: Sequence[dict[str, Any]] = report["requests"]
    assert len(requests) == 10
    assert {request["streamed"] for request in requests} == {True, False}
    for request in requests:
        assert request["operator"] + request["treasury"] == request["gross"]
        assert request["treasury"] == request["gross"] * 2_000 // 10_000
    assert sum(request["gross"] for request in requests) >= 10_000_000
    assert len({request["id"] for request in requests}) == 10
    assert report["withdrawal"]["amount"] >= sum(request["operator"] for request in requests)
    assert report["bond"]["amount"] == 50_000_000
    assert report["bond"]["released"]
    assert report["reconcile"]["slot"] > 0
    vaults = {vault["name"]: vault for vault in report["reconcile"]["vaults"]}
    assert set(vaults) == {"till", "bond"}
    for vault in vaults.values():
        assert vault["books"] == vault["chain"]
        assert vault["difference"] == 0
    names = [step["name"] for step in report["steps"]]
    assert len(names) >= 20
    assert all("name" in step and "id" in step and "amount" in step for step in report["steps"])


def demo_report(stdout: str) -> dict[str, Any]:
    """The one object that `demo --json` printed."""
    return json.loads(stdout)
