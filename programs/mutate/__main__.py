"""Take each check of the on-chain program away in turn, and show which test notices.

Run through scripts/mutate-program. Writes programs/bond/MUTANTS.md after a run over all mutants.
Ends with 0 when every mutant was caught or is explained, with 1 otherwise.
"""

import argparse
import sys
import tomllib
from pathlib import Path
from typing import cast

from programs.build.failure import BuildRefused
from programs.mutate.report import Outcome, write_report
from programs.mutate.run import Run
from programs.mutate.schema import find_mutants

ROOT = Path(__file__).resolve().parents[2]
EXPLAINED = Path(__file__).with_name("explained.toml")
Key = tuple[str, str, str]


def main(words: list[str]) -> int:
    """List, or run; returns the exit status."""
    options = _parser().parse_args(words)
    root: Path = options.root.resolve()
    crate = root / "programs/bond"
    if options.list:
        for mutant in find_mutants(crate / "src")[0]:
            sys.stdout.write(f"{mutant.number} {mutant.file} {mutant.function}: {mutant.what}\n")
        return 0
    work = ROOT / "programs/build/.work/mutants"
    work.mkdir(parents=True, exist_ok=True)
    explained = read_explained()
    run = Run(
        crate=crate,
        work=work,
        tests=["tests/program"],
        root=root,
        explained=frozenset(explained),
    )
    try:
        return _run(run, options)
    except BuildRefused as why:
        sys.stderr.write(f"mutate-program: {why}\n")
        return 1


def _run(run: Run, options: argparse.Namespace) -> int:
    program = run.prepare()
    run.recall(fresh=options.fresh)
    only: list[str] = options.only or []
    wanted = [each for each in run.mutants if not only or any(word in each.file for word in only)]
    run.try_host_tests(wanted)
    broken = run.try_program_tests(program, wanted, workers=options.workers)
    for name in broken:
        sys.stderr.write(f"left out, it fails without any mutant: {name}\n")
    explained = read_explained()
    outcomes = run.outcomes()
    if not only:
        write_report(run.crate / "MUTANTS.md", outcomes, explained)
    unknown = explained.keys() - {mutant.key for mutant in run.mutants}
    for key in sorted(unknown):
        sys.stderr.write(f"explained, but there is no such mutant: {key}\n")
    alive = [each for each in outcomes if _survives(each, explained)]
    sys.stdout.write(f"{len(outcomes)} mutants, {len(alive)} surviving\n")
    return 1 if alive or broken else 0


def _survives(outcome: Outcome, explained: dict[Key, str]) -> bool:
    return outcome.killer is None and outcome.mutant.key not in explained


def read_explained() -> dict[Key, str]:
    """The mutants that change nothing anybody could see, and why not."""
    rows = cast("list[dict[str, str]]", tomllib.loads(EXPLAINED.read_text()).get("mutant", []))
    return {(row["file"], row["function"], row["what"]): row["why"] for row in rows}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/mutate-program", description=__doc__)
    parser.add_argument("--only", action="append", metavar="FILE", help="only files named so")
    parser.add_argument("--fresh", action="store_true", help="forget what earlier runs found")
    parser.add_argument("--list", action="store_true", help="list the mutants and end")
    parser.add_argument("--workers", type=int, default=2, help="processes at once (default 2)")
    parser.add_argument("--root", type=Path, default=ROOT, help="another checkout to try")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
