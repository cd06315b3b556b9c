"""Key files: private, 64 numbers, never shown."""

import json
import stat
from pathlib import Path

from failure import Failure
from solders.keypair import Keypair


def read_keys(paths: tuple[str, ...]) -> list[Keypair]:
    """The keys that sign. Raises `Failure` for a file that is not there, not private, not a key."""
    return [_read(Path(path)) for path in paths]


def _read(path: Path) -> Keypair:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise _unusable(path, f"others may read it: its mode is {mode:04o}, 0600 is needed")
        numbers = json.loads(path.read_text())
        if not isinstance(numbers, list):  # of a number, bytes() makes that many
            raise ValueError
        return Keypair.from_bytes(bytes(numbers))
    except OSError as error:
        raise _unusable(path, error.strerror or "unreadable") from None
    except (ValueError, TypeError):
        raise _unusable(path, "not a key: a JSON list of 64 numbers is needed") from None


def _unusable(path: Path, problem: str) -> Failure:
    return Failure("KeyUnusable", f"{path}: {problem}", facts={"path": str(path)})
