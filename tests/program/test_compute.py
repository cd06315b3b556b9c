"""The compute each instruction may use, and that the README tells what it does use."""

import re

import pytest

from tests.program.cases import CASES
from tests.program.compute import BUDGETS, measure
from tests.program.world import COMMITTED_PROGRAM

README = COMMITTED_PROGRAM.with_name("README.md")
_ROW = re.compile(r"^\| `(\w+)` \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|", re.M)
# Keys are drawn anew each time, and comparing two takes as long as they are alike.
TOLERANCE_UNITS = 30


def told() -> dict[str, list[int]]:
    """The README's table: by instruction its figures."""
    return {
        name: [int(figure.replace(",", "")) for figure in figures]
        for name, *figures in _ROW.findall(README.read_text())
    }


def test_every_instruction_has_a_budget_and_is_told() -> None:
    assert BUDGETS.keys() == CASES.keys() == told().keys()


@pytest.mark.parametrize("name", BUDGETS)
def test_within_its_budget_and_as_told(name: str) -> None:
    cost = measure(name)
    assert cost.at_bump_255 <= cost.budget
    found = [cost.at_bump_255, cost.worst_bump, cost.budget, cost.anchor_estimate]
    for figure, expected in zip(told()[name], found, strict=True):
        assert abs(figure - expected) <= TOLERANCE_UNITS
