"""Step 1: `core`, `compiler_builtins` and `alloc` for the upstream BPF target.

Compiled once per compiler version and kept; paths are remapped so that the result does not know
where it was made.
"""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from programs.build.failure import BuildRefused
from programs.build.toolchain import Toolchain


@dataclass(frozen=True, kw_only=True)
class Target:
    """A target the compiler knows by name, or by a file that describes it."""

    name: str
    description: Path | None = None

    @property
    def words(self) -> list[str]:
        """How the compiler and cargo are told."""
        return ["--target", str(self.description or self.name)]


UPSTREAM = Target(name="bpfel-unknown-none")
_SOLANA = "bpfel-solana-none"


def solana_target(toolchain: Toolchain, work: Path) -> Target:
    """The same machine with `target_os = "solana"`: what is compiled is what the official tools
    compile, in our crate and in every other. Those tools cannot be had here; their cfgs can.
    """
    asked = ["--print", "target-spec-json", "-Z", "unstable-options", *UPSTREAM.words]
    done = subprocess.run(
        [str(toolchain.rustc), *asked],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "RUSTC_BOOTSTRAP": "1"},
    )
    described = cast("dict[str, object]", json.loads(done.stdout))
    described.pop("is-builtin", None)
    path = work / f"{_SOLANA}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**described, "os": "solana", "vendor": "solana"}, indent=1))
    return Target(name=_SOLANA, description=path)


CPU = "v2"  # what both SBPF versions we write understand
_CRATES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("core", "core/src/lib.rs", ()),
    (
        "compiler_builtins",
        "compiler-builtins/compiler-builtins/src/lib.rs",
        ("--cfg", 'feature="compiler-builtins"', "--cfg", 'feature="mem"'),
    ),
    ("alloc", "alloc/src/lib.rs", ()),
)
_FLAGS = (
    *("--edition", "2024", "--crate-type", "rlib", "-Z", "unstable-options"),
    *("-C", "opt-level=3", "-C", "codegen-units=1", "-C", "panic=abort"),
    *("-C", f"target-cpu={CPU}", "-C", "metadata=sbf", "-Z", "force-unstable-if-unmarked"),
    *("--cap-lints", "allow"),
)


def build_sysroot(toolchain: Toolchain, work: Path, target: Target = UPSTREAM) -> Path:
    """The sysroot of this compiler for the target, made if it is not there yet."""
    made_by = f"{toolchain.rust_version}-{toolchain.llvm_version}"
    sysroot = work / f"sysroot-{target.name}-{made_by}"
    finished = sysroot / "finished"
    if finished.exists():
        return sysroot
    (sysroot / "lib/rustlib" / target.name / "lib").mkdir(parents=True, exist_ok=True)
    for name, source, flags in _CRATES:
        crate = [name, str(toolchain.library_sources / source), *flags]
        _compile(toolchain, sysroot, target, crate)
    finished.touch()
    return sysroot


def _compile(toolchain: Toolchain, sysroot: Path, target: Target, crate: list[str]) -> None:
    libraries = sysroot / "lib/rustlib" / target.name / "lib"
    command = [str(toolchain.rustc), *_FLAGS, *target.words, "--sysroot", str(sysroot)]
    command += ["--remap-path-prefix", f"{toolchain.library_sources}=/rust"]
    command += ["--remap-path-prefix", f"{sysroot}=/sysroot"]
    command += ["--out-dir", str(libraries), "--crate-name", *crate]
    # The library may only be compiled with the compiler's own unstable features.
    environment = {**os.environ, "RUSTC_BOOTSTRAP": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, cwd=sysroot
    )
    if done.returncode != 0:
        raise BuildRefused(f"{crate[0]} does not compile:\n{done.stderr[-4000:]}")
