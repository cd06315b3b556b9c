"""Where a throw-away Postgres keeps its files: in memory when there is room, else on disk.

A test's database is a copy of about 800 small files. In memory that takes 30 ms; on the disk of a
busy machine it was seen to take a second.
"""

import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_MEMORY: Final = Path("/dev/shm")
# Several test processes at once, each with a server and a few databases of 11 MB.
_ROOM_BYTES: Final = 4 * 1024**3


@contextmanager
def throwaway_directory(memory: Path = _MEMORY) -> Generator[Path]:
    """A new folder that is gone afterwards; what killed test processes left is removed first."""
    ours = memory / f"podledger-tests-{os.getuid()}"
    if not _has_room(memory):
        with tempfile.TemporaryDirectory(prefix="podledger-tests-") as made:
            yield Path(made)
        return
    ours.mkdir(mode=0o711, exist_ok=True)
    for left in ours.iterdir():
        if not _alive(left.name.partition("-")[0]):
            shutil.rmtree(left, ignore_errors=True)
    made = tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=ours)
    try:
        yield Path(made)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _has_room(memory: Path) -> bool:
    return os.access(memory, os.W_OK) and shutil.disk_usage(memory).free >= _ROOM_BYTES


def _alive(pid: str) -> bool:
    return Path("/proc", pid).exists()
