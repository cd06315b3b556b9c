"""A function fits on a screen and a file has one job: limits, held for Python, Rust and SQL."""

import ast
import re
from collections.abc import Iterator

from tests.style.sources import python_files, rust_files, text_of, tracked, tree_of

FILE_LINES = 400
FUNCTION_LINES = 60
# The whole truth of a package's tables is one file, read from top to bottom.
WHOLE_TRUTH = "schema.sql"
_RUST_FUNCTION = re.compile(
    r"^\s*(pub(\([a-z]+\))? )?(const |unsafe |extern \"C\" )*fn (?P<name>\w+)"
)


def test_a_file_stops_at_four_hundred_lines() -> None:
    files = [*python_files(), *rust_files(), *tracked("*.sql")]
    lines = {path: text_of(path).count("\n") for path in files if path.name != WHOLE_TRUTH}
    assert [f"{path}: {n}" for path, n in lines.items() if n > FILE_LINES] == []


def test_a_python_function_fits_on_a_screen() -> None:
    long: list[str] = []
    for path in python_files():
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES:
                    long.append(f"{path}:{node.lineno} {node.name}: {lines}")
    assert long == []


def test_a_rust_function_fits_on_a_screen() -> None:
    long = [
        f"{path}:{at} {name}: {lines}"
        for path in rust_files()
        for at, name, lines in rust_functions(text_of(path).splitlines())
        if lines > FUNCTION_LINES
    ]
    assert long == []


def rust_functions(lines: list[str]) -> Iterator[tuple[int, str, int]]:
    """Line, name and length of each function, by the indent of its closing brace."""
    for number, line in enumerate(lines):
        opened = _RUST_FUNCTION.match(line)
        if opened is None:
            continue
        closing = line[: len(line) - len(line.lstrip())] + "}"
        ends = (i for i, text in enumerate(lines[number:], 1) if text.rstrip() == closing)
        yield number + 1, opened["name"], next(ends, 1)


def test_the_rust_reader_sees_a_long_function() -> None:
    lines = [
        "pub fn short() {",
        "}",
        "impl X {",
        "    fn long(&self) {",
        *["    x"] * 70,
        "    }",
        "}",
    ]
    assert list(rust_functions(lines)) == [(1, "short", 2), (4, "long", 72)]
