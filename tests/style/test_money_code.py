"""Money is integers: no float and no true division where money is computed."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.style.sources import package_files, tree_of

MONEY = (
    "settlement/money.py",
    "settlement/charges/",
    "settlement/deposits.py",
    "settlement/withdrawals/",
    "settlement/ledger/",
    "settlement/bonds/",
    "settlement/payouts/",
    "settlement/cranks/",
    "settlement/schedules/",
    "settlement/reconcile/",
    "settlement/reports/",
    "coordinator/meter.py",
    "coordinator/match.py",
    "indexer/executed",
    "indexer/token",
    "indexer/memo",
    "indexer/decode",
    "indexer/silent",
    "indexer/claims",
    "indexer/attribution",
    "indexer/doors",
    "indexer/apply",
)
# Seconds to wait are not money; the names say so.
_DURATION = "_seconds"


def money_files() -> list[Path]:
    return [path for path in package_files() if str(path).startswith(MONEY)]


def test_money_code_is_there() -> None:
    assert len(money_files()) > 10


def test_no_float_and_no_true_division() -> None:
    found = [f"{path}:{line} {what}" for path in money_files() for line, what in offences(path)]
    assert found == []


def offences(path: Path) -> Iterator[tuple[int, str]]:
    """Line and offence of everything in a file that is not whole-number arithmetic."""
    tree = tree_of(path)
    durations = _nodes_of_durations(tree)
    for node in ast.walk(tree):
        if node in durations:
            continue
        match node:
            case ast.BinOp(op=ast.Div()) | ast.AugAssign(op=ast.Div()):
                yield node.lineno, "divides with /: use // or divmod"
            case ast.Name(id="float"):
                yield node.lineno, "names float"
            case ast.Constant(value=float()):
                yield node.lineno, "has a float literal"
            case _:
                pass


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
