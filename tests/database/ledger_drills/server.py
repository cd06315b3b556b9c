"""A durable server of a drill's own, and how all of it is killed at once."""

import asyncio
import os
import signal
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from localnet import postgres
from tests.conftest import free_port


class DurableServer:
    """Commits are on disk when they are answered; `kill` leaves nothing of it running."""

    def __init__(self, directory: Path) -> None:
        self.cluster = postgres.Cluster(directory=directory / "postgres", port=free_port())
        postgres.create(self.cluster)
        self._log = self.cluster.directory / "log"
        self._process = postgres.start(self.cluster, log=self._log)
        postgres.wait_ready(self.cluster, self._process)

    def kill(self) -> None:
        """SIGKILL for the postmaster and every process it made, before any can say goodbye."""
        postmaster = self._process.pid
        os.kill(postmaster, signal.SIGSTOP)  # it makes no more of them
        children = _children(postmaster)
        for pid in (postmaster, *children):
            os.kill(pid, signal.SIGKILL)
        self._process.wait()
        while any(_runs(pid) for pid in children):
            pass

    async def start_again(self) -> None:
        """Start, recover from the log, and accept connections.

        The server ends with the thread that started it, so that is this one; another waits.
        """
        while True:
            try:
                self._process = postgres.start(self.cluster, log=self._log)
                await asyncio.to_thread(postgres.wait_ready, self.cluster, self._process)
            except postgres.PostgresFailed:
                continue  # something of the killed one still holds on to its shared memory
            return

    def stop(self) -> None:
        """In peace."""
        postgres.stop(self._process)


@contextmanager
def durable_server(directory: Path) -> Generator[DurableServer]:
    """Running until the end."""
    server = DurableServer(directory)
    try:
        yield server
    finally:
        server.stop()


def _children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in found.split()]


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in ("Z", "X")
