"""What every benchmark prints, and how it ends.

One object: what was measured on which machine at which commit, calibration figures that make
absolute numbers comparable, and the bars. A bar that is missed makes the command fail. Bars are
ratios to a baseline of the same run wherever they can be: those hold on any machine.
"""

import hashlib
import json
import os
import platform
import statistics
import subprocess
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from cli.workspace import ROOT

_LOOP_SECONDS = 1.0
_SYNCS = 50
_BLOCK_BYTES = 4_096

Number = int | float


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A value that must be at least, or at most, its limit."""

    name: str
    value: Number
    limit: Number
    kind: Literal["at least", "at most"] = "at least"

    @property
    def met(self) -> bool:
        """Whether it is."""
        return self.value >= self.limit if self.kind == "at least" else self.value <= self.limit


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a benchmark found; figures carry their unit in the name."""

    results: dict[str, dict[str, Number]]
    bars: list[Bar] = field(default_factory=list[Bar])


def report_of(name: str, measured: Measured, calibration: dict[str, Number]) -> dict[str, object]:
    """The object that is printed."""
    return {
        "name": name,
        "machine": {
            "system": f"{platform.system()} {platform.release()} {platform.machine()}",
            "python": platform.python_version(),
            "cores": os.cpu_count(),
            **calibration,
        },
        "commit": _commit(),
        "results": measured.results,
        "bars": [{**asdict(bar), "met": bar.met} for bar in measured.bars],
    }


def as_json(report: dict[str, object]) -> str:
    """One object."""
    return json.dumps(report, indent=2)


def calibrate(directory: Path) -> dict[str, Number]:
    """How quick one core and the disk below `directory` are right now."""
    return {
        "core_hashes_per_second": _hashes_per_second(),
        "disk_sync_median_ms": _sync_milliseconds(directory),
    }


def _hashes_per_second() -> int:
    """A fixed loop on one core: SHA-256 over its own last digest."""
    digest, count = b"", 0
    end = time.perf_counter() + _LOOP_SECONDS
    while time.perf_counter() < end:
        for _ in range(1_000):
            digest = hashlib.sha256(digest).digest()
        count += 1_000
    return round(count / _LOOP_SECONDS)


def _sync_milliseconds(directory: Path) -> float:
    """The median time to append a block and have it on the disk, as a commit does."""
    path = directory / "sync-test"
    taken: list[float] = []
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        for _ in range(_SYNCS):
            begun = time.perf_counter()
            os.write(descriptor, bytes(_BLOCK_BYTES))
            os.fsync(descriptor)
            taken.append(time.perf_counter() - begun)
    finally:
        os.close(descriptor)
        path.unlink()
    return round(statistics.median(taken) * 1_000, 3)


def _commit() -> str:
    """The commit that was measured, marked where the tree differs from it."""
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return told.stdout.strip() or "unknown"
