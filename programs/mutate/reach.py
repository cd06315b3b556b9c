"""Which tests reach which checks, kept by the contents of each test file."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from programs.mutate.order import short
from programs.mutate.schema import TRACE
from programs.mutate.site import Mutant
from programs.mutate.worker import Pool, Worker

Key = tuple[str, str, str]


@dataclass(kw_only=True)
class Reach:
    """What is known, and how to learn the rest."""

    store: Path
    root: Path
    mutants: Sequence[Mutant]
    failing: set[str] = field(default_factory=set[str])
    _files: dict[str, dict[str, list[Key]]] = field(default_factory=dict[str, dict[str, list[Key]]])

    def learn(self, pool: Pool) -> None:
        """Run the files not known yet with the tracing program."""
        self._recall()
        files: dict[str, list[str]] = {}
        for test in pool.tests:
            files.setdefault(test.split("::")[0], []).append(short(test))
        unknown = {
            file: tests for file, tests in files.items() if self._stamp(file) not in self._files
        }
        keys = {mutant.number: mutant.key for mutant in self.mutants}

        def trace(worker: Worker, file: str) -> str | None:
            request = {"number": TRACE, "all": True, "only": unknown[file]}
            answer = worker.ask(request)
            reached = cast("dict[str, list[int]]", answer["reached"])
            failed = [short(name) for name in cast("list[str]", answer["failed"])]
            self.failing.update(failed)
            if reached and not failed:
                self._files[self._stamp(file)] = {
                    short(test): [keys[number] for number in numbers]
                    for test, numbers in reached.items()
                }
            return f"fails without any mutant: {failed[0]}" if failed else None

        pool.each("what each test reaches", sorted(unknown), trace)
        self._keep()

    def of(self, mutant: Mutant) -> list[str]:
        """The tests that reach it."""
        return [
            test
            for tests in self._files.values()
            for test, keys in tests.items()
            if mutant.key in keys
        ]

    def _stamp(self, file: str) -> str:
        """What was learned holds for this text of the file and this list of mutants."""
        keys = repr([mutant.key for mutant in self.mutants]).encode()
        return f"{file} {_digest((self.root / file).read_bytes())} {_digest(keys)}"

    def _recall(self) -> None:
        if self.store.exists():
            kept = cast("dict[str, object]", json.loads(self.store.read_text()))
            table = [cast("Key", tuple(key)) for key in cast("list[list[str]]", kept["keys"])]
            files = cast("dict[str, dict[str, list[int]]]", kept["files"])
            self._files = {
                stamp: {test: [table[place] for place in places] for test, places in tests.items()}
                for stamp, tests in files.items()
            }

    def _keep(self) -> None:
        table = sorted({key for keys in self._all() for key in keys})
        places = {key: place for place, key in enumerate(table)}
        files = {
            stamp: {test: [places[key] for key in keys] for test, keys in tests.items()}
            for stamp, tests in self._files.items()
        }
        self.store.write_text(json.dumps({"keys": table, "files": files}))

    def _all(self) -> Iterable[list[Key]]:
        return (keys for tests in self._files.values() for keys in tests.values())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:24]
