"""A function fits on a screen and a file has one job: limits, held for Python and Rust."""

import ast
import re
from pathlib import Path

import pytest

from tests.style.sources import ROOT, python_files, rust_files, tracked

FILE_LINES = 400
FUNCTION_LINES = 60
_RUST_FUNCTION = re.compile(
    r"^\s*(pub(\([a-z]+\))? )?(const |unsafe |extern \"C\" )*fn (?P<name>\w+)"
)


@pytest.mark.parametrize("path", [*python_files(), *rust_files(), *tracked("*.sql")], ids=str)
def test_a_file_stops_at_four_hundred_lines(path: Path) -> None:
    if path.name == "schema.sql":
        return  # the whole truth of a package's tables, readable top to bottom, is one file
    lines = (ROOT / path).read_text().count("\n")
    assert lines <= FILE_LINES, f"{path} has {lines} lines"


@pytest.mark.parametrize("path", python_files(), ids=str)
def test_a_python_function_fits_on_a_screen(path: Path) -> None:
    tree = ast.parse((ROOT / path).read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= FUNCTION_LINES, f"{path}:{node.lineno} {node.name} has {lines} lines"


@pytest.mark.parametrize("path", rust_files(), ids=str)
def test_a_rust_function_fits_on_a_screen(path: Path) -> None:
    lines = (ROOT / path).read_text().splitlines()
    for number, line in enumerate(lines):
        opened = _RUST_FUNCTION.match(line)
        if opened is None:
            continue
        indent = len(line) - len(line.lstrip())
        closing = " " * indent + "}"
        length = next(
            (i for i, text in enumerate(lines[number:], 1) if text.rstrip() == closing), 1
        )
        assert length <= FUNCTION_LINES, f"{path}:{number + 1} {opened['name']} has {length} lines"
