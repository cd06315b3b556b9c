"""MUTANTS.md lists the checks of today's sources, each with a test that there is; none survives."""

import re

import pytest

from programs.mutate.__main__ import read_explained
from programs.mutate.report import hint_of, read_report
from programs.mutate.schema import find_mutants
from tests.program.world import COMMITTED_PROGRAM

CRATE = COMMITTED_PROGRAM.parent
PAGE = CRATE / "MUTANTS.md"
TESTS = COMMITTED_PROGRAM.parents[2] / "tests/program"


def test_the_page_tells_of_every_check_and_of_no_other() -> None:
    found = {mutant.key for mutant in find_mutants(CRATE / "src")[0]}
    assert read_report(PAGE).keys() == found, "scripts/mutate-program writes the page anew"
    assert len(found) > 500


def test_none_survives() -> None:
    text = PAGE.read_text()
    assert "## Surviving" not in text
    assert " 0 surviving." in text
    explained = read_explained()
    for key, told in read_report(PAGE).items():
        assert hint_of(told) or told == explained[key], key


def test_every_explanation_is_of_a_mutant() -> None:
    assert read_explained().keys() <= read_report(PAGE).keys()
    assert all(len(why) > 20 for why in read_explained().values())


@pytest.mark.parametrize("file", sorted({key[0] for key in read_report(PAGE)}))
def test_every_test_named_is_there(file: str) -> None:
    for key, told in read_report(PAGE).items():
        for name in hint_of(told) if key[0] == file else []:
            if name.startswith("cargo test "):
                module, _, function = name.removeprefix("cargo test ").rpartition("::tests::")
                path = CRATE / "src" / f"{module.replace('::', '/')}.rs"
                texts = [path.read_text()]
                texts += [each.read_text() for each in path.with_suffix("").rglob("tests.rs")]
                assert any(f"fn {function}()" in text for text in texts), name
            else:
                test, _, function = name.partition("::")
                function = re.split(r"[\[]", function)[0].split("::")[-1]
                text = (TESTS / test).read_text()
                assert re.search(rf"def {function}\(|\b{function}\b", text), name
