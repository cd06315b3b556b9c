"""The payer's key: read from a private file, kept in one object that never shows it.

Only the signer process makes one. The file is a Solana JSON keypair (64 numbers) that nobody but
its owner may read.
"""

import json
import stat
from pathlib import Path
from typing import Final, cast

from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.transaction import Transaction

from settlement.errors import Refused

_KEYPAIR_BYTES: Final = 64


class KeyFileRefused(Refused):
    """The key file cannot be used."""


class PayerKey:
    """Signs messages whose fee payer it is."""

    def __init__(self, keypair: Keypair) -> None:
        self._keypair = keypair

    @classmethod
    def from_file(cls, path: Path) -> "PayerKey":
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
        return f"PayerKey({self.address})"

    @property
    def address(self) -> Pubkey:
        """The public half: fee payer and payer role."""
        return self._keypair.pubkey()

    def sign(self, message: Message) -> tuple[str, bytes]:
        """The signature and the bytes to send; the same message always gives the same."""
        assert message.signer_keys() == [self.address], "we sign only what we alone pay for"
        signature = self._keypair.sign_message(bytes(message))
        return str(signature), bytes(Transaction.populate(message, [signature]))


def keypair_of(text: str) -> Keypair:
    """The keypair in a key file's text. ValueError, showing no secret, when it is none."""
    decoded: object = json.loads(text)
    if not isinstance(decoded, list):
        raise ValueError("not a list")
    numbers = cast("list[object]", decoded)
    if len(numbers) != _KEYPAIR_BYTES or not all(isinstance(n, int) for n in numbers):
        raise ValueError("not 64 numbers")
    return Keypair.from_bytes(bytes(cast("list[int]", numbers)))
