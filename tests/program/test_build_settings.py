"""What a deployer may set, what is recorded of it, and what `--check` says of stale files."""

import shutil
from pathlib import Path

import pytest

from programs.build.__main__ import main
from programs.build.artifacts import (
    SETTINGS,
    Crate,
    Recipe,
    find_stale,
    read_settings,
    recorded_recipe,
    write_artifacts,
)
from programs.build.failure import BuildRefused
from programs.build.toolchain import Toolchain
from tests.program.world import COMMITTED_PROGRAM

TOOLCHAIN = Toolchain(
    rustc=Path("rustc"),
    cargo=Path("cargo"),
    library_sources=Path("library"),
    llvm=Path("llvm"),
    rust_version="1.0",
    llvm_version="2.0",
)


@pytest.fixture
def crate(tmp_path: Path) -> Crate:
    """A copy of the committed crate."""
    source = COMMITTED_PROGRAM.parent
    for name in ("src", "idl"):
        shutil.copytree(source / name, tmp_path / name)
    for name in ("Cargo.toml", "crates.lock", "build.toml", "bond.so", "bond.so.sha256"):
        shutil.copy(source / name, tmp_path)
    return Crate(root=tmp_path)


def test_settings_are_recorded_and_read_back(crate: Crate) -> None:
    settings = {"BOND_SECURITY_CONTACTS": "email:a@example.org", "BOND_SECURITY_NAME": "ours"}
    write_artifacts(crate, TOOLCHAIN, b"program", Recipe(sbpf="v0", settings=settings))
    assert recorded_recipe(crate.recorded()) == Recipe(sbpf="v0", settings=settings)
    assert crate.recorded()["rustc"] == "1.0"
    assert find_stale(crate) == []


def test_only_our_settings_are_read() -> None:
    given = {"HOME": "x", "BOND_SECURITY_POLICY": "https://example.org/policy", "BOND_OTHER": "y"}
    assert read_settings(given) == {"BOND_SECURITY_POLICY": "https://example.org/policy"}
    assert len(SETTINGS) == 5


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("BOND_SECURITY_CONTACT", "misspelt"),
        ("BOND_SECURITY_CONTACTS", ""),
        ("BOND_SECURITY_CONTACTS", 'a"b'),
        ("BOND_SECURITY_CONTACTS", "a\\b"),
        ("BOND_SECURITY_CONTACTS", "a\nb"),
        ("BOND_SECURITY_CONTACTS", "ä"),
    ],
)
def test_settings_that_could_not_be_embedded_are_refused(name: str, text: str) -> None:
    with pytest.raises(BuildRefused, match=name):
        read_settings({name: text})


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("bond.so", "bond.so.sha256 is not that of bond.so"),
        ("src/lib.rs", "bond.so was made from another source_tree"),
        ("Cargo.toml", "bond.so was made from another manifest_sha256"),
        ("crates.lock", "bond.so was made from another crates_sha256"),
        ("idl/bond.json", "bond.json does not follow from the sources"),
        ("idl/bond.legacy.json", "bond.legacy.json does not follow from the sources"),
    ],
)
def test_what_is_stale_is_told(crate: Crate, name: str, told: str) -> None:
    assert find_stale(crate) == []
    path = crate.root / name
    path.write_bytes(path.read_bytes() + b"\n")
    assert find_stale(crate) == [told]


def test_the_committed_files_belong_together() -> None:
    assert find_stale(Crate(root=COMMITTED_PROGRAM.parent)) == []


def test_a_build_as_solana_is_only_for_trying(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--as-solana"]) == 1
    assert "needs --output" in capsys.readouterr().err
