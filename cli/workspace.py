"""The directory a running system lives in (`.pod`), and what it says about itself there.

One supervisor owns the directory: it holds a lock on `supervisor.lock` for as long as it lives, and
the operating system lets go of it however the supervisor ends. So a `run.json` counts only while
somebody holds the lock; one that a kill -9 left behind is stale.
"""

import fcntl
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[1]
_LOCK_TRIES = 20
_LOCK_PAUSE_SECONDS = 0.05


@dataclass(frozen=True, kw_only=True)
class RunningRole:
    """One process of a running system; addresses are URLs, None where it serves none."""

    pid: int | None
    url: str | None
    metrics: str | None


@dataclass(frozen=True, kw_only=True)
class Running:
    """What `run.json` says: where each part of a healthy system listens."""

    supervisor: int
    coordinator: str
    rpc: str
    ws: str
    database: str
    provider: str
    cluster: str
    program_id: str
    usdc_mint: str
    keys: str
    roles: dict[str, RunningRole]

    def as_json(self) -> str:
        """The text of `run.json`."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Running":
        """Read it back."""
        fields = json.loads(text)
        roles = {name: RunningRole(**role) for name, role in fields.pop("roles").items()}
        return cls(roles=roles, **fields)


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """Where a system keeps its state, logs and keys."""

    directory: Path

    @property
    def run_file(self) -> Path:
        """Where each part listens, while the system is healthy."""
        return self.directory / "run.json"

    @property
    def logs(self) -> Path:
        """One log file per role."""
        return self.directory / "log"

    @property
    def keys(self) -> Path:
        """Key files of the localnet's wallets, mode 0600."""
        return self.directory / "keys"

    @property
    def chain(self) -> Path:
        """The chain's journal and snapshots."""
        return self.directory / "localnet"

    @property
    def postgres(self) -> Path:
        """The embedded Postgres."""
        return self.directory / "postgres"

    @property
    def provider(self) -> Path:
        """The scripted provider's identity and settings."""
        return self.directory / "provider"

    @property
    def signer(self) -> Path:
        """The signer's socket; the signer makes the directory, for itself alone."""
        return self.directory / "signer"

    def prepare(self) -> None:
        """Make the directories."""
        for path in (self.directory, self.logs, self.keys, self.chain, self.provider):
            path.mkdir(parents=True, exist_ok=True)
        self.keys.chmod(0o700)

    def own(self) -> IO[str] | None:
        """Become the one supervisor here: an open file that holds the lock, or None if taken."""
        self.directory.mkdir(parents=True, exist_ok=True)
        lock = (self.directory / "supervisor.lock").open("a+")
        # Somebody who only looks (`owner`) holds the lock for a moment.
        for _ in range(_LOCK_TRIES):
            if _try(lock, fcntl.LOCK_EX):
                lock.truncate(0)
                lock.write(f"{os.getpid()}\n")
                lock.flush()
                return lock
            time.sleep(_LOCK_PAUSE_SECONDS)
        lock.close()
        return None

    def owner(self) -> int | None:
        """The pid of the living supervisor, or None."""
        try:
            with (self.directory / "supervisor.lock").open() as lock:
                if _try(lock, fcntl.LOCK_SH):
                    return None
                text = lock.read().strip()
        except FileNotFoundError:
            return None
        return int(text) if text.isdigit() else None

    def running(self) -> Running | None:
        """What runs here, once it is healthy; None when nothing does."""
        owner = self.owner()
        if owner is None:
            return None
        try:
            found = Running.from_json(self.run_file.read_text())
        except FileNotFoundError:
            return None
        return found if found.supervisor == owner else None

    def publish(self, running: Running) -> None:
        """Write `run.json` in one step: a reader sees the old text or the new one."""
        fresh = self.run_file.with_suffix(".new")
        fresh.write_text(running.as_json())
        fresh.replace(self.run_file)

    def withdraw(self) -> None:
        """Nothing healthy runs here any more."""
        self.run_file.unlink(missing_ok=True)


def _try(lock: IO[str], how: int) -> bool:
    try:
        fcntl.flock(lock, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
