"""The diagrams of docs/bond-life.md are the tables of the code."""

import re
from pathlib import Path
from typing import Final

import pytest

from settlement.bonds import rules
from settlement.cranks import states

PAGE: Final = Path(__file__).parents[2] / "docs" / "bond-life.md"
_ARROW: Final = re.compile(r"^    (\S+) --> (\S+?)(?:: (.+))?$", re.MULTILINE)
START_OR_END: Final = "[*]"
Arrow = tuple[str, str, str]


def diagrams() -> list[set[Arrow]]:
    """Every arrow of each diagram: from, to, and one event on it."""
    drawn = re.findall(r"```mermaid\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return [
        {
            (start, end, event)
            for start, end, events in _ARROW.findall(text)
            if end != START_OR_END
            for event in (events or end).split(", ")
        }
        for text in drawn
    ]


def test_the_life_of_a_bond() -> None:
    table = {
        (START_OR_END if state is rules.BondState.NONE else state.value, end.value, event.value)
        for (state, event), end in rules.TRANSITIONS.items()
    }
    assert diagrams()[0] == table


def test_the_life_of_a_crank() -> None:
    table = {
        (state.value, end.value, event.value)
        for (state, event), end in states.TRANSITIONS.items()
        if state is not end
    }
    assert diagrams()[1] == table | {(START_OR_END, "waiting", "waiting")}


@pytest.mark.parametrize(
    "page", [PAGE, PAGE.with_name("scheduled-payouts.md")], ids=lambda page: page.name
)
def test_every_test_a_page_names_is_there(page: Path) -> None:
    named = re.findall(r"<!-- test: (\S+?\.py)(?:::(\w+))? -->", page.read_text())
    assert named
    for path, function in named:
        text = (PAGE.parents[1] / path).read_text()
        assert not function or f"def {function}(" in text, (path, function)
