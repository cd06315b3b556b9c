"""Throw-away folders: made in memory where there is room, and nothing of dead runs stays there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import in_memory
from tests.in_memory import throwaway_directory


@pytest.fixture
def roomy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that counts as memory with room."""
    monkeypatch.setattr(in_memory, "_ROOM_BYTES", 0)
    return tmp_path


def test_it_is_made_in_memory_and_gone_afterwards(roomy: Path) -> None:
    with throwaway_directory(roomy) as made:
        (made / "file").write_text("x")
        assert roomy in made.parents
    assert not made.exists()


def test_what_a_dead_process_left_is_removed_and_what_lives_stays(roomy: Path) -> None:
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    ours = roomy / f"podledger-tests-{os.getuid()}"
    left, living = ours / f"{int(dead.stdout)}-abc", ours / f"{os.getpid()}-abc"
    (left / "postgres").mkdir(parents=True)
    living.mkdir()
    with throwaway_directory(roomy):
        assert not left.exists()
        assert living.exists()


@pytest.mark.parametrize("memory", ["nowhere", "."])
def test_without_memory_or_room_it_is_on_the_disk(tmp_path: Path, memory: str) -> None:
    room = 1 << 62
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(in_memory, "_ROOM_BYTES", room)
        with throwaway_directory(tmp_path / memory) as made:
            assert made.is_dir()
            assert tmp_path not in made.parents
    assert not made.exists()
