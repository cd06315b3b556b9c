"""The bars of `bench payouts`: all paid, books right, a shared message cheaper and no slower."""

import pytest

from tests.bench.harness import Number
from tests.bench.payouts import Plan, bars_of

PLAN = Plan(at_once=40)
GOOD: dict[str, Number] = {
    "paid": 40,
    "lamports_each": 5_020.0,
    "final_per_second": 10.0,
    "difference_microusdc": 0,
}
BATCHED = {**GOOD, "lamports_each": 900.0, "final_per_second": 30.0}


def missed(batched: dict[str, Number], single: dict[str, Number]) -> list[str]:
    found = bars_of({"batched": batched, "single": single}, PLAN)
    return [bar.name for bar in found if not bar.met]


def test_a_good_run_meets_every_bar() -> None:
    assert missed(BATCHED, GOOD) == []


@pytest.mark.parametrize(
    ("figure", "value", "bar"),
    [
        ("paid", 39, "unpaid"),
        ("difference_microusdc", 1, "difference_microusdc"),
        ("lamports_each", 4_000.0, "cost_of_single"),
        ("final_per_second", 9.0, "speed_of_single"),
    ],
)
def test_each_bar_can_be_missed(figure: str, value: Number, bar: str) -> None:
    assert missed({**BATCHED, figure: value}, GOOD) == [bar]


@pytest.mark.parametrize(("figure", "value"), [("paid", 39), ("difference_microusdc", 7)])
def test_the_single_ones_must_be_right_too(figure: str, value: Number) -> None:
    assert len(missed(BATCHED, {**GOOD, figure: value})) == 1
