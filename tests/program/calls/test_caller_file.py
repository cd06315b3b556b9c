"""The committed foreign program is the one its record and its sources say."""

import pytest

from programs.build.failure import BuildRefused
from programs.build.toolchain import find_toolchain
from tests.program.calls.build import CALLER, CRATE, checksum, compile_caller, recorded

BOND_LOCK = CRATE.root.parents[3] / "programs/bond/crates.lock"


def test_the_record_is_of_this_file_and_these_sources() -> None:
    record = recorded()
    assert record["sha256"] == checksum(CALLER.read_bytes())
    assert {name: record[name] for name in CRATE.inputs()} == CRATE.inputs()


def test_it_is_made_of_the_crates_of_the_bond_program() -> None:
    assert (CRATE.root / "crates.lock").read_text() == BOND_LOCK.read_text()


@pytest.mark.long
@pytest.mark.foreign
@pytest.mark.timeout(600)
def test_a_rebuild_gives_the_same_bytes(tmp_path_factory: pytest.TempPathFactory) -> None:
    try:
        toolchain = find_toolchain()
    except BuildRefused as why:
        pytest.skip(str(why))
    record = recorded()
    if {name: record[name] for name in toolchain.versions} != toolchain.versions:
        pytest.skip("another compiler than the one recorded")
    work = tmp_path_factory.mktemp("caller")
    assert compile_caller(toolchain, work) == CALLER.read_bytes()
