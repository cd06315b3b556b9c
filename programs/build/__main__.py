"""Build the on-chain program without a Solana toolchain, or check the committed one.

Run through scripts/build-program. Ends with 0 when the committed files are (now) right, with 1
when they are not or the build refused something.
"""

import argparse
import sys
from pathlib import Path

from programs.build.artifacts import Crate, compile_program, find_stale, write_artifacts
from programs.build.bitcode import build_lock_lines
from programs.build.failure import BuildRefused
from programs.build.toolchain import find_toolchain

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "build/.work"


def main(words: list[str]) -> int:
    """Build, or check; returns the exit status."""
    options = _parser().parse_args(words)
    crate = Crate(root=ROOT / "bond")
    try:
        if options.check:
            return _check(crate)
        if options.lock_crates:
            return _lock_crates(crate)
        return _build(crate, options.sbpf, options.output)
    except BuildRefused as why:
        _complain(f"build-program: {why}")
        return 1


def _build(crate: Crate, sbpf: str, output: Path | None) -> int:
    toolchain = find_toolchain()
    program = compile_program(toolchain, crate, WORK, sbpf)
    if output is not None:
        output.write_bytes(program)
        _say(f"{output}: {len(program)} bytes, SBPF {sbpf}")
        return 0
    write_artifacts(crate, toolchain, program, sbpf)
    _say(f"{crate.program.name}: {len(program)} bytes, SBPF {sbpf}, rustc {toolchain.rust_version}")
    return 0


def _check(crate: Crate) -> int:
    stale = find_stale(crate)
    if stale:
        _complain("\n".join(stale))
        return 1
    recorded = crate.recorded()
    try:
        toolchain = find_toolchain()
    except BuildRefused as why:
        _say(f"not compared: {why}")
        return 0
    made_with = {name: recorded.get(name) for name in toolchain.versions}
    if made_with != toolchain.versions:
        _say(f"not compared: made with {made_with}, here is {toolchain.versions}")
        return 0
    if compile_program(toolchain, crate, WORK, recorded["sbpf"]) != crate.program.read_bytes():
        _complain("a rebuild gives another program")
        return 1
    _say("compared: a rebuild gives the committed program, byte for byte")
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
    parser = argparse.ArgumentParser(prog="scripts/build-program", description=__doc__)
    parser.add_argument("--sbpf", choices=("v3", "v0"), default="v3", help="bytecode version")
    parser.add_argument("--output", type=Path, help="write only the program, and there")
    parser.add_argument("--check", action="store_true", help="rebuild and compare, change nothing")
    parser.add_argument(
        "--lock-crates", action="store_true", help="record the crates' SHA-256 after a change"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
