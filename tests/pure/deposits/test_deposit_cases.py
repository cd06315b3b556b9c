"""Every case of the list: from the answer of a node to what becomes of the money."""

import ast
from pathlib import Path

import pytest

from tests.pure.deposits.case import Case, Elsewhere, outcome_of
from tests.pure.deposits.listed import CASES, ELSEWHERE, page

_ROOT = Path(__file__).parents[3]
_PAGE = _ROOT / "docs/deposit-cases.md"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case(case: Case) -> None:
    assert case.answers
    for number, raw in enumerate(case.answers):
        assert outcome_of(raw) == case.outcome, f"answer {number}: {raw}"


def test_no_number_is_missing_and_none_is_there_twice() -> None:
    names = sorted(one.name for one in (*CASES, *ELSEWHERE))
    assert names == sorted(f"D{number:02}" for number in range(1, len(names) + 1))
    assert len(names) >= 105


@pytest.mark.parametrize("case", ELSEWHERE, ids=lambda case: case.name)
def test_what_is_decided_elsewhere_has_its_test_there(case: Elsewhere) -> None:
    path, _, name = case.test.partition("::")
    tree = ast.parse((_ROOT / path).read_text())
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, functions)}


def test_the_page_lists_them() -> None:
    told = "write it anew: python -m tests.pure.deposits.listed > docs/deposit-cases.md"
    assert _PAGE.read_text() == page(), told
