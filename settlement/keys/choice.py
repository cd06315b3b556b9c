"""Which key is the payout key: where the settings say it is, opened.

file:PATH        a key file of this machine (mode 0600)
env:NAME         the key file that the environment variable NAME names
remote:PATH      whoever answers at a Unix socket
pkcs11:…         a device; the whole is a URI of RFC 7512
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import assert_never

from settlement.keys.file import FileKey
from settlement.keys.pkcs11 import TokenKey, TokenPlace
from settlement.keys.protocol import KeyRefused, SigningKey
from settlement.keys.remote import RemoteKey


class KeyKind(StrEnum):
    """How a key is reached; the word in front of the colon."""

    FILE = "file"
    ENV = "env"
    REMOTE = "remote"
    PKCS11 = "pkcs11"


@dataclass(frozen=True, kw_only=True)
class KeyPlace:
    """Where a key is. Never the key."""

    kind: KeyKind
    where: str

    @classmethod
    def of(cls, text: str) -> "KeyPlace":
        """Read `kind:where`. Raises `KeyRefused`."""
        word, colon, where = text.partition(":")
        if not colon or not where or word not in set(KeyKind):
            # The text itself is not repeated: somebody may have written the key there.
            raise KeyRefused(problem="write file:PATH, env:NAME, remote:PATH or pkcs11:…")
        return cls(kind=KeyKind(word), where=where)


async def open_key(place: KeyPlace) -> SigningKey:
    """The key. Raises `KeyRefused`, or `KeyAway` when its holder may answer later."""
    match place.kind:
        case KeyKind.FILE:
            return FileKey.read(Path(place.where))
        case KeyKind.ENV:
            raise AssertionError("the settings put the file's path in place of the variable")
        case KeyKind.REMOTE:
            return await RemoteKey.reach(Path(place.where))
        case KeyKind.PKCS11:
            return TokenKey(TokenPlace.of(place.where))
        case _:
            assert_never(place.kind)
