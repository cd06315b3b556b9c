"""What the documents say about the tree is what the tree is."""

import re
from pathlib import Path

import pytest

from tests.style.sources import ROOT, tracked

_LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)(#[^)]*)?\)")
_TREE = re.compile(r"## Layout\n\n```\n(?P<tree>.*?)```", re.DOTALL)


def test_readme_names_every_directory_of_the_root() -> None:
    tree = _TREE.search((ROOT / "README.md").read_text())
    assert tree, "README.md has no Layout"
    named = {line.split("/")[0] for line in tree["tree"].splitlines() if "/" in line.split()[0]}
    real = {path.parts[0] for path in tracked("*") if len(path.parts) > 1}
    assert named == {name for name in real if not name.startswith(".")}


@pytest.mark.parametrize("place", ["scripts", "tests"])
def test_readme_names_what_is_in_a_directory(place: str) -> None:
    tree = _TREE.search((ROOT / "README.md").read_text())
    assert tree, "README.md has no Layout"
    line = next(line for line in tree["tree"].splitlines() if line.startswith(f"{place}/"))
    named = set(re.findall(r"[a-z0-9-]+", line.removeprefix(f"{place}/")))
    found = {path.parts[1] for path in tracked(f"{place}/*")}
    real = {name for name in found if "." not in name and (place == "scripts" or name != "bench")}
    assert real <= named, f"README.md does not name {real - named}"
    assert named - {"bench"} <= real | {"bench"}, f"README.md names {named - real}, not there"


@pytest.mark.parametrize("path", tracked("*.md"), ids=str)
def test_links_lead_somewhere(path: Path) -> None:
    for target, _ in _LINK.findall((ROOT / path).read_text()):
        assert (ROOT / path.parent / target).exists(), f"{path} links to {target}"


def test_every_decision_is_listed() -> None:
    listed = (ROOT / "docs/decisions/README.md").read_text()
    for path in tracked("docs/decisions/0*.md"):
        assert f"({path.name})" in listed, f"{path.name} is not listed"
