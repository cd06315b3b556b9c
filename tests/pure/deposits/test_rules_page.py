"""docs/deposits.md: every rule has its test, and the test is there."""

import ast
import re
from pathlib import Path

_ROOT = Path(__file__).parents[3]
_RULE = re.compile(r"^- ", re.MULTILINE)
_TEST = re.compile(r"<!-- test: (?P<path>\S+)::(?P<name>\w+) -->")


def rules() -> list[str]:
    """Each rule of the page, with the comments behind it."""
    _, *found = _RULE.split((_ROOT / "docs/deposits.md").read_text())
    return found


def test_every_rule_names_its_test() -> None:
    assert len(rules()) > 15
    assert [rule for rule in rules() if not _TEST.search(rule)] == []


def test_every_test_named_is_there() -> None:
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    for named in _TEST.finditer("".join(rules())):
        tree = ast.parse((_ROOT / named["path"]).read_text())
        names = {node.name for node in ast.walk(tree) if isinstance(node, functions)}
        assert named["name"] in names, named[0]
