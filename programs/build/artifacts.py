"""What the build leaves beside the sources, and whether it still belongs to them.

The `.so` is committed with its SHA-256, the versions that made it and the git tree hash of the
sources, so that a stale program is seen on any machine and a rebuilt one can be compared.
"""

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from programs.build.bitcode import build_bitcode
from programs.build.elf import read_object
from programs.build.emit import emit_object
from programs.build.failure import BuildRefused
from programs.build.idl import legacy_idl, spec_idl
from programs.build.image_v0 import write_v0
from programs.build.image_v3 import write_v3
from programs.build.interface import read_interface
from programs.build.source_tree import tree_hash
from programs.build.sysroot import UPSTREAM, Target
from programs.build.toolchain import Toolchain

_WRITERS = {"v0": write_v0, "v3": write_v3}
# Whom to tell about a hole, as `security.rs` embeds it.
SETTINGS = tuple(
    f"BOND_SECURITY_{name}" for name in ("NAME", "PROJECT_URL", "CONTACTS", "POLICY", "SOURCE_CODE")
)


@dataclass(frozen=True, kw_only=True)
class Crate:
    """The program's directory, and what is where in it."""

    root: Path

    @property
    def program(self) -> Path:
        return self.root / "bond.so"

    @property
    def checksum(self) -> Path:
        return self.root / "bond.so.sha256"

    @property
    def record(self) -> Path:
        return self.root / "build.toml"

    @property
    def sources(self) -> Path:
        return self.root / "src"

    def idl_texts(self) -> dict[Path, str]:
        """Both IDL files as they should read."""
        interface = read_interface(self.sources)
        return {
            self.root / "idl/bond.json": spec_idl(interface),
            self.root / "idl/bond.legacy.json": legacy_idl(interface),
        }

    def inputs(self) -> dict[str, str]:
        """Hashes of everything the program is made from."""
        return {
            "source_tree": tree_hash(self.sources),
            "manifest_sha256": _sha256((self.root / "Cargo.toml").read_bytes()),
            "crates_sha256": _sha256((self.root / "crates.lock").read_bytes()),
        }

    def recorded(self) -> dict[str, str]:
        """What `build.toml` says the committed program was made from and with."""
        return cast("dict[str, str]", tomllib.loads(self.record.read_text()))


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a deployer chooses: version of the bytecode, what the program tells of itself."""

    sbpf: str = "v3"
    # Names as in the environment; those not given have the defaults of `security.rs`.
    settings: Mapping[str, str] = field(default_factory=dict[str, str])
    target: Target = UPSTREAM


def read_settings(given: Mapping[str, str]) -> dict[str, str]:
    """The settings among these; raises `BuildRefused` for one that is misspelt or unprintable."""
    found = {name: text for name, text in given.items() if name.startswith("BOND_SECURITY_")}
    for name, text in found.items():
        if name not in SETTINGS:
            raise BuildRefused(f"there is no setting {name}; there are {', '.join(SETTINGS)}")
        if not (text.isascii() and text.isprintable() and text) or set(text) & set('"\\'):
            raise BuildRefused(f"{name} must be printable ASCII without quotes or backslashes")
    return found


def recorded_recipe(recorded: Mapping[str, str]) -> Recipe:
    """How the committed program was made."""
    settings = {name: recorded[name.lower()] for name in SETTINGS if name.lower() in recorded}
    return Recipe(sbpf=recorded["sbpf"], settings=settings)


def compile_program(toolchain: Toolchain, crate: Crate, work: Path, recipe: Recipe) -> bytes:
    """All four steps, from the sources to the bytes of the program."""
    work.mkdir(parents=True, exist_ok=True)
    object_file = work / "bond.o"
    bitcode = build_bitcode(
        toolchain, crate.root, work, settings=recipe.settings, target=recipe.target
    )
    emit_object(toolchain.llvm, bitcode, object_file)
    return _WRITERS[recipe.sbpf](read_object(object_file.read_bytes()))


def write_artifacts(crate: Crate, toolchain: Toolchain, program: bytes, recipe: Recipe) -> None:
    """Write program, checksum, record and both IDL files."""
    crate.program.write_bytes(program)
    crate.checksum.write_text(f"{_sha256(program)}  {crate.program.name}\n")
    told = {name.lower(): text for name, text in sorted(recipe.settings.items())}
    record = {"sbpf": recipe.sbpf, **toolchain.versions, **crate.inputs(), **told}
    lines = ["# Written by scripts/build-program: what bond.so was made from, and with."]
    lines += [f'{name} = "{value}"' for name, value in record.items()]
    crate.record.write_text("\n".join(lines) + "\n")
    for path, text in crate.idl_texts().items():
        path.write_text(text)


def find_stale(crate: Crate) -> list[str]:
    """What is no longer true of the committed files; needs no compiler."""
    stale: list[str] = []
    digest = _sha256(crate.program.read_bytes())
    if crate.checksum.read_text() != f"{digest}  {crate.program.name}\n":
        stale.append(f"{crate.checksum.name} is not that of {crate.program.name}")
    recorded = crate.recorded()
    stale += [
        f"{crate.program.name} was made from another {name}"
        for name, value in crate.inputs().items()
        if recorded.get(name) != value
    ]
    stale += [
        f"{path.name} does not follow from the sources"
        for path, text in crate.idl_texts().items()
        if not path.exists() or path.read_text() != text
    ]
    return stale


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
