"""`pod down`: stop what `pod up` started, and wait until it is gone."""

import contextlib
import os
import signal
import time

from cli.options import DEFAULT_DIRECTORY, Directory, give_up, workspace_at
from cli.workspace import Workspace

_PATIENCE_SECONDS = 60.0
_POLL_SECONDS = 0.05


def down(directory: Directory = DEFAULT_DIRECTORY) -> None:
    """Stop the running system; nothing to do is success."""
    print("stopped" if stop(workspace_at(directory)) else "nothing is running")


def stop(workspace: Workspace) -> bool:
    """End the supervisor and wait until it is gone; False when there was none."""
    pid = workspace.owner()
    if pid is None:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while workspace.owner() == pid:
        if time.monotonic() > deadline:
            give_up(f"the supervisor (pid {pid}) did not end within {_PATIENCE_SECONDS:.0f} s")
        time.sleep(_POLL_SECONDS)
    return True
