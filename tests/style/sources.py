"""Which files the style tests look at: those git knows, and new ones it does not ignore."""

import ast
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("settlement", "indexer", "coordinator", "localnet", "cli")


@cache
def tracked(*patterns: str) -> list[Path]:
    """Paths relative to the root; deleted files are left out."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    return sorted({Path(p) for p in listed.split("\0") if p and (ROOT / p).is_file()})


def python_files() -> list[Path]:
    """Every Python file of the project, tests too."""
    return tracked("*.py")


def rust_files() -> list[Path]:
    """Every Rust file of the program."""
    return tracked("*.rs")


def package_files(*packages: str) -> list[Path]:
    """The Python files of the packages named (all of ours by default)."""
    wanted = packages or PACKAGES
    return [path for path in python_files() if path.parts[0] in wanted]


@cache
def text_of(path: Path) -> str:
    """What stands in a file; bytes that are no text are replaced."""
    return (ROOT / path).read_text(errors="replace")


@cache
def tree_of(path: Path) -> ast.Module:
    """The file's syntax tree."""
    return ast.parse(text_of(path))
