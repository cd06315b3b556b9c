"""What a benchmark prints has the promised shape, and a missed bar is a missed bar."""

import json
from pathlib import Path

import pytest

from tests.bench.harness import Bar, Measured, as_json, calibrate, report_of
from tests.bench.load import Answers


@pytest.mark.parametrize(
    ("bar", "met"),
    [
        (Bar(name="b", value=5, limit=5), True),
        (Bar(name="b", value=4.9, limit=5), False),
        (Bar(name="b", value=5, limit=5, kind="at most"), True),
        (Bar(name="b", value=5.1, limit=5, kind="at most"), False),
    ],
)
def test_a_bar_is_met_or_not(bar: Bar, met: bool) -> None:
    assert bar.met is met


def test_the_report_has_the_promised_parts(tmp_path: Path) -> None:
    measured = Measured(results={"x": {"y_ms": 1}}, bars=[Bar(name="b", value=1, limit=2)])
    calibration = calibrate(tmp_path)
    assert all(value > 0 for value in calibration.values())
    assert not list(tmp_path.iterdir())
    read = json.loads(as_json(report_of("loop", measured, calibration)))
    assert set(read) == {"name", "machine", "commit", "results", "bars"}
    assert read["machine"]["core_hashes_per_second"] == calibration["core_hashes_per_second"]
    assert read["bars"] == [{"name": "b", "value": 1, "limit": 2, "kind": "at least", "met": False}]


def test_figures_of_no_answers_are_zero() -> None:
    assert Answers(seconds=1.0, taken=[], failed=3).figures() == {
        "requests": 0,
        "failed": 3,
        "requests_per_second": 0.0,
        "p50_ms": 0.0,
        "p99_ms": 0.0,
    }
