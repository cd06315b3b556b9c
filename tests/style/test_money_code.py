"""Money is integers: no float and no true division where money is computed."""

import ast
from pathlib import Path

import pytest

from tests.style.sources import ROOT, package_files

MONEY = (
    "settlement/money.py",
    "settlement/charges.py",
    "settlement/deposits.py",
    "settlement/withdrawals.py",
    "settlement/ledger/",
    "settlement/bonds/",
    "settlement/payouts/",
    "settlement/reconcile/",
    "settlement/reports/",
    "coordinator/meter.py",
    "coordinator/match.py",
    "indexer/decode",
    "indexer/apply",
)
# Seconds to wait are not money; the names say so.
_DURATION = "_seconds"


def money_files() -> list[Path]:
    return [path for path in package_files() if str(path).startswith(MONEY)]


def test_money_code_is_there() -> None:
    assert len(money_files()) > 10


@pytest.mark.parametrize("path", money_files(), ids=str)
def test_no_float_and_no_true_division(path: Path) -> None:
    tree = ast.parse((ROOT / path).read_text())
    durations = _nodes_of_durations(tree)
    for node in ast.walk(tree):
        if node in durations:
            continue
        where = f"{path}:{getattr(node, 'lineno', '?')}"
        if isinstance(node, ast.BinOp | ast.AugAssign):
            assert not isinstance(node.op, ast.Div), f"{where} divides with /: use // or divmod"
        if isinstance(node, ast.Name):
            assert node.id != "float", f"{where} names float"
        if isinstance(node, ast.Constant):
            assert not isinstance(node.value, float), f"{where} has a float literal"


def _nodes_of_durations(tree: ast.AST) -> set[ast.AST]:
    """Everything inside the value or annotation of a name that ends in `_seconds`."""
    found: set[ast.AST] = set()
    for node in ast.walk(tree):
        name = ""
        if isinstance(node, ast.arg | ast.keyword):
            name = node.arg or ""
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name = node.target.id
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
        if name.lower().endswith(_DURATION):
            found.update(ast.walk(node))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = [*node.args.kwonlyargs, *node.args.args]
            defaults = [*node.args.kw_defaults, *node.args.defaults]
            if any(argument.arg.endswith(_DURATION) for argument in arguments):
                found.update(sub for value in defaults if value for sub in ast.walk(value))
    return found
