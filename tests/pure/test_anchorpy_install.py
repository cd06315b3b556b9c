"""`scripts/install --anchorpy`: what is made stays as it is, offline; anything else is noticed."""

import shutil
import subprocess
from pathlib import Path

import pytest

from cli.workspace import ROOT

_VERSION = "Python 3.11.9"
_LOCK = "anchorpy==0.21.0 \\\n    --hash=sha256:00\n"


def checkout_in(place: Path) -> Path:
    """A bare checkout whose two environments are made; there is nothing to make them with."""
    checkout, programs = place / "a checkout", place / "bin"
    (checkout / "scripts").mkdir(parents=True)
    programs.mkdir()
    shutil.copy(ROOT / "scripts" / "install", checkout / "scripts")
    for name in ("requirements.lock", "requirements-dev.lock", "pyproject.toml"):
        (checkout / name).touch()
    (checkout / "requirements-anchorpy.lock").write_text(_LOCK)
    for tool in ("bash", "dirname", "mkdir", "env"):
        found = shutil.which(tool)
        assert found is not None
        (programs / tool).symlink_to(found)
    for environment, made, lock in (
        (".venv", "made-runtime", "\n\n"),
        (".venv-anchorpy", "made", _LOCK),
    ):
        python = checkout / environment / "bin/python"
        python.parent.mkdir(parents=True)
        python.write_text(f"#!{programs}/bash\necho {_VERSION}\n")
        python.chmod(0o755)
        (checkout / environment / made).write_text(f"{checkout} {_VERSION}\n{lock}")
    return checkout


def install(checkout: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    programs = checkout.parent / "bin"
    return subprocess.run(
        [programs / "bash", checkout / "scripts" / "install", *words],
        env={"PATH": str(programs)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("words", [(), ("--anchorpy",)])
def test_twice_is_once(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = install(checkout_in(tmp_path), *words)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("gone", "written"),
    [
        (".venv-anchorpy/bin/python", None),
        (".venv-anchorpy/made", None),
        ("requirements-anchorpy.lock", _LOCK.replace("00", "11")),
        (".venv-anchorpy/made", f"/elsewhere {_VERSION}\n{_LOCK}"),
        (".venv-anchorpy/made", "half"),
    ],
)
def test_a_stale_or_half_made_environment_is_made_again(
    tmp_path: Path, gone: str, written: str | None
) -> None:
    """There is no Python here to make it with, and that is what it says; ours it leaves alone."""
    checkout = checkout_in(tmp_path)
    (checkout / gone).unlink()
    if written is not None:
        (checkout / gone).write_text(written)
    assert install(checkout).returncode == 0
    done = install(checkout, "--anchorpy")
    assert done.returncode == 1
    assert "Python 3.11 or later is missing" in done.stderr


def test_the_lock_has_hashes_and_no_addresses() -> None:
    lock = (ROOT / "requirements-anchorpy.lock").read_text()
    assert "anchorpy==0.21.0 " in lock
    assert lock.count("--hash=sha256:") >= lock.count("==") > 0
    assert "://" not in lock


def test_the_client_imports_nothing_of_ours() -> None:
    ours = ("settlement", "indexer", "coordinator", "localnet", "cli", "programs")
    for path in (ROOT / "programs/anchorpy").glob("*.py"):
        for line in path.read_text().splitlines():
            words = line.split()
            if words[:1] in (["from"], ["import"]):
                assert words[1].split(".")[0] not in ours, f"{path}: {line}"
