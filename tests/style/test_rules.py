"""Rules no linter of others knows: where time is read, what files are called, what errors say."""

import ast
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

from settlement import errors
from tests.style.sources import PACKAGES, ROOT, package_files, python_files, tracked

BANNED_WORDS = {"utils", "util", "helpers", "helper", "common", "service", "services", "manager"}
KINDS = (errors.Refused, errors.Conflict, errors.NotFound, errors.Unavailable)
# What only one workplace has: a registry's address, a path of the machine it was written on.
_PRIVATE = re.compile(
    r"https?://[a-z0-9.-]*(pypi|npmjs|crates\.io|debian\.org|pythonhosted)[a-z0-9./-]*"
    r"|registry\+http|sparse\+http|(?<![\w.])/(work|farm)/",
    re.IGNORECASE,
)


@pytest.mark.parametrize("path", package_files(), ids=str)
def test_no_file_is_called_by_what_it_is_not(path: Path) -> None:
    assert not BANNED_WORDS & set(re.split(r"[_./]", str(path).lower()))


def test_the_root_packages_are_the_ones_known() -> None:
    roots = {path.parts[0] for path in python_files() if len(path.parts) > 1}
    assert roots - {"tests", "programs"} == set(PACKAGES)


@pytest.mark.parametrize("path", package_files("settlement", "indexer", "coordinator"), ids=str)
def test_wall_time_is_read_in_one_place(path: Path) -> None:
    if path == Path("settlement/clock.py"):
        return
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            called = f"{node.value.id}.{node.attr}"
            assert called not in {"datetime.now", "datetime.utcnow", "time.time", "date.today"}, (
                f"{path}:{node.lineno} reads the clock: take a Clock"
            )


@pytest.mark.parametrize("path", package_files("settlement", "indexer", "coordinator"), ids=str)
def test_the_environment_is_read_in_one_place(path: Path) -> None:
    if path == Path("settlement/settings.py"):
        return
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            called = f"{node.value.id}.{node.attr}"
            assert called not in {"os.environ", "os.getenv"}, f"{path}:{node.lineno} reads {called}"


@pytest.mark.parametrize("path", package_files("settlement", "indexer", "coordinator"), ids=str)
def test_only_transaction_makes_a_tx(path: Path) -> None:
    if path == Path("settlement/db/pool.py"):
        return
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "Tx", f"{path}:{node.lineno} makes a Tx: use transaction(pool)"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            assert node.func.attr not in {"commit", "rollback"}, (
                f"{path}:{node.lineno} ends a transaction: the edge does"
            )


@pytest.mark.parametrize("path", python_files(), ids=str)
def test_nobody_patches_by_path_or_silences_the_type_checker(path: Path) -> None:
    text = (ROOT / path).read_text()
    assert ("mock" + ".patch") not in text, f"{path} patches by path: hand in a fake"
    if path.parts[0] in PACKAGES:
        assert ("# type" + ": ignore") not in text, f"{path} silences the type checker"


def test_every_error_says_something_and_has_one_kind() -> None:
    for package in ("settlement", "indexer", "coordinator"):
        module = importlib.import_module(package)
        for found in pkgutil.walk_packages(module.__path__, f"{package}."):
            if not found.name.endswith("__main__"):
                importlib.import_module(found.name)
    leaves = [kind for kind in _descendants(errors.PodError) if kind not in KINDS]
    assert len(leaves) > 10
    for leaf in leaves:
        assert (leaf.__doc__ or "").strip(), f"{leaf.__name__} has no docstring: it is its message"
        assert sum(issubclass(leaf, kind) for kind in KINDS) == 1, f"{leaf.__name__}: one kind"


def _descendants(kind: type[errors.PodError]) -> set[type[errors.PodError]]:
    direct = set(kind.__subclasses__())
    return direct.union(*(_descendants(child) for child in direct))


@pytest.mark.parametrize("path", tracked("*"), ids=str)
def test_nothing_names_a_registry_or_this_machine(path: Path) -> None:
    if path.suffix in {".so", ".png"} or path == Path("tests/style/test_rules.py"):
        return
    found = _PRIVATE.search((ROOT / path).read_text(errors="replace"))
    assert found is None, f"{path} has {found.group() if found else ''}"


@pytest.mark.parametrize("path", tracked("scripts/*"), ids=str)
def test_every_script_has_help(path: Path) -> None:
    assert "--help" in (ROOT / path).read_text(), f"{path} does not answer --help"
