"""The payout key in another process, or on another machine behind a forwarded socket.

The protocol is JSON lines over a Unix socket, a question and its answer each:

    {"ask": "address"}                            {"address": "<base58 of 32 bytes>"}
    {"ask": "sign", "message": "<base64>"}        {"signature": "<base64 of 64 bytes>"}
    anything else                                 {"error": "<word>", "message": "<text>"}

`settlement.keys.holder` is the other end; whoever wants another one writes those few lines.
"""

import base64
import binascii
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec
from solders.pubkey import Pubkey

from settlement.keys.protocol import KeyAway
from settlement.local_socket import NobodyAnswers, ask

_PATIENCE_SECONDS: Final = 10.0


class Ask(StrEnum):
    """What may be asked: which key is held, or its signature over a message."""

    ADDRESS = "address"
    SIGN = "sign"


class Question(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One line to a holder; `message` in base64, only when a signature is asked for."""

    ask: Ask
    message: str = ""


_WHICH: Final = Question(ask=Ask.ADDRESS)


class AddressTold(msgspec.Struct):
    """The public half."""

    address: str


class SignatureTold(msgspec.Struct):
    """The 64 bytes, in base64."""

    signature: str


class RemoteKey:
    """A `SigningKey` whose secret half is somewhere else."""

    def __init__(self, path: Path, address: Pubkey) -> None:
        self._path = path
        self._address = address

    @classmethod
    async def reach(cls, path: Path) -> "RemoteKey":
        """Ask for the address. Raises `KeyAway`."""
        try:
            told = await ask(path, _WHICH, AddressTold, timeout_seconds=_PATIENCE_SECONDS)
            return cls(path, Pubkey.from_string(told.address))
        except (NobodyAnswers, ValueError) as error:
            raise KeyAway(path=str(path), problem=str(error)) from None

    def __repr__(self) -> str:
        return f"RemoteKey({self._address})"

    @property
    def address(self) -> Pubkey:
        """The public half, as it was told when the key was reached."""
        return self._address

    async def sign(self, message: bytes) -> bytes:
        """Ask for a signature. Raises `KeyAway`."""
        question = Question(ask=Ask.SIGN, message=base64.b64encode(message).decode())
        try:
            told = await ask(self._path, question, SignatureTold, timeout_seconds=_PATIENCE_SECONDS)
            return base64.b64decode(told.signature, validate=True)
        except (NobodyAnswers, binascii.Error) as error:
            raise KeyAway(path=str(self._path), problem=str(error)) from None
