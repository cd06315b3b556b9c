"""The ledger's benchmark runs through, small, and what it reports is what happened."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench import __main__ as command
from tests.bench.ledger import Plan, Results, bars_of, measure, ratio_of
from tests.bench.ledger_meter import Reading, client_seconds, server_seconds
from tests.bench.ledger_server import SLOW_SYNC_MS, CannotSlowSyncs, slow_sync_library

SMALL = Plan(
    users=50,
    hosts=5,
    seconds=0.2,
    plain_seconds=1,
    plain=(1,),
    sharded=(2,),
    in_flight=(2, 100),
    one_user=(10,),
    by_id=(10,),
    verified=(10,),
)


@pytest.mark.skipif(shutil.which("cc") is None, reason="slowing syncs needs a C compiler")
def test_a_small_run_reports_every_part_of_right_books(tmp_path: Path) -> None:
    measured = measure(tmp_path, slow_sync=True, plan=SMALL)
    results = measured.results
    quick = {"plain_1", "plain64_2", "ours_2", "ours_100", "ours_one_user_10"}
    quick |= {"ours_by_id_10", "ours_verified_10"}
    slow = {"slow_plain_1", "slow_plain64_2", "slow_ours_100"}
    whole = {"ratio", "books", "slow_ratio", "slow_books", "run"}
    assert set(results) == quick | slow | whole
    for name in quick | slow:
        figures = results[name]
        assert figures["requests"] > 0
        assert 0 < figures["p50_ms"] <= figures["p99_ms"]
        assert figures["wal_bytes_per_request"] > 100
        assert figures["server_cpu_us_per_request"] > 0
    assert results["ours_100"]["operations_per_commit"] > results["ours_2"]["operations_per_commit"]
    assert results["slow_books"]["commit_median_ms"] >= SLOW_SYNC_MS
    assert results["slow_plain_1"]["p50_ms"] >= SLOW_SYNC_MS
    unmet = {bar.name for bar in measured.bars if not bar.met}
    assert not unmet & {"failed", "broken_rules", "slow_commit_ms"}
    assert not list(tmp_path.iterdir())


def _results(own: float, plain: float, p99_ms: float = 1.0) -> Results:
    """A report of nothing but what the bars look at."""
    results: Results = {
        "plain_1": {"requests_per_second": plain},
        "plain_8": {"requests_per_second": plain / 2},
        "plain64_8": {"requests_per_second": 2 * plain},
        "ours_100": {"requests_per_second": own, "p99_ms": p99_ms, "failed": 0},
        "books": {"broken_rules": 0},
    }
    return {**results, "ratio": ratio_of(results)}


def test_ours_is_compared_with_the_best_of_each_plain_design() -> None:
    assert _results(own=20_000, plain=4_000)["ratio"] == {
        "best_plain_requests_per_second": 4_000,
        "times_best_plain": 5.0,
        "best_plain64_requests_per_second": 8_000,
        "times_best_plain64": 2.5,
    }


def test_bars_are_missed_one_by_one() -> None:
    def missed(results: Results) -> list[str]:
        return [bar.name for bar in bars_of(results) if not bar.met]

    good = _results(own=20_000, plain=4_000)
    assert missed(good) == []
    assert missed(_results(own=15_500, plain=4_000)) == ["times_best_plain"]
    assert missed(_results(own=14_900, plain=3_000)) == ["requests_per_second"]
    assert missed(_results(own=20_000, plain=4_000, p99_ms=25.1)) == ["p99_ms"]
    assert missed({**good, "plain_1": {"failed": 1}}) == ["failed"]
    assert missed({**good, "books": {"broken_rules": 1}}) == ["broken_rules"]
    slow: Results = {"slow_ratio": {"times_best_plain": 19.9}}
    quick: Results = {"slow_books": {"commit_median_ms": 4.9}}
    assert missed({**good, **slow, **quick}) == ["slow_times_best_plain", "slow_commit_ms"]


def test_costs_are_differences_for_each_request() -> None:
    before = Reading(
        wal_bytes=1_000,
        heap_bytes=8_192,
        index_bytes=0,
        checkpoints=0,
        client_seconds=1.0,
        server_seconds=2.0,
    )
    after = Reading(
        wal_bytes=11_000,
        heap_bytes=16_384,
        index_bytes=8_192,
        checkpoints=0,
        client_seconds=1.5,
        server_seconds=4.0,
    )
    assert after.per_request(before, 10) == {
        "wal_bytes_per_request": 1_000,
        "heap_bytes_per_request": 819,
        "index_bytes_per_request": 819,
        "client_cpu_us_per_request": 50_000,
        "server_cpu_us_per_request": 200_000,
    }


def test_work_of_children_counts_while_they_run_and_after() -> None:
    before, client_before = server_seconds(os.getpid()), client_seconds()
    spin = "import time; exec('while time.process_time() < 0.3: pass')"
    child = subprocess.Popen(
        [sys.executable, "-c", spin + "; print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    child.stdout.readline()
    running = server_seconds(os.getpid())
    assert running - before >= 0.25
    child.communicate(b"\n")
    assert server_seconds(os.getpid()) >= running
    assert client_seconds() - client_before >= 0.25


def test_slow_syncs_are_refused_without_a_compiler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CannotSlowSyncs):
        slow_sync_library(tmp_path)


def test_slow_syncs_are_for_the_ledger(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", "start", "--slow-sync"])
    with pytest.raises(SystemExit):
        command.main()
    assert "--slow-sync is for the ledger" in capsys.readouterr().err
