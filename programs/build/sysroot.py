"""Step 1: `core`, `compiler_builtins` and `alloc` for the upstream BPF target.

Compiled once per compiler version and kept; paths are remapped so that the result does not know
where it was made.
"""

import os
import subprocess
from pathlib import Path

from programs.build.failure import BuildRefused
from programs.build.toolchain import Toolchain

TARGET = "bpfel-unknown-none"
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
    *("--edition", "2024", "--crate-type", "rlib", "--target", TARGET),
    *("-C", "opt-level=3", "-C", "codegen-units=1", "-C", "panic=abort"),
    *("-C", f"target-cpu={CPU}", "-C", "metadata=sbf", "-Z", "force-unstable-if-unmarked"),
    *("--cap-lints", "allow"),
)


def build_sysroot(toolchain: Toolchain, work: Path) -> Path:
    """The sysroot of this compiler, made if it is not there yet."""
    sysroot = work / f"sysroot-{toolchain.rust_version}-{toolchain.llvm_version}"
    finished = sysroot / "finished"
    if finished.exists():
        return sysroot
    libraries = sysroot / "lib/rustlib" / TARGET / "lib"
    libraries.mkdir(parents=True, exist_ok=True)
    for name, source, flags in _CRATES:
        _compile(toolchain, sysroot, [name, str(toolchain.library_sources / source), *flags])
    finished.touch()
    return sysroot


def _compile(toolchain: Toolchain, sysroot: Path, crate: list[str]) -> None:
    libraries = sysroot / "lib/rustlib" / TARGET / "lib"
    command = [str(toolchain.rustc), *_FLAGS, "--sysroot", str(sysroot)]
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
