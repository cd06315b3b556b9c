"""A worker: one pytest session that tries mutants, each in a forked child, until a test fails.

Collecting and importing happen once. A child patches its own program file, runs the tests in the
order it was told, and ends at the first failure. Run by `programs.mutate`, never by hand:
requests come as JSON lines on standard input, answers go out the same way.
"""

import json
import os
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import cast

import pytest

from programs.mutate import tracing
from programs.mutate.order import Order, short
from programs.mutate.schema import TRACE, with_mutant

PROGRAM_VARIABLE = "POD_BOND_PROGRAM"
# One mutant may take so long in all its tests before it counts as not caught.
_LIMIT_SECONDS = 1_500


class Trials:
    """The pytest plugin: it takes the run loop over."""

    def __init__(self, original: Path, patched: Path, answers: int) -> None:
        self._original = original.read_bytes()
        self._patched = patched
        self._answers = os.fdopen(answers, "w", buffering=1)
        self._failed: str | None = None
        self._reached: dict[str, list[int]] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Serve requests until there are none."""
        items = {item.nodeid: item for item in session.items}
        if session.testsfailed:
            return True  # nothing was collected: the other end is told by our end
        self._answer({"tests": list(items)})
        order = Order(list(items))
        for line in sys.stdin:
            request = cast("dict[str, object]", json.loads(line))
            names = _selected(request, order)
            answer = self._try(
                int(str(request["number"])), [items[name] for name in names], request
            )
            if isinstance(answer["killer"], str):
                order.learn(answer["killer"])
            self._answer(answer)
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember the first failure."""
        if report.failed and self._failed is None:
            self._failed = report.nodeid

    def _try(
        self, number: int, items: list[pytest.Item], request: dict[str, object]
    ) -> dict[str, object]:
        """Run the tests with this check off, in a child; what it found."""
        self._patched.write_bytes(with_mutant(self._original, number))
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            signal.alarm(_LIMIT_SECONDS)
            failed = self._run(items, all_of_them=bool(request.get("all")))
            with os.fdopen(writing, "w") as answer:
                answer.write(json.dumps([failed, self._reached if number == TRACE else {}]))
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as answer:
            text = answer.read()
        os.waitpid(child, 0)
        # A child that broke has shown nothing.
        failed, reached = cast(
            "tuple[list[str], dict[str, list[int]]]", json.loads(text or "[[], {}]")
        )
        killer = failed[0] if failed else None
        return {"number": number, "killer": killer, "failed": failed, "reached": reached}

    def _run(self, items: list[pytest.Item], *, all_of_them: bool) -> list[str]:
        failed: list[str] = []
        for item, following in zip(items, [*items[1:], None], strict=False):
            self._failed = None
            tracing.REACHED.clear()
            item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
            self._reached[item.nodeid] = sorted(tracing.REACHED)
            if self._failed is not None:
                failed.append(item.nodeid)
                if not all_of_them:
                    break
        return failed

    def _answer(self, what: dict[str, object]) -> None:
        self._answers.write(json.dumps(what) + "\n")


def _selected(request: dict[str, object], order: Order) -> Iterable[str]:
    only = set(cast("list[str]", request["only"]))
    words = cast("list[str]", request.get("words", []))
    most = cast("int | None", request.get("most"))
    return [name for name in order.best_first(words) if short(name) in only][:most]


def main(words: list[str]) -> int:
    """Start the session: arguments are the unpatched program and the tests' folders or files."""
    original, *tests = words
    answers = os.dup(1)
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    tracing.install()
    plugin = Trials(Path(original), Path(os.environ[PROGRAM_VARIABLE]), answers)
    options = ["-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:logging"]
    options += ["--hypothesis-seed=0", "-m", "not nightly and not foreign", "-s", "--tb=no"]
    return int(pytest.main([*options, *tests], plugins=[plugin]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
