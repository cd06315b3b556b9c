"""Starting, stopping and killing the posting process of a drill."""

import asyncio
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.database.ledger_drills.posting_process import Journal
from tests.wire.waiting import eventually

ROOT = Path(__file__).parents[3]


@dataclass(kw_only=True)
class Life:
    """One process, and the folder where it writes down what it does."""

    folder: Path
    process: asyncio.subprocess.Process

    @classmethod
    async def begin(cls, dsn: str, folder: Path, *, seed: int, batch_size: int) -> "Life":
        """It has opened its writer and goes on from the journal."""
        lives = epochs(folder)
        module = f"{__package__}.posting_process"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module, dsn, str(folder), str(seed), str(batch_size)),
            cwd=ROOT,
            stdout=asyncio.subprocess.DEVNULL,
        )
        await eventually(lambda: epochs(folder) > lives, timeout_seconds=60)
        return cls(folder=folder, process=process)

    def answers(self) -> int:
        """How many answers all lives have had."""
        return lines(self.folder / "told")

    async def more(self, count: int) -> None:
        """Return once there are so many more."""
        reached = self.answers() + count
        await eventually(lambda: self.answers() >= reached, timeout_seconds=60)

    def freeze(self) -> None:
        """It stands still until it is woken."""
        os.kill(self.process.pid, signal.SIGSTOP)

    def wake(self) -> None:
        """It goes on as if no time had passed."""
        os.kill(self.process.pid, signal.SIGCONT)

    async def kill(self) -> int:
        """SIGKILL; how much it had asked and not been told of."""
        self.process.kill()
        await self.process.wait()
        return len(Journal(self.folder).unanswered)

    async def end(self) -> int:
        """Let it come to an end by itself; its exit code."""
        (self.folder / "enough").touch()
        return await asyncio.wait_for(self.process.wait(), 60)


def epochs(folder: Path) -> int:
    """How many lives there were."""
    return len(list(folder.glob("epoch*")))


def lines(path: Path) -> int:
    """How many lines a file has; none when it is not there yet."""
    return path.read_bytes().count(b"\n") if path.exists() else 0
