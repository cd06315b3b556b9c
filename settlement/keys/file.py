"""The payout key in a private file of this machine, kept in one object that never shows it.

The file is a Solana JSON keypair (64 numbers) that nobody but its owner may read.
"""

import json
import stat
from pathlib import Path
from typing import Final, cast

from solders.keypair import Keypair
from solders.pubkey import Pubkey

from settlement.keys.protocol import KeyRefused

_KEYPAIR_BYTES: Final = 64


class KeyFileRefused(KeyRefused):
    """The key file cannot be used."""


class FileKey:
    """A `SigningKey` in the memory of this process."""

    def __init__(self, keypair: Keypair) -> None:
        self._keypair = keypair

    @classmethod
    def read(cls, path: Path) -> "FileKey":
        """Read a key file; raises `KeyFileRefused` (never showing what is in it)."""
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode & 0o077:
                raise KeyFileRefused(path=str(path), mode=oct(mode), problem="chmod 600 it")
            return cls(keypair_of(path.read_text()))
        except (OSError, ValueError) as error:
            kind = type(error).__name__
            raise KeyFileRefused(path=str(path), problem=f"not a keypair ({kind})") from None

    def __repr__(self) -> str:
        return f"FileKey({self.address})"

    @property
    def address(self) -> Pubkey:
        """The public half."""
        return self._keypair.pubkey()

    async def sign(self, message: bytes) -> bytes:
        """Sign at once; nothing has to be waited for."""
        return bytes(self._keypair.sign_message(message))


def keypair_of(text: str) -> Keypair:
    """The keypair in a key file's text. ValueError, showing no secret, when it is none."""
    decoded: object = json.loads(text)
    if not isinstance(decoded, list):
        raise ValueError("not a list")
    numbers = cast("list[object]", decoded)
    if len(numbers) != _KEYPAIR_BYTES or not all(isinstance(n, int) for n in numbers):
        raise ValueError("not 64 numbers")
    return Keypair.from_bytes(bytes(cast("list[int]", numbers)))
