"""`scripts/bench NAME [--json]`: run a benchmark; exit 1 when a bar is missed."""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from cli.workspace import ROOT
from tests.bench import indexer, ledger, loop, payouts, program, start
from tests.bench.harness import Measured, Number, as_json, calibrate, report_of
from tests.bench.ledger_server import CannotSlowSyncs

BENCHMARKS: dict[str, Callable[[Path], Measured]] = {
    "indexer": indexer.measure,
    "ledger": ledger.measure,
    "loop": loop.measure,
    "payouts": payouts.measure,
    "program": program.measure,
    "start": start.measure,
}


def main() -> int:
    """Run one."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description="Run a benchmark with its baselines; 1: a bar is missed."
    )
    parser.add_argument("name", choices=sorted(BENCHMARKS))
    parser.add_argument("--json", action="store_true", help="print one object and nothing else")
    parser.add_argument(
        "--slow-sync", action="store_true", help="ledger: once more, each WAL sync taking 5 ms"
    )
    parser.add_argument("--size", type=int, help="indexer: how many signatures, for less than all")
    arguments = parser.parse_args()
    benchmark = BENCHMARKS[arguments.name]
    if arguments.slow_sync:
        if arguments.name != "ledger":
            parser.error("--slow-sync is for the ledger")
        benchmark = partial(ledger.measure, slow_sync=True)
    if arguments.size is not None:
        if arguments.name != "indexer" or arguments.size < 1:
            parser.error("--size is for the indexer, and at least 1")
        benchmark = partial(indexer.measure, plan=indexer.sized(arguments.size))
    place = ROOT / ".pod" / "bench"
    place.mkdir(parents=True, exist_ok=True)
    calibration = calibrate(place)
    try:
        measured = benchmark(place)
    except CannotSlowSyncs as why:
        parser.error(str(why))
    if arguments.json:
        print(as_json(report_of(arguments.name, measured, calibration)))
    else:
        _show(measured, calibration)
    return 0 if all(bar.met for bar in measured.bars) else 1


def _show(measured: Measured, calibration: dict[str, Number]) -> None:
    for part, figures in {"machine": calibration, **measured.results}.items():
        print(f"{part:<18}", "  ".join(f"{name} {value}" for name, value in figures.items()))
    for bar in measured.bars:
        verdict = "met" if bar.met else "MISSED"
        print(f"{verdict:<18} {bar.name} {bar.value}, {bar.kind} {bar.limit}")


if __name__ == "__main__":
    sys.exit(main())
