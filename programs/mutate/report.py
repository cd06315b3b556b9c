"""MUTANTS.md: which check was taken away and which test noticed; read back as hints."""

import re
from dataclasses import dataclass
from pathlib import Path

from programs.mutate.site import Mutant

_BETWEEN = re.compile(r" (?<!\\)\| ")
_HEADING = re.compile(r"^### `([\w/.]+)`$")
_INTRODUCTION = """# The mutation run

`scripts/mutate-program` takes each check of the program away in turn (the `if` that refuses, each
operand of its condition, each comparison at its edge, each `check…()?`, `expect…()?` and
`require…()?`, the load of each account, each account's `signer` and `writable`, the length of the
data, the number of accounts, each sum that must fit) and runs the tests until one fails. Below, for
every check, the first test that failed. Names after `cargo test` are host tests of the rules;
all others are in `tests/program`. This page is written by that command; a test holds the list
equal to the checks in the sources.

Not taken away, because nothing would compile without them: that eight bytes name a known
instruction, and that there are enough accounts. The macros in `accounts.rs` are tried where they
are used. `syscalls.rs` is the runtime's table.
"""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one mutant: the test that caught it, or None."""

    mutant: Mutant
    killer: str | None


def write_report(
    path: Path, outcomes: list[Outcome], explained: dict[tuple[str, str, str], str]
) -> None:
    """Write the page."""
    caught = [each for each in outcomes if each.killer is not None]
    equal = [each for each in outcomes if each.killer is None and each.mutant.key in explained]
    alive = [each for each in outcomes if each.killer is None and each.mutant.key not in explained]
    lines = [_INTRODUCTION, f"{len(outcomes)} mutants: {len(caught)} caught, {len(equal)} that"]
    lines[-1] += f" change nothing anybody could see, {len(alive)} surviving.\n"
    if alive:
        lines += ["## Surviving\n", *_table(alive, explained)]
    if equal:
        lines += ["## Without effect, and why\n", *_table(equal, explained)]
    lines += ["## Caught\n", *_table(caught, explained)]
    path.write_text("\n".join(lines).rstrip() + "\n")


def _table(outcomes: list[Outcome], explained: dict[tuple[str, str, str], str]) -> list[str]:
    lines: list[str] = []
    file = ""
    for each in sorted(outcomes, key=lambda outcome: outcome.mutant.number):
        mutant = each.mutant
        if mutant.file != file:
            file = mutant.file
            lines += [*([""] if lines else []), f"### `{file}`\n"]
            lines += ["| in | taken away | first test that failed |", "|---|---|---|"]
        told = f"`{each.killer}`" if each.killer else explained.get(mutant.key, "none")
        lines.append(f"| `{mutant.function}` | {_escaped(mutant.what)} | {_escaped(told)} |")
    return [*lines, ""]


def read_report(path: Path) -> dict[tuple[str, str, str], str]:
    """What the page says, by mutant: the test (in backticks) or the reason."""
    rows: dict[tuple[str, str, str], str] = {}
    file = ""
    for line in path.read_text().splitlines() if path.exists() else []:
        heading = _HEADING.match(line)
        row = _BETWEEN.split(line.removeprefix("| ").removesuffix(" |"))
        if heading is not None:
            file = heading[1]
        elif len(row) == 3 and row[0].startswith("`"):
            function, what, told = (cell.replace("\\|", "|") for cell in row)
            rows[file, function.strip("`"), what] = told
    return rows


def hint_of(told: str | None) -> list[str]:
    """The test named on the page, without its backticks."""
    return [told.strip("`")] if told and told.startswith("`") else []


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
