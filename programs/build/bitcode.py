"""Step 2: the program and its crates as one file of LLVM bitcode.

The crate is copied to a stage of its own, so that nothing but the listed sources is seen. Cargo
calls a wrapper that adds our flags out of its sight: they name paths, and cargo would mix them
into symbol names. A stand-in linker keeps the single bitcode file that link-time optimisation
leaves. Crates must have the SHA-256 of `crates.lock`.
"""

import os
import shutil
import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from programs.build.failure import BuildRefused
from programs.build.source_tree import tree_hash
from programs.build.sysroot import CPU, UPSTREAM, Target, build_sysroot
from programs.build.toolchain import Toolchain

_KEEP_BITCODE = """#!/bin/sh
# Stands in for the linker: the one bitcode input becomes the output.
input= output= before=
for word in "$@"; do
    case "$word" in *.rcgu.o)
        [ -z "$input" ] || { echo "more than one bitcode file" >&2; exit 3; }
        input=$word ;;
    esac
    [ "$before" = -o ] && output=$word
    before=$word
done
cp "$input" "$output"
"""
_RUSTC = """#!/bin/sh
exec '{rustc}' --sysroot '{sysroot}' -C 'linker={linker}' -C target-cpu={cpu} \\
    --remap-path-prefix '{stage}=/bond' --remap-path-prefix '{cargo_home}=/cargo' "$@"
"""


def build_bitcode(
    toolchain: Toolchain,
    crate: Path,
    work: Path,
    *,
    settings: Mapping[str, str],
    target: Target = UPSTREAM,
) -> Path:
    """Compile the crate and return its bitcode file; `settings` is all it sees of ours."""
    stage = _stage(crate, work)
    wrapper = _write_wrappers(toolchain, work, stage, target)
    environment = {
        **{name: value for name, value in os.environ.items() if not _meant_for_us(name)},
        **settings,
        "RUSTC": str(wrapper),
        "BOND_SOURCE_TREE": f"source_tree:{tree_hash(crate / 'src')}",
        "CARGO_TARGET_DIR": str(work / "target"),
    }
    _resolve(toolchain, stage)
    check_crates(stage / "Cargo.lock", crate / "crates.lock")
    words = ["build", "--release", "--locked", *target.words]
    if target.description is not None:
        words += ["-Z", "json-target-spec"]
        environment["RUSTC_BOOTSTRAP"] = "1"
    _cargo(toolchain, words, stage, environment)
    return work / "target" / target.name / "release" / "libbond.so"


def _meant_for_us(name: str) -> bool:
    """What would change the program without being recorded."""
    return "RUSTFLAGS" in name or name.startswith("BOND_")


def build_lock_lines(toolchain: Toolchain, crate: Path, work: Path) -> list[str]:
    """What `crates.lock` should say for the crate's present pins."""
    stage = _stage(crate, work)
    _resolve(toolchain, stage)
    return crate_lines(stage / "Cargo.lock")


def check_crates(lock: Path, expected: Path) -> None:
    """Refuse any crate that is not the one recorded, by version or by hash."""
    found = crate_lines(lock)
    wanted = expected.read_text().splitlines()
    if found != wanted:
        difference = sorted(set(found) ^ set(wanted))
        raise BuildRefused("crates differ from crates.lock:\n" + "\n".join(difference))


def crate_lines(lock: Path) -> list[str]:
    """Each registry crate of a Cargo.lock as `name version sha256`, without any address."""
    packages = cast("list[dict[str, str]]", tomllib.loads(lock.read_text()).get("package", []))
    return sorted(
        f"{package['name']} {package['version']} {package['checksum']}"
        for package in packages
        if "checksum" in package
    )


def _stage(crate: Path, work: Path) -> Path:
    stage = work / "stage"
    shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir(parents=True)
    shutil.copy(crate / "Cargo.toml", stage)
    shutil.copytree(crate / "src", stage / "src")
    return stage


def _write_wrappers(toolchain: Toolchain, work: Path, stage: Path, target: Target) -> Path:
    tools = work / "bin"
    tools.mkdir(exist_ok=True)
    linker = tools / "keep-bitcode"
    linker.write_text(_KEEP_BITCODE)
    linker.chmod(0o755)
    wrapper = tools / "rustc"
    cargo_home = os.environ.get("CARGO_HOME", str(Path.home() / ".cargo"))
    wrapper.write_text(
        _RUSTC.format(
            rustc=toolchain.rustc,
            sysroot=build_sysroot(toolchain, work, target),
            linker=linker,
            cpu=CPU,
            stage=stage,
            cargo_home=cargo_home,
        )
    )
    wrapper.chmod(0o755)
    return wrapper


def _resolve(toolchain: Toolchain, stage: Path) -> None:
    """Make a Cargo.lock: without the network when the pinned crates are here already."""
    try:
        _cargo(toolchain, ["generate-lockfile", "--offline"], stage, dict(os.environ))
    except BuildRefused:
        _cargo(toolchain, ["generate-lockfile"], stage, dict(os.environ))


def _cargo(
    toolchain: Toolchain, words: list[str], stage: Path, environment: dict[str, str]
) -> None:
    command = [str(toolchain.cargo), "--quiet", *words]
    done = subprocess.run(
        command, cwd=stage, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise BuildRefused(f"cargo {words[0]} failed:\n{done.stderr[-8000:]}")
