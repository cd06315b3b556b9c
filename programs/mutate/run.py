"""The run: build once, try every mutant in two workers, remember what is known.

Outcomes are kept by the hash of the mutated sources, so a broken-off run goes on where it stopped.
"""

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

from programs.build.artifacts import Crate, Recipe, compile_program
from programs.build.failure import BuildRefused
from programs.build.source_tree import tree_hash
from programs.build.toolchain import find_toolchain
from programs.mutate.host import build_host_tests, host_killer, is_rule
from programs.mutate.report import Outcome, hint_of, read_report
from programs.mutate.schema import TRACE, find_mutants, write_mutated_crate
from programs.mutate.site import Mutant
from programs.mutate.trial import PROGRAM_VARIABLE

# They test the build, or compute that the mutated program uses more of, not the checks.
_LEFT_OUT = ("test_build*", "test_compute*", "test_mutants*")


@dataclass(kw_only=True)
class Run:
    """One run over the mutants of one crate."""

    crate: Path
    work: Path
    tests: list[str]
    root: Path
    mutants: list[Mutant] = field(default_factory=list[Mutant])
    tree: str = ""
    known: dict[int, str | None] = field(default_factory=dict[int, "str | None"])

    def prepare(self) -> Path:
        """Write and build the mutated crate; returns its program."""
        self.mutants, edits = find_mutants(self.crate / "src")
        copy = self.work / "crate"
        write_mutated_crate(self.crate, copy, edits)
        self.tree = tree_hash(self.crate / "src")
        program = self.work / f"mutated-{tree_hash(copy / 'src')[:16]}.so"
        if not program.exists():
            toolchain = find_toolchain()
            built = compile_program(toolchain, Crate(root=copy), self.work / "build", Recipe())
            program.write_bytes(built)
        return program

    def recall(self, *, fresh: bool) -> None:
        """What an earlier run over these very sources found."""
        if fresh or not self._outcomes_path.exists():
            self._outcomes_path.unlink(missing_ok=True)
            return
        numbers = {mutant.key: mutant.number for mutant in self.mutants}
        for line in self._outcomes_path.read_text().splitlines():
            tree, key, killer = cast("tuple[str, list[str], str | None]", json.loads(line))
            number = numbers.get((key[0], key[1], key[2]))
            if tree == self.tree and number is not None and killer is not None:
                self.known[number] = killer

    def try_host_tests(self, wanted: Iterable[Mutant]) -> None:
        """The rules first: their own tests are quickest."""
        binary = build_host_tests(self.work / "crate", self.work / "host")
        if (failed := host_killer(binary, 0)) is not None:
            raise BuildRefused(f"{failed} fails without any mutant")
        for mutant in wanted:
            if is_rule(mutant.file) and mutant.number not in self.known:
                killer = host_killer(binary, mutant.number)
                if killer is not None:
                    self._note(mutant, killer)

    def try_program_tests(self, program: Path, wanted: list[Mutant], *, workers: int) -> list[str]:
        """All others, against the built program; returns the tests that fail without a mutant."""
        hints = read_report(self.crate / "MUTANTS.md")
        left: queue.SimpleQueue[Mutant] = queue.SimpleQueue()
        todo = [mutant for mutant in wanted if mutant.number not in self.known]
        for mutant in todo:
            left.put(mutant)
        if not todo:
            return []
        pool = [
            Worker(program, self.work / f"worker-{place}.so", self.tests, self.root)
            for place in range(workers)
        ]
        broken, reaching = _first_runs(pool)
        done = Progress(len(todo), len(wanted) - len(todo))

        def serve(worker: Worker) -> None:
            while not left.empty():
                try:
                    mutant = left.get_nowait()
                except queue.Empty:
                    break
                told = hint_of(hints.get(mutant.key))
                request = {"words": _words(mutant), "hints": told, "skip": broken}
                request["only"] = reaching.get(mutant.number, [])
                answer = worker.ask({"number": mutant.number, **request})
                killer = answer["killer"]
                self._note(mutant, killer if isinstance(killer, str) else None)
                done.step(mutant, survived=killer is None)
            worker.end()

        threads = [threading.Thread(target=serve, args=(each,)) for each in pool]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        done.end()
        return broken

    def outcomes(self) -> list[Outcome]:
        """Every mutant that was tried."""
        return [
            Outcome(mutant=mutant, killer=self.known[mutant.number])
            for mutant in self.mutants
            if mutant.number in self.known
        ]

    @property
    def _outcomes_path(self) -> Path:
        return self.work / "outcomes.jsonl"

    def _note(self, mutant: Mutant, killer: str | None) -> None:
        bare = killer.rsplit("tests/program/", 1)[-1] if killer else None
        self.known[mutant.number] = bare
        row = [self.tree, mutant.key, bare]
        with self._outcomes_path.open("a") as file:
            file.write(json.dumps(row) + "\n")


class Worker:
    """One pytest process that serves trials."""

    def __init__(self, program: Path, patched: Path, tests: list[str], root: Path) -> None:
        patched.write_bytes(program.read_bytes())
        ignored = [f"--ignore-glob=*{name}" for name in _LEFT_OUT]
        command = [sys.executable, "-m", "programs.mutate.trial", str(program), *tests, *ignored]
        # Imports must see the tree that is tested, and the tool's own modules.
        paths = os.pathsep.join([str(root), str(Path(__file__).parents[2])])
        self._process = subprocess.Popen(
            command,
            cwd=root,
            env={**os.environ, PROGRAM_VARIABLE: str(patched), "PYTHONPATH": paths},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        ready = self._read()
        if ready["errors"]:
            raise BuildRefused("the tests cannot be collected")

    def ask(self, request: dict[str, object]) -> dict[str, object]:
        """Try one mutant."""
        stdin = cast("IO[str]", self._process.stdin)
        stdin.write(json.dumps(request) + "\n")
        stdin.flush()
        return self._read()

    def end(self) -> None:
        """No more requests."""
        cast("IO[str]", self._process.stdin).close()
        self._process.wait()

    def _read(self) -> dict[str, object]:
        line = cast("IO[str]", self._process.stdout).readline()
        if not line:
            raise BuildRefused("a worker ended: do the tests collect?")
        return cast("dict[str, object]", json.loads(line))


def _first_runs(pool: list[Worker]) -> tuple[list[str], dict[int, list[str]]]:
    """All tests without a mutant: which fail; and with the trace: which tests reach which check."""
    failed: list[str] = []

    def baseline() -> None:
        failed.extend(cast("list[str]", pool[0].ask({"number": 0, "all": True})["failed"]))

    sys.stderr.write("all tests once without a mutant, and once more for what each reaches\n")
    thread = threading.Thread(target=baseline)
    thread.start()
    if len(pool) == 1:
        thread.join()
    answer = cast("list[str]", pool[-1].ask({"number": TRACE, "all": True})["failed"])
    thread.join()
    reaching: dict[int, list[str]] = {}
    for test, numbers in cast("dict[str, list[int]]", json.loads(answer[0])).items():
        for number in numbers:
            reaching.setdefault(number, []).append(test)
    return failed, reaching


class Progress:
    """One line on the terminal, and one for every survivor."""

    def __init__(self, total: int, known: int) -> None:
        self._total, self._done, self._survived = total, 0, 0
        if known:
            sys.stderr.write(f"{known} known from before\n")

    def step(self, mutant: Mutant, *, survived: bool) -> None:
        """One more is known."""
        self._done += 1
        if survived:
            self._survived += 1
            place = f"{mutant.file} {mutant.function}"
            sys.stderr.write(f"\rsurvives: {mutant.number} {place}: {mutant.what}\n")
        filled = 40 * self._done // self._total
        bar = "#" * filled + "." * (40 - filled)
        sys.stderr.write(f"\r[{bar}] {self._done}/{self._total}, {self._survived} surviving ")
        sys.stderr.flush()

    def end(self) -> None:
        """The line is final."""
        sys.stderr.write("\n")


def _words(mutant: Mutant) -> list[str]:
    """What the name of a test for it may hold."""
    stem = Path(mutant.file).stem
    return [stem, *stem.split("_"), mutant.function]
