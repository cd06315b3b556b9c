"""`pod up`: start everything, in this terminal or in the background.

In the background the very same command runs in a session of its own with its output in
`log/supervisor.log`; this process shows that log until `run.json` says the system is healthy.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from cli.options import (
    DEFAULT_DIRECTORY,
    DEFAULT_LOCALNET,
    AsJson,
    Directory,
    LocalnetFile,
    give_up,
    summary,
    workspace_at,
)
from cli.supervisor.child import CannotStart, rotate
from cli.workspace import Running, Workspace

_WAIT_SECONDS = 240.0
_POLL_SECONDS = 0.05


def up(
    directory: Directory = DEFAULT_DIRECTORY,
    localnet: LocalnetFile = DEFAULT_LOCALNET,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return when everything is healthy.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Start everything and show one status line per role; Ctrl-C stops it.

    Where a system already runs, say where it listens and exit 0.
    """
    workspace = workspace_at(directory)
    if workspace.owner() is not None:
        _tell(wait_until_healthy(workspace, None), as_json)
    elif detach:
        running = start_in_background(workspace, localnet)
        _tell(running, as_json)
    else:
        _run_here(workspace, localnet, as_json)


def _run_here(workspace: Workspace, localnet: Path, as_json: bool) -> None:
    # Who only starts a system in the background waits for it, and needs none of this.
    from cli.supervisor import foreground

    workspace.prepare()
    lock = workspace.own()
    if lock is None:
        _tell(wait_until_healthy(workspace, None), as_json)
        return

    def told(running: Running, say: Callable[[str], None]) -> None:
        if as_json:
            print(running.as_json(), end="", flush=True)
        if sys.stderr.isatty():  # in the background, who started us tells it
            say(summary(running))
            say("Ctrl-C stops it")
        say("healthy")

    with lock:
        try:
            foreground.run(workspace, localnet, told)
        except CannotStart as error:
            give_up(str(error))


def start_in_background(workspace: Workspace, localnet: Path) -> Running:
    """Start a system that outlives this command; return once it is healthy."""
    workspace.prepare()
    log = workspace.logs / "supervisor.log"
    rotate(log)
    command = [sys.executable, "-P", "-m", "cli", "up"]
    command += ["--directory", str(workspace.directory), "--localnet", str(localnet.absolute())]
    with log.open("ab") as output:
        begin = output.tell()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    with log.open(errors="replace") as shown:
        shown.seek(begin)
        running = wait_until_healthy(workspace, process, lambda: _copy(shown.read()))
        _copy(shown.read())
    return running


def _copy(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def wait_until_healthy(
    workspace: Workspace,
    process: "subprocess.Popen[bytes] | None",
    meanwhile: Callable[[], None] = lambda: None,
) -> Running:
    """What `run.json` says once it is there. Ends this command when it will never be."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while (running := workspace.running()) is None:
        meanwhile()
        if process is not None and process.poll() is not None:
            meanwhile()
            give_up(f"the supervisor ended with code {process.returncode}")
        if process is None and workspace.owner() is None:
            give_up("the system that was starting here has ended: see its log/supervisor.log")
        if time.monotonic() > deadline:
            give_up(f"not healthy after {_WAIT_SECONDS:.0f} s: see {workspace.logs}")
        time.sleep(_POLL_SECONDS)
    return running


def _tell(running: Running, as_json: bool) -> None:
    if as_json:
        print(running.as_json(), end="", flush=True)
        return
    for name, role in running.roles.items():
        print(f"{name:<12} pid {role.pid}  {role.url or ''}")
    print(summary(running))
