"""`bench start`: how long `pod up --detach` takes, for the first time, again, and when it is up.

The demo's time stands beside them: all of it is what a newcomer waits for.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench.harness import Bar, Measured
from tests.e2e.system import check_story, demo_report, running_system

AGAIN_SECONDS = 5.0
DEMO_SECONDS = 60.0
SLOT_TIME_MS = 200  # what localnet.toml says; tests are quicker


def measure(directory: Path) -> Measured:
    """Start, tell the story, stop, start again, and once more while it is up."""
    with (
        tempfile.TemporaryDirectory(dir=directory, prefix="start-") as place,
        running_system(Path(place), slot_time_ms=SLOT_TIME_MS) as system,
    ):
        first = _timed(system.up)
        demo = _timed(lambda: check_story(demo_report(system.pod("demo", "--json").stdout)))
        stop = _timed(system.down)
        again = _timed(system.up)
        running = _timed(system.up)
    return Measured(
        results={
            "up": {"first_seconds": first, "again_seconds": again, "running_seconds": running},
            "demo": {"seconds": demo},
            "down": {"seconds": stop},
        },
        bars=[
            Bar(name="second_start_seconds", value=again, limit=AGAIN_SECONDS, kind="at most"),
            Bar(name="running_start_seconds", value=running, limit=AGAIN_SECONDS, kind="at most"),
            Bar(name="demo_seconds", value=demo, limit=DEMO_SECONDS, kind="at most"),
        ],
    )


def _timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return round(time.perf_counter() - begun, 2)
