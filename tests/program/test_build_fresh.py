"""Fresh builds: two directories give one program, and the settings and `target_os` do what is said.

Needs Debian's compiler, so these run with `scripts/test --all`.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from programs.build.artifacts import Crate, Recipe, compile_program
from programs.build.sysroot import solana_target
from programs.build.toolchain import Toolchain, find_toolchain
from tests.program.world import COMMITTED_PROGRAM

ROOT = Path(__file__).parents[2]
CRATE = Crate(root=COMMITTED_PROGRAM.parent)
# One test of every kind of thing the program does: tokens moved, accounts made, numbers, roles.
_SAMPLE = ("test_deposit_usdc.py", "test_initialize.py", "test_pay_and_skip.py")
pytestmark = [pytest.mark.foreign, pytest.mark.long, pytest.mark.timeout(1_200)]


@pytest.fixture(scope="module")
def toolchain() -> Toolchain:
    return find_toolchain()


def test_two_directories_give_one_program(toolchain: Toolchain, tmp_path: Path) -> None:
    first = compile_program(toolchain, CRATE, tmp_path / "a", Recipe())
    second = compile_program(toolchain, CRATE, tmp_path / "another/deeper", Recipe())
    assert first == second
    made_with = {name: CRATE.recorded().get(name) for name in toolchain.versions}
    if made_with == toolchain.versions:
        assert first == COMMITTED_PROGRAM.read_bytes()


def test_who_deploys_is_told_in_the_program(toolchain: Toolchain, tmp_path: Path) -> None:
    settings = {"BOND_SECURITY_CONTACTS": "email:holes@example.org"}
    program = compile_program(toolchain, CRATE, tmp_path, Recipe(settings=settings))
    assert b"contacts\0email:holes@example.org\0policy\0report privately first\0" in program


def test_as_the_official_tools_see_it_it_passes_tests(toolchain: Toolchain, tmp_path: Path) -> None:
    target = solana_target(toolchain, tmp_path)
    fresh = tmp_path / "solana.so"
    fresh.write_bytes(compile_program(toolchain, CRATE, tmp_path, Recipe(target=target)))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        + [f"tests/program/{name}" for name in _SAMPLE],
        cwd=ROOT,
        env={**os.environ, "POD_BOND_PROGRAM": str(fresh)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]
