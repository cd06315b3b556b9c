"""A durable Postgres for one benchmark, with syncs as quick as the disk's or slowed to 5 ms.

Slowing: a few lines of C, compiled on the spot, stand before `fdatasync`, which is what this server
makes its WAL durable with (`wal_sync_method`, asserted), and let no call return in less than the
time wanted. The server then waits as it would for a slower disk, with everything else unchanged.
`commit_delay` would not do: it is a pause before the sync in which others may join, and is skipped
when nobody else is committing.
"""

import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from localnet import postgres
from tests.conftest import free_port

SLOW_SYNC_MS = 5
_COMMITS = 20
_COMMIT = "select pg_logical_emit_message(true, 'bench', 'x')"
_SHIM = """
#include <errno.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int fdatasync(int file) {
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_nsec += MILLISECONDS * 1000000L;
  until.tv_sec += until.tv_nsec / 1000000000L;
  until.tv_nsec %= 1000000000L;
  int answer = (int)syscall(SYS_fdatasync, file);
  int problem = errno;
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR) {}
  errno = problem;
  return answer;
}
"""


class CannotSlowSyncs(Exception):
    """There is no C compiler (`cc`) on this machine."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running server and the process whose children do its work."""

    cluster: postgres.Cluster
    pid: int


@contextmanager
def running_server(directory: Path, *, preload: Path | None = None) -> Generator[Server]:
    """Start a server on the data below `directory` (made when there is none), and stop it."""
    cluster = postgres.Cluster(directory=directory / "postgres", port=free_port())
    postgres.create(cluster)
    with _preloaded(preload):
        process = postgres.start(cluster, log=directory / "postgres.log")
    try:
        postgres.wait_ready(cluster, process)
        yield Server(cluster=cluster, pid=process.pid)
    finally:
        postgres.stop(process)


async def commit_milliseconds(connection: "asyncpg.Connection[asyncpg.Record]") -> float:
    """The median time of a transaction that does nothing but become durable."""
    durable = {"fsync": "on", "synchronous_commit": "on", "wal_sync_method": "fdatasync"}
    for name, value in durable.items():
        assert await connection.fetchval(f"show {name}") == value, f"{name} is not {value}"
    taken: list[float] = []
    for _ in range(_COMMITS):
        begun = time.perf_counter()
        await connection.execute(_COMMIT)
        taken.append(time.perf_counter() - begun)
    return round(statistics.median(taken) * 1_000, 3)


def slow_sync_library(directory: Path) -> Path:
    """What a server with slow syncs preloads, made in `directory`. Raises `CannotSlowSyncs`."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise CannotSlowSyncs("slowing syncs needs a C compiler (cc)")
    library = directory / "slow_sync.so"
    subprocess.run(
        [
            *(compiler, "-shared", "-fPIC", "-O2", f"-DMILLISECONDS={SLOW_SYNC_MS}"),
            *("-x", "c", "-o", str(library), "-"),
        ],
        input=_SHIM,
        text=True,
        check=True,
    )
    return library


@contextmanager
def _preloaded(library: Path | None) -> Generator[None]:
    """Children started in here load `library` before all others."""
    before = os.environ.get("LD_PRELOAD")
    assert before is None or library is None, "something is preloaded already"
    if library is not None:
        os.environ["LD_PRELOAD"] = str(library.absolute())
    try:
        yield
    finally:
        if library is not None:
            del os.environ["LD_PRELOAD"]
