"""The run: build once, try every mutant in two workers, remember what is known.

Outcomes are kept by the hash of the mutated sources, so a broken-off run goes on where it stopped.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from programs.build.artifacts import Crate, Recipe, compile_program
from programs.build.failure import BuildRefused
from programs.build.source_tree import tree_hash
from programs.build.toolchain import find_toolchain
from programs.mutate.host import build_host_tests, host_killer, is_rule
from programs.mutate.order import short
from programs.mutate.reach import Reach
from programs.mutate.report import Outcome, hint_of, read_report
from programs.mutate.schema import find_mutants, write_mutated_crate
from programs.mutate.site import Mutant
from programs.mutate.worker import Pool, Worker

Key = tuple[str, str, str]
# A mutant that is said to change nothing is tried with the likeliest tests only.
MOST_FOR_EXPLAINED = 60


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
    explained: frozenset[Key] = frozenset()
    before: dict[Key, str] = field(default_factory=dict[Key, str])

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
        if not self._outcomes_path.exists():
            return
        numbers = {mutant.key: mutant.number for mutant in self.mutants}
        for line in self._outcomes_path.read_text().splitlines():
            tree, words, killer = cast("tuple[str, list[str], str | None]", json.loads(line))
            key = (words[0], words[1], words[2])
            if killer is not None:
                self.before[key] = killer
                if tree == self.tree and key in numbers and not fresh:
                    self.known[numbers[key]] = killer

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
        if all(mutant.number in self.known for mutant in wanted):
            return []
        pool = Pool(
            [
                Worker(program, self.work / f"worker-{place}.so", self.tests, self.root)
                for place in range(workers)
            ]
        )
        self._try_hints(pool, wanted)
        reach = Reach(store=self.work / "reach.json", root=self.root, mutants=self.mutants)
        if any(mutant.number not in self.known for mutant in wanted):
            reach.learn(pool)
        self._try_all(pool, wanted, reach)
        broken = self._distrust(pool)
        pool.end()
        return sorted({*broken, *reach.failing})

    def _try_hints(self, pool: Pool, wanted: list[Mutant]) -> None:
        """What caught a mutant before most often does again."""
        page = read_report(self.crate / "MUTANTS.md")
        hints = {mutant.number: hint_of(page.get(mutant.key)) for mutant in wanted}
        for mutant in wanted:
            hints[mutant.number] += [self.before[mutant.key]] if mutant.key in self.before else []
        todo = [each for each in wanted if each.number not in self.known and hints[each.number]]

        def serve(worker: Worker, mutant: Mutant) -> str | None:
            answer = worker.ask({"number": mutant.number, "only": hints[mutant.number]})
            if isinstance(killer := answer["killer"], str):
                self._note(mutant, killer)
            return None

        pool.each("caught by what caught it before", todo, serve)

    def _try_all(self, pool: Pool, wanted: list[Mutant], reach: Reach) -> None:
        """Every test that reaches it, until one fails."""
        todo = [mutant for mutant in wanted if mutant.number not in self.known]

        def serve(worker: Worker, mutant: Mutant) -> str | None:
            tests = [test for test in reach.of(mutant) if test not in reach.failing]
            request = {"number": mutant.number, "words": _words(mutant), "only": tests}
            if mutant.key in self.explained:
                request["most"] = MOST_FOR_EXPLAINED
            killer = worker.ask(request)["killer"]
            self._note(mutant, killer if isinstance(killer, str) else None)
            place = f"{mutant.number} {mutant.file} {mutant.function}"
            if killer and mutant.key in self.explained:
                return f"explained, but caught: {mutant.what}"
            if killer or mutant.key in self.explained:
                return None
            return f"survives {len(tests)} tests: {place}: {mutant.what}"

        pool.each("mutants", todo, serve)

    def _distrust(self, pool: Pool) -> list[str]:
        """A test that fails without any mutant has caught none."""
        killers = {killer for killer in self.known.values() if killer and "::" in killer}
        failed: set[str] = set()

        def serve(worker: Worker, names: list[str]) -> str | None:
            answer = worker.ask({"number": 0, "all": True, "only": names})
            failed.update(short(name) for name in cast("list[str]", answer["failed"]))
            return None

        names = sorted(killers)
        halves = [names[place::20] for place in range(20)]
        pool.each("the same tests without a mutant", [each for each in halves if each], serve)
        for number, killer in self.known.items():
            if killer in failed:
                self.known[number] = None
        return sorted(failed)

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
        bare = short(killer) if killer else None
        self.known[mutant.number] = bare
        row = [self.tree, mutant.key, bare]
        with self._outcomes_path.open("a") as file:
            file.write(json.dumps(row) + "\n")


def _words(mutant: Mutant) -> list[str]:
    """What the name of a test for it may hold."""
    stem = Path(mutant.file).stem
    return [stem, *stem.split("_"), mutant.function]
