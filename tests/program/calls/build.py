"""Build caller.so from `caller/` by the route of programs/build, or say whether it is still right.

`python -m tests.program.calls.build` builds, with `--check` it rebuilds and compares. Needs what
scripts/build-program needs; tests only need the committed file.
"""

import hashlib
import sys
import tomllib
from pathlib import Path
from typing import Final, cast

from programs.build.artifacts import Crate, Recipe, compile_program
from programs.build.failure import BuildRefused
from programs.build.toolchain import Toolchain, find_toolchain

HERE: Final = Path(__file__).parent
CALLER: Final = HERE / "caller.so"
RECORD: Final = HERE / "caller.toml"
CRATE: Final = Crate(root=HERE / "caller")
RECIPE: Final = Recipe(sbpf="v3")
# Apart from that of the bond program: both may be built at once.
WORK: Final = HERE.parents[2] / "programs/build/.work/caller"


def checksum(program: bytes) -> str:
    """The program's SHA-256, as the record keeps it."""
    return hashlib.sha256(program).hexdigest()


def recorded() -> dict[str, str]:
    """What caller.toml says the committed program is, was made from and with."""
    return cast("dict[str, str]", tomllib.loads(RECORD.read_text()))


def facts(toolchain: Toolchain, program: bytes) -> dict[str, str]:
    """What there is to record of a fresh build."""
    return {
        "sha256": checksum(program),
        "sbpf": RECIPE.sbpf,
        **toolchain.versions,
        **CRATE.inputs(),
    }


def compile_caller(toolchain: Toolchain, work: Path) -> bytes:
    """The program's bytes, from its sources."""
    return compile_program(toolchain, CRATE, work, RECIPE)


def main(words: list[str]) -> int:
    """Build, or check; returns the exit status."""
    try:
        toolchain = find_toolchain()
        program = compile_caller(toolchain, WORK)
    except BuildRefused as why:
        sys.stderr.write(f"caller: {why}\n")
        return 1
    if "--check" in words:
        same = program == CALLER.read_bytes() and facts(toolchain, program) == recorded()
        sys.stdout.write("the committed caller\n" if same else "another caller\n")
        return 0 if same else 1
    CALLER.write_bytes(program)
    lines = ["# Written by `python -m tests.program.calls.build`: what caller.so is, from what."]
    lines += [f'{name} = "{value}"' for name, value in facts(toolchain, program).items()]
    RECORD.write_text("\n".join(lines) + "\n")
    sys.stdout.write(f"{CALLER.name}: {len(program)} bytes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
