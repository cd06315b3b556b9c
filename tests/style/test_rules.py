"""Rules no linter of others knows: where time is read, what files are called, what errors say."""

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

from settlement import errors
from tests.style.sources import PACKAGES, package_files, python_files, text_of, tracked, tree_of

SERVICES = ("settlement", "indexer", "coordinator")
BANNED_WORDS = {"utils", "util", "helpers", "helper", "common", "service", "services", "manager"}
KINDS = (errors.Refused, errors.Conflict, errors.NotFound, errors.Unavailable)
WALL_TIME = {"datetime.now", "datetime.utcnow", "date.today", "time.time", "time.time_ns"}
ENVIRONMENT = {"os.environ", "os.getenv"}
# What only one workplace has: a registry's address, a path of the machine it was written on.
_PRIVATE = re.compile(
    r"https?://[a-z0-9.-]*(pypi|npmjs|crates\.io|debian\.org|pythonhosted)[a-z0-9./-]*"
    r"|registry\+http|sparse\+http|(?<![\w.])/(work|farm)/",
    re.IGNORECASE,
)
_BINARY = {".so", ".png"}
_THIS = Path("tests/style/test_rules.py")


def test_no_file_is_called_by_what_it_is_not() -> None:
    words = {path: set(re.split(r"[_./]", str(path).lower())) for path in package_files()}
    assert [str(path) for path, found in words.items() if BANNED_WORDS & found] == []


def test_the_root_packages_are_the_ones_known() -> None:
    roots = {path.parts[0] for path in python_files() if len(path.parts) > 1}
    assert roots - {"tests", "programs"} == set(PACKAGES)


def test_wall_time_is_read_in_one_place() -> None:
    assert list(_uses(WALL_TIME, but=Path("settlement/clock.py"))) == []


def test_the_environment_is_read_in_one_place() -> None:
    assert list(_uses(ENVIRONMENT, but=Path("settlement/settings.py"))) == []


def _uses(names: set[str], *, but: Path) -> Iterator[str]:
    for path in package_files(*SERVICES):
        for node in ast.walk(tree_of(path)):
            match node:
                case ast.Attribute(value=ast.Name(id=owner), attr=attribute):
                    if f"{owner}.{attribute}" in names and path != but:
                        yield f"{path}:{node.lineno} reads {owner}.{attribute}"
                case _:
                    pass


def test_only_transaction_makes_a_tx_and_ends_it() -> None:
    found: list[str] = []
    for path in package_files(*SERVICES):
        for node in ast.walk(tree_of(path)):
            match node:
                case ast.Call(func=ast.Name(id="Tx")) if path != Path("settlement/db/pool.py"):
                    found.append(f"{path}:{node.lineno} makes a Tx: use transaction(pool)")
                case ast.Call(func=ast.Attribute(attr="commit" | "rollback")):
                    found.append(f"{path}:{node.lineno} ends a transaction: the edge does")
                case _:
                    pass
    assert found == []


def test_nobody_patches_by_path_or_silences_the_type_checker() -> None:
    patched = [str(path) for path in python_files() if ("mock" + ".patch") in text_of(path)]
    silenced = [str(path) for path in package_files() if ("# type" + ": ignore") in text_of(path)]
    assert (patched, silenced) == ([], [])


def test_every_error_says_something_and_has_one_kind() -> None:
    for package in SERVICES:
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


def test_nothing_names_a_registry_or_this_machine() -> None:
    found: list[str] = []
    for path in tracked("*"):
        if path.suffix not in _BINARY and path != _THIS:
            found += [f"{path}: {hit.group()}" for hit in _PRIVATE.finditer(text_of(path))]
    assert found == []


def test_every_script_has_help() -> None:
    scripts = tracked("scripts/*")
    assert [str(path) for path in scripts if "--help" not in text_of(path)] == []


def test_tests_do_not_sleep_away_a_condition() -> None:
    found: list[str] = []
    for path in tracked("tests/*.py"):
        if path.parts[1] == "e2e":
            continue  # a kill comes at a seeded moment: there the wait is the input
        for node in ast.walk(tree_of(path)):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="time"), attr="sleep")):
                    if not _inside_a_wait(path, node):
                        found.append(f"{path}:{node.lineno}")
                case _:
                    pass
    assert found == []


def _inside_a_wait(path: Path, sleep: ast.Call) -> bool:
    """Whether a sleep only paces a loop that looks at a condition."""
    loops = [node for node in ast.walk(tree_of(path)) if isinstance(node, ast.While)]
    return any(sleep in ast.walk(loop) for loop in loops)
