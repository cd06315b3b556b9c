"""One role's process: started, watched, restarted with back-off, stopped in time.

A child dies with the supervisor, even with a killed one: the kernel sends it SIGKILL then. Every
role is built to survive that, so nothing gentler is needed. It has a session of its own, because a
Ctrl-C in the terminal is for the supervisor, which stops its children in the right order.
"""

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

State = Literal["waiting", "starting", "ready", "unwell", "restarting", "stopping", "stopped"]

_POLL_SECONDS = 0.05
_PROBE_STARTING_SECONDS = 0.1
_PROBE_READY_SECONDS = 1.0
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 10.0
_STEADY_SECONDS = 30.0
_GRACE_SECONDS = 15.0
_LOG_KEPT_BYTES = 20_000_000
_PR_SET_PDEATHSIG = 1


class CannotStart(Exception):
    """A process, or the whole system, could not be started; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a look at a role said: whether it can work, and a line for people."""

    well: bool
    line: str


@dataclass(frozen=True, kw_only=True)
class Role:
    """What a process of the system is: how it starts, how it is, where it listens."""

    name: str
    start: Callable[[Path], subprocess.Popen[bytes]]
    probe: Callable[[], Awaitable[Finding]]
    url: str | None = None
    metrics: str | None = None
    stop_signal: signal.Signals = signal.SIGTERM


class Child:
    """The life of one role's process. `run` until `stop`; `state`, `line` tell how it is."""

    def __init__(
        self,
        role: Role,
        logs: Path,
        changed: Callable[["Child"], None],
        *,
        grace_seconds: float = _GRACE_SECONDS,
    ) -> None:
        self.role = role
        self.log = logs / f"{role.name}.log"
        self.state: State = "waiting"
        self.line = ""
        self.restarts = 0
        self.failures = 0
        self.ready = asyncio.Event()
        self._changed = changed
        self._grace_seconds = grace_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = asyncio.Event()
        self._started_at = 0.0

    @property
    def pid(self) -> int | None:
        """The number of the process that runs now."""
        return self._process.pid if self._process and self._process.poll() is None else None

    async def run(self) -> None:
        """Keep the process running until `stop` is called."""
        while not self._stopping.is_set():
            try:
                self._launch()
            except (OSError, CannotStart) as error:
                self._ended(f"could not be started: {error}")
            else:
                await self._watch()
            if not self._stopping.is_set():
                await self._pause()
        self._become("stopped", "")

    async def stop(self) -> None:
        """End the process: politely first, after a while not."""
        self._stopping.set()
        process = self._process
        if process is None or process.poll() is not None:
            return
        self._become("stopping", "")
        process.send_signal(self.role.stop_signal)
        deadline = time.monotonic() + self._grace_seconds
        while process.poll() is None:
            if time.monotonic() > deadline:
                process.kill()
            await asyncio.sleep(_POLL_SECONDS)

    def kill(self) -> None:
        """End the process at once."""
        self._stopping.set()
        if self._process and self._process.poll() is None:
            self._process.kill()

    def _launch(self) -> None:
        rotate(self.log)
        self._started_at = time.monotonic()
        self._process = self.role.start(self.log)
        self._become("starting", "")

    async def _watch(self) -> None:
        assert self._process is not None
        look_at = 0.0
        while (code := self._process.poll()) is None:
            if time.monotonic() >= look_at and not self._stopping.is_set():
                await self._look()
                pause = _PROBE_READY_SECONDS if self.state == "ready" else _PROBE_STARTING_SECONDS
                look_at = time.monotonic() + pause
            await asyncio.sleep(_POLL_SECONDS)
        if not self._stopping.is_set():
            self._ended(f"ended {_told(code)}")

    async def _look(self) -> None:
        finding = await self.role.probe()
        if self._stopping.is_set() or self.pid is None:
            return
        if finding.well:
            self.failures = 0
            self.ready.set()
            self._become("ready", finding.line)
        elif self.ready.is_set():
            self._become("unwell", finding.line)
        else:
            self._become("starting", finding.line)

    def _ended(self, how: str) -> None:
        if time.monotonic() - self._started_at > _STEADY_SECONDS:
            self.failures = 0
        self.failures += 1
        self.restarts += 1
        self.ready.clear()
        self._become("restarting", how)

    async def _pause(self) -> None:
        pause = min(_FIRST_PAUSE_SECONDS * 2 ** (self.failures - 1), _LONGEST_PAUSE_SECONDS)
        try:
            await asyncio.wait_for(self._stopping.wait(), pause)
        except TimeoutError:
            return

    def _become(self, state: State, line: str) -> None:
        if (state, line) != (self.state, self.line):
            self.state, self.line = state, line
            self._changed(self)


def spawn(
    command: Sequence[str], environment: Mapping[str, str], log: Path
) -> subprocess.Popen[bytes]:
    """Start a process that writes to `log` and dies with us."""
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            env={**os.environ, **environment, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_dying_with(os.getpid()),
        )


def rotate(log: Path) -> None:
    """Keep one old file when the log has grown large."""
    if log.exists() and log.stat().st_size > _LOG_KEPT_BYTES:
        log.replace(log.with_suffix(".log.1"))


def _dying_with(parent: int) -> Callable[[], None] | None:
    """What a child runs before it becomes its program: it asks to die with `parent`."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)

    return ask


def _told(code: int) -> str:
    """An exit code in words."""
    if code < 0:
        return f"by {signal.Signals(-code).name}"
    return f"with code {code}"
