"""Whose key signs: found where wallets keep theirs, read from a private file, never shown.

Order: `--keypair`, `POD_KEYPAIR`, the `keypair_path` of the Solana command line's config.yml, its
standard place. A file others may read is refused before it is opened.
"""

import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from solders.keypair import Keypair
from solders.pubkey import Pubkey

from settlement.errors import NotFound, Refused
from settlement.keys.file import keypair_of

KEYPAIR_VARIABLE: Final = "POD_KEYPAIR"
_SOLANA_CONFIG: Final = ".config/solana/cli/config.yml"
_STANDARD: Final = ".config/solana/id.json"
_CONFIGURED: Final = re.compile(r"^keypair_path:\s*(?P<quote>['\"]?)(?P<path>.+?)(?P=quote)\s*$")


class NoKeypair(NotFound):
    """There is no key file there: name one with --keypair FILE or POD_KEYPAIR, or make one with
    `solana-keygen new`; for a key that is elsewhere use --unsigned --wallet ADDRESS."""


class KeypairUnusable(Refused):
    """The key file cannot be used."""


class KeyMissing(Refused):
    """The transaction needs a signature that none of the given keys can make: give its key file,
    or print the transaction with --unsigned and have it signed there."""


class WalletKey:
    """One signing key. Its secret appears in no text that is made of it."""

    def __init__(self, keypair: Keypair, path: Path | None = None) -> None:
        self.keypair = keypair
        self.path = path  # its file, for a client in another process: that one reads it itself

    def __repr__(self) -> str:
        return f"WalletKey({self.address})"

    @property
    def address(self) -> Pubkey:
        """The public half."""
        return self.keypair.pubkey()


def find_keypair(given: Path | None, environment: Mapping[str, str], home: Path) -> Path:
    """The key file that is meant; whether it can be used is `read_keypair`'s business.

    Raises `KeypairUnusable` when the Solana command line is set up for a hardware wallet.
    """
    if given is not None:
        return given
    if named := environment.get(KEYPAIR_VARIABLE):
        return Path(named)
    configured = _configured(home / _SOLANA_CONFIG)
    if configured is None:
        return home / _STANDARD
    if "://" in configured:
        raise KeypairUnusable(
            found=configured, problem="not a file: use --unsigned --wallet ADDRESS, or --keypair"
        )
    return home / configured.removeprefix("~/")


def _configured(config: Path) -> str | None:
    """`keypair_path` of the Solana command line's settings, if it says so on a line of its own."""
    try:
        lines = config.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    found = (_CONFIGURED.match(line) for line in lines)
    return next((match["path"] for match in found if match is not None), None)


def read_keypair(path: Path) -> WalletKey:
    """Read a key file of 64 numbers. Raises `NoKeypair` or `KeypairUnusable`, showing no secret."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise KeypairUnusable(
                path=str(path), mode=f"{mode:04o}", problem=f"others may read it: chmod 600 {path}"
            )
        return WalletKey(keypair_of(path.read_text()), path)
    except FileNotFoundError:
        raise NoKeypair(path=str(path)) from None
    except OSError as error:
        raise KeypairUnusable(path=str(path), problem=error.strerror or "unreadable") from None
    except ValueError:
        problem = "not a keypair: a JSON list of 64 numbers is needed"
        raise KeypairUnusable(path=str(path), problem=problem) from None
