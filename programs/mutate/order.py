"""Which tests to try first on a mutant: most mutants are caught by the first one run."""

import re

_LONG = re.compile(r"machine|stateful|fuzz|lives|invariants|random")


class Order:
    """The tests of one session, and how many mutants each has caught."""

    def __init__(self, names: list[str]) -> None:
        self._names = names
        self._caught: dict[str, int] = {}
        self._places = {name: place for place, name in enumerate(names)}

    def learn(self, name: str) -> None:
        """This test caught one more."""
        self._caught[name] = self._caught.get(name, 0) + 1

    def best_first(self, words: list[str], hints: list[str]) -> list[str]:
        """All tests: hinted ones, then those whose name holds a word, then by what they caught."""
        hinted = {_bare(hint): place for place, hint in enumerate(hints)}

        def rank(name: str) -> tuple[int, int, int, int, int]:
            bare = _bare(name)
            named = sum(word in name for word in words)
            return (
                hinted.get(bare, len(hinted)),
                1 if _LONG.search(name) else 0,
                -named,
                -self._caught.get(name, 0),
                self._places[name],
            )

        return sorted(self._names, key=rank)


def _bare(name: str) -> str:
    """The test without its folder."""
    return name.rsplit("/", 1)[-1]
