"""Finds the compiler: Debian's `rustc-web` with its library sources and its LLVM.

`cargo build-sbf` fetches its platform tools from a place that is often out of reach; Debian's
compiler has the upstream BPF target and its LLVM is a shared library with a C interface. All three
must be of one version, or the standard library would not compile.
"""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from programs.build.failure import BuildRefused

COMPILER_PACKAGE = "rustc-web"
SOURCE_PACKAGE = "rust-web-src"
INSTALL_HINT = f"apt-get install --no-install-recommends {COMPILER_PACKAGE} {SOURCE_PACKAGE}"


@dataclass(frozen=True, kw_only=True)
class Toolchain:
    """Where the compiler, the library sources and LLVM are, and of which versions."""

    rustc: Path
    cargo: Path
    library_sources: Path
    llvm: Path
    rust_version: str
    llvm_version: str

    @property
    def versions(self) -> dict[str, str]:
        """What the output depends on, besides the sources and the crates."""
        return {"rustc": self.rust_version, "llvm": self.llvm_version}


def run(command: list[str]) -> str:
    """Run a tool and return what it printed; raises `BuildRefused` with its complaint."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BuildRefused(f"{command[0]} failed:\n{done.stderr[-4000:]}")
    return done.stdout


def find_toolchain() -> Toolchain:
    """The installed toolchain; raises `BuildRefused` naming what is missing."""
    rustc = _packaged_compiler()
    told = run([str(rustc), "--version", "--verbose"])
    rust_version, llvm_version = (_field(told, name) for name in ("release", "LLVM version"))
    sources = Path(run([str(rustc), "--print", "sysroot"]).strip()) / "lib/rustlib/src/rust/library"
    if not (sources / "core/src/lib.rs").exists():
        raise BuildRefused(f"no library sources: {INSTALL_HINT}")
    cargo = shutil.which("cargo")
    if cargo is None:
        raise BuildRefused("no cargo on PATH")
    return Toolchain(
        rustc=rustc,
        cargo=Path(cargo),
        library_sources=sources,
        llvm=_packaged_llvm(llvm_version.split(".")[0]),
        rust_version=rust_version,
        llvm_version=llvm_version,
    )


def _packaged_compiler() -> Path:
    for line in _package_files(COMPILER_PACKAGE):
        if line.endswith("/bin/rustc"):
            return Path(line)
    raise BuildRefused(f"no {COMPILER_PACKAGE}: {INSTALL_HINT}")


def _packaged_llvm(major: str) -> Path:
    for line in _package_files(f"libllvm{major}"):
        if re.search(r"/libLLVM\.so\.\d+(\.\d+)?$", line):
            return Path(line)
    raise BuildRefused(f"no libllvm{major}, the LLVM of this compiler")


def _package_files(package: str) -> list[str]:
    if shutil.which("dpkg") is None:
        raise BuildRefused("not a Debian machine: the build needs its rustc-web")
    listed = subprocess.run(["dpkg", "-L", package], capture_output=True, text=True, check=False)
    return listed.stdout.splitlines()


def _field(told: str, name: str) -> str:
    found = re.search(rf"^{name}: (\S+)$", told, re.MULTILINE)
    if found is None:
        raise BuildRefused(f"the compiler does not tell its {name}")
    return found[1]
