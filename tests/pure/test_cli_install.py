"""`scripts/install` names exactly what is missing, and every script says what it does."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cli.workspace import ROOT

_TOOLS = ("bash", "dirname", "mkdir", "env")
_TOO_OLD = '[[ $1 == -V ]] && { echo "Python 3.9.2"; exit 0; }; exit 1'
_WITHOUT_VENV = '[[ $2 == *ensurepip* ]] && exit 1; echo "Python 3.11.9"'


def _install(place: Path, fake_python: str | None) -> "subprocess.CompletedProcess[str]":
    """Run the script in a bare copy of a checkout where no other Python can be found."""
    checkout, programs = place / "a checkout", place / "bin"
    (checkout / "scripts").mkdir(parents=True)
    programs.mkdir()
    shutil.copy(ROOT / "scripts" / "install", checkout / "scripts")
    for name in ("requirements.lock", "requirements-dev.lock", "pyproject.toml"):
        (checkout / name).touch()
    for tool in _TOOLS:
        found = shutil.which(tool)
        assert found is not None
        (programs / tool).symlink_to(found)
    if fake_python is not None:
        script = programs / "python3"
        script.write_text(f"#!{programs}/bash\n{fake_python}\n")
        script.chmod(0o755)
    return subprocess.run(
        [programs / "bash", checkout / "scripts" / "install"],
        env={"PATH": str(programs)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("fake_python", "named"),
    [
        (None, "Python 3.11 or later is missing"),
        (_TOO_OLD, "python3 (Python 3.9.2)"),
        (_WITHOUT_VENV, "install python3-venv"),
    ],
    ids=["no python", "too old", "without venv"],
)
def test_what_is_missing_is_named(tmp_path: Path, fake_python: str | None, named: str) -> None:
    done = _install(tmp_path, fake_python)
    assert done.returncode == 1
    assert named in done.stderr
    assert not (tmp_path / "a checkout" / ".venv").exists()


@pytest.mark.parametrize("script", ["scripts/install", "scripts/check", "scripts/fix", ".ci/run"])
def test_a_script_says_what_it_does_and_does_nothing(script: str) -> None:
    done = subprocess.run([ROOT / script, "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"usage: {script}")


@pytest.mark.parametrize("script", ["install", "check", "fix", "test"])
def test_a_word_no_script_knows_is_refused(script: str) -> None:
    done = subprocess.run(
        [ROOT / "scripts" / script, "--frobnicate"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2


@pytest.mark.parametrize("noun", ["up", "down", "status", "demo", "reconcile"])
def test_a_command_says_what_it_does(noun: str) -> None:
    command = [sys.executable, "-m", "cli", noun, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert "Usage:" in done.stdout
    assert "--directory" in done.stdout
