"""Which tests to try first on a mutant: most mutants are caught by the first one run."""

import re

_LONG = re.compile(r"machine|stateful|fuzz|lives|random")
_FOLDER = "tests/program/"


class Order:
    """The tests of one session, and how many mutants each has caught."""

    def __init__(self, names: list[str]) -> None:
        self._names = names
        self._caught: dict[str, int] = {}
        self._places = {name: place for place, name in enumerate(names)}

    def learn(self, name: str) -> None:
        """This test caught one more."""
        self._caught[name] = self._caught.get(name, 0) + 1

    def best_first(self, words: list[str]) -> list[str]:
        """All tests: those whose name holds a word, then by what they caught; long ones last."""

        def rank(name: str) -> tuple[int, int, int, int]:
            return (
                1 if _LONG.search(name) else 0,
                -sum(word in name for word in words),
                -self._caught.get(name, 0),
                self._places[name],
            )

        return sorted(self._names, key=rank)


def short(name: str) -> str:
    """The test as it is told: without the folder that all are in."""
    return name.removeprefix(_FOLDER)
