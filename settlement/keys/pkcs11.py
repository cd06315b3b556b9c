"""The payout key in a device that speaks PKCS#11 and never gives it out.

The place is a URI of RFC 7512, for example

    pkcs11:token=pod;object=payer?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=/run/pin

with the path of the device's library, the labels of token and key pair, and a file with the PIN
(mode 0600). The device must know EdDSA (PKCS#11 3.0) over edwards25519. The package `python-pkcs11`
is needed only here: `scripts/install --pkcs11` brings it.
"""

import asyncio
import contextlib
import importlib
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from solders.pubkey import Pubkey

from settlement.keys.protocol import KeyAway, KeyRefused

_POINT_BYTES: Final = 32
_OCTET_STRING: Final = bytes([0x04, _POINT_BYTES])  # in front of the point, as the standard says


class TokenRefused(KeyRefused):
    """The key in the device cannot be used."""


@dataclass(frozen=True, kw_only=True)
class TokenPlace:
    """Where in which device a key is."""

    module: Path
    token: str
    label: str
    pin_file: Path

    @classmethod
    def of(cls, uri: str) -> "TokenPlace":
        """Read a URI. Raises `TokenRefused` naming what is missing."""
        path, _, query = uri.removeprefix("pkcs11:").partition("?")
        pairs = (part.partition("=") for part in path.split(";") if part)
        given = {name: unquote(value) for name, _, value in pairs} | dict(parse_qsl(query))
        names = ("module-path", "token", "object", "pin-source")
        for name in names:
            if not given.get(name):
                raise TokenRefused(uri=uri, problem=f"{name} is missing")
        if unknown := given.keys() - set(names):
            raise TokenRefused(uri=uri, problem=f"unknown: {', '.join(sorted(unknown))}")
        return cls(
            module=Path(given["module-path"]),
            token=given["token"],
            label=given["object"],
            pin_file=Path(given["pin-source"].removeprefix("file:")),
        )


class TokenKey:
    """A `SigningKey` in a device. One signature at a time: a session is no place for two."""

    def __init__(self, place: TokenPlace) -> None:
        self._place = place
        self._pkcs11 = _library()
        self._pin = _pin(place.pin_file)
        self._session: Any = None  # the package's own types do not describe it
        self._private: Any = None
        self._turn = asyncio.Lock()
        self._address = self._connect()

    def __repr__(self) -> str:
        return f"TokenKey({self._address})"

    @property
    def address(self) -> Pubkey:
        """The public half, as the device shows it."""
        return self._address

    async def sign(self, message: bytes) -> bytes:
        """Let the device sign. Raises `KeyAway`; the next call connects again."""
        async with self._turn:
            return await asyncio.to_thread(self._sign, message)

    def _sign(self, message: bytes) -> bytes:
        try:
            if self._private is None and self._connect() != self._address:
                raise KeyAway(token=self._place.token, problem="it holds another key now")
            mechanism = self._pkcs11.Mechanism.EDDSA
            private: Any = self._private
            return bytes(private.sign(message, mechanism=mechanism))
        except TokenRefused as error:
            raise KeyAway(token=self._place.token, problem=str(error)) from None
        except self._pkcs11.exceptions.PKCS11Error as error:
            self._private = None
            raise KeyAway(token=self._place.token, problem=_name(error)) from None

    def _connect(self) -> Pubkey:
        """Open a session and find the key pair."""
        kinds, place = self._pkcs11.ObjectClass, self._place
        try:
            self._session = self._opened()
            private = self._session.get_key(object_class=kinds.PRIVATE_KEY, label=place.label)
            public = self._session.get_key(object_class=kinds.PUBLIC_KEY, label=place.label)
            point = bytes(public[self._pkcs11.Attribute.EC_POINT])
        except (self._pkcs11.exceptions.PKCS11Error, RuntimeError, OSError) as error:
            where = {"module": place.module, "token": place.token, "object": place.label}
            raise TokenRefused(None, **where, problem=_name(error)) from None
        point = point.removeprefix(_OCTET_STRING) if len(point) > _POINT_BYTES else point
        if len(point) != _POINT_BYTES:
            raise TokenRefused(token=place.token, object=place.label, problem="no ed25519 key")
        self._private = private
        return Pubkey.from_bytes(point)

    def _opened(self) -> Any:  # noqa: ANN401 -- as above
        errors, place = self._pkcs11.exceptions, self._place
        token = self._pkcs11.lib(str(place.module)).get_token(token_label=place.token)
        if self._session is not None:
            with contextlib.suppress(errors.PKCS11Error):
                self._session.close()
        try:
            return token.open(user_pin=self._pin)
        except errors.UserAlreadyLoggedIn:
            return token.open()  # a login counts for all sessions of a process


def _library() -> Any:  # noqa: ANN401 -- an optional package without types for its parts
    try:
        return importlib.import_module("pkcs11")
    except ImportError:
        raise TokenRefused(problem="run scripts/install --pkcs11 first") from None


def _pin(file: Path) -> str:
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
        if mode & 0o077:
            raise TokenRefused(pin_file=str(file), mode=oct(mode), problem="chmod 600 it")
        return file.read_text().strip()
    except (OSError, ValueError) as error:
        raise TokenRefused(pin_file=str(file), problem=type(error).__name__) from None


def _name(error: Exception) -> str:
    return f"{type(error).__name__} {error}".strip()
