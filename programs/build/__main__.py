"""Build the on-chain program without a Solana toolchain, or check the committed one.

Run through scripts/build-program. Ends with 0 when the committed files are (now) right, with 1
when they are not or the build refused something.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from programs.build.artifacts import (
    SETTINGS,
    Crate,
    Recipe,
    compile_program,
    find_stale,
    read_settings,
    recorded_recipe,
    write_artifacts,
)
from programs.build.bitcode import build_lock_lines
from programs.build.failure import BuildRefused
from programs.build.sysroot import UPSTREAM, solana_target
from programs.build.toolchain import Toolchain, find_toolchain

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "build/.work"
# The tests of the committed file: another compiler's program has another size and other compute.
_OF_THE_FILE = ("test_build*", "test_compute*")


def main(words: list[str]) -> int:
    """Build, or check; returns the exit status."""
    options = _parser().parse_args(words)
    crate = Crate(root=ROOT / "bond")
    try:
        if options.check:
            return _check(crate)
        if options.lock_crates:
            return _lock_crates(crate)
        if options.as_solana and options.output is None:
            raise BuildRefused("--as-solana is for trying: it needs --output")
        return _build(crate, options)
    except BuildRefused as why:
        _complain(f"build-program: {why}")
        return 1


def _build(crate: Crate, options: argparse.Namespace) -> int:
    output: Path | None = options.output
    toolchain = find_toolchain()
    recipe = Recipe(
        sbpf=options.sbpf,
        settings=read_settings(os.environ),
        target=solana_target(toolchain, WORK) if options.as_solana else UPSTREAM,
    )
    program = compile_program(toolchain, crate, WORK, recipe)
    told = f"{len(program)} bytes, SBPF {recipe.sbpf}, rustc {toolchain.rust_version}"
    if output is not None:
        output.write_bytes(program)
        _say(f"{output}: {told}")
        return 0
    write_artifacts(crate, toolchain, program, recipe)
    _say(f"{crate.program.name}: {told}")
    return 0


def _check(crate: Crate) -> int:
    stale = find_stale(crate)
    if stale:
        _complain("\n".join(stale))
        return 1
    recorded = crate.recorded()
    recipe = recorded_recipe(recorded)
    try:
        toolchain = find_toolchain()
    except BuildRefused as why:
        _say(f"not compared: {why}")
        return 0
    made_with = {name: recorded.get(name) for name in toolchain.versions}
    if made_with != toolchain.versions:
        _say(f"not compared: made with {made_with}, here is {toolchain.versions}")
        return _test_fresh(toolchain, crate, recipe)
    if compile_program(toolchain, crate, WORK, recipe) != crate.program.read_bytes():
        _complain("a rebuild gives another program")
        return 1
    _say("compared: a rebuild gives the committed program, byte for byte")
    return 0


def _test_fresh(toolchain: Toolchain, crate: Crate, recipe: Recipe) -> int:
    """Another compiler gives other bytes: then it is the behaviour that must be the same."""
    fresh = WORK / "fresh.so"
    fresh.write_bytes(compile_program(toolchain, crate, WORK, recipe))
    ignored = [f"--ignore-glob=*{name}" for name in _OF_THE_FILE]
    command = [sys.executable, "-m", "pytest", "-q", "tests/program", *ignored]
    done = subprocess.run(
        [*command, "-m", "not foreign and not nightly"],
        cwd=ROOT.parent,
        env={**os.environ, "POD_BOND_PROGRAM": str(fresh)},
        check=False,
    )
    if done.returncode != 0:
        _complain("a fresh build fails the program's tests")
        return 1
    _say("a fresh build passes the program's tests")
    return 0


def _lock_crates(crate: Crate) -> int:
    lines = build_lock_lines(find_toolchain(), crate.root, WORK)
    (crate.root / "crates.lock").write_text("\n".join(lines) + "\n")
    _say("\n".join(lines))
    return 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _complain(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _parser() -> argparse.ArgumentParser:
    settings = "What security.txt says comes from the environment: " + ", ".join(SETTINGS) + "."
    parser = argparse.ArgumentParser(
        prog="scripts/build-program", description=__doc__, epilog=settings
    )
    parser.add_argument("--sbpf", choices=("v3", "v0"), default="v3", help="bytecode version")
    parser.add_argument("--output", type=Path, help="write only the program, and there")
    parser.add_argument(
        "--check",
        action="store_true",
        help="rebuild and compare, change nothing; with another compiler than the recorded one, "
        "run the program's tests on a fresh build",
    )
    parser.add_argument(
        "--as-solana",
        action="store_true",
        help='compile with target_os = "solana", as the official tools do; with --output only',
    )
    parser.add_argument(
        "--lock-crates", action="store_true", help="record the crates' SHA-256 after a change"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
