"""The indexer as it runs in production, a process of its own, and what the kernel says of it."""

import contextlib
import os
import resource
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cli.workspace import ROOT
from settlement.chain.program import Deployment
from tests.conftest import free_port

CLUSTER = "localnet"
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_KB_PER_MB = 1_024
_STOP_SECONDS = 20
# Places in /proc/<pid>/stat after the name in parentheses: user, system, and those of the ended.
_TIMES = slice(11, 15)


@dataclass(frozen=True, kw_only=True)
class Running:
    """An indexer that runs."""

    process: "subprocess.Popen[bytes]"
    log: Path
    began_seconds: float  # perf_counter

    @property
    def _all(self) -> list[int]:
        """It and the processes it has now."""
        own = self.process.pid
        children = Path(f"/proc/{own}/task/{own}/children").read_text().split()
        return [own, *map(int, children)]

    def memory_mb(self, field: str) -> float:
        """VmRSS (now) or VmHWM (the most there was) of all its processes, from the kernel."""
        kilobytes = 0
        for pid in self._all:
            with contextlib.suppress(FileNotFoundError, StopIteration):  # one that has just ended
                status = Path(f"/proc/{pid}/status").read_text()
                line = next(line for line in status.splitlines() if line.startswith(field))
                kilobytes += int(line.split()[1])
        return round(kilobytes / _KB_PER_MB, 1)

    @property
    def cpu_seconds(self) -> float:
        """What all its processes have used, those that have ended too."""
        ticks = 0
        for pid in self._all:
            with contextlib.suppress(FileNotFoundError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                ticks += sum(map(int, fields[_TIMES]))
        return ticks / _TICKS_PER_SECOND

    def check_alive(self) -> None:
        """Raise with the end of its log when it has ended."""
        if self.process.poll() is not None:
            raise AssertionError("the indexer ended:\n" + self.log.read_text()[-4_000:])


@contextmanager
def running_indexer(
    *,
    dsn: str,
    rpc_url: str,
    ws_url: str | None,
    deployment: Deployment,
    payer: str,
    log: Path,
    more: Mapping[str, str] | None = None,
) -> Generator[Running]:
    """Start `python -m indexer follow` with nothing but the needed settings; stop it at the end."""
    settings = {
        "DATABASE_URL": dsn,
        "POD_RPC_URLS": rpc_url,
        "POD_CLUSTER": CLUSTER,
        "POD_PROGRAM_ID": str(deployment.program_id),
        "POD_USDC_MINT": str(deployment.mint),
        "POD_PAYER_ADDRESS": payer,
        "POD_METRICS_LISTEN": f"127.0.0.1:{free_port()}",
        **({} if ws_url is None else {"POD_WS_URL": ws_url}),
        **(more or {}),
    }
    inherited = {name: text for name, text in os.environ.items() if not name.startswith("POD_")}
    with log.open("wb") as file:
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "indexer", "follow"],
            cwd=ROOT,
            env={**inherited, **settings},
            stderr=file,
        )
        try:
            yield Running(process=process, log=log, began_seconds=began)
        finally:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def own_cpu_seconds() -> float:
    """What this process has used, its children aside."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
