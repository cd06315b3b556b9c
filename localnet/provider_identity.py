"""The agent's key file: an Ed25519 key in a small text format, mode 0600.

The format is the real agent's (version 1): its files load here and ours load there. Files are
written beside their place and renamed, so a kill leaves the old one or the new one.
"""

import base64
import binascii
import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from nacl.signing import SigningKey

_HEADER = "-----BEGIN USEPOD AGENT KEY-----"
_FOOTER = "-----END USEPOD AGENT KEY-----"
_VERSION = "1"


class IdentityInvalid(Exception):
    """The identity file cannot be loaded."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Who an agent is. `seed` is the secret: it is never logged, and left out of `repr`."""

    created: str
    seed: bytes
    provider_id: str | None = None

    def __repr__(self) -> str:
        return f"Identity(public_key={self.public_key!r}, provider_id={self.provider_id!r})"

    @property
    def public_key(self) -> str:
        """The public key in base64, as the wire carries it."""
        return _encode(bytes(SigningKey(self.seed).verify_key))

    def sign(self, message: bytes) -> str:
        """The signature over exactly these bytes, in base64."""
        return _encode(SigningKey(self.seed).sign(message).signature)

    def bound_to(self, provider_id: str) -> "Identity":
        """The same key, now of this provider."""
        return replace(self, provider_id=provider_id)

    def text(self) -> str:
        """The file's content."""
        lines = [
            _HEADER,
            f"version: {_VERSION}",
            f"created: {self.created}",
            f"secret: {_encode(self.seed)}",
            f"public: {self.public_key}",
            *([f"provider_id: {self.provider_id}"] if self.provider_id else []),
            _FOOTER,
        ]
        return "\n".join(lines) + "\n"

    @classmethod
    def new(cls) -> Self:
        """A fresh key of no provider."""
        return cls(created=datetime.now(UTC).isoformat(), seed=bytes(SigningKey.generate()))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a key file's content; unknown keys are passed over. Raises `IdentityInvalid`."""
        fields = _fields(text)
        if fields.get("version") != _VERSION:
            raise IdentityInvalid(f"unsupported identity format version {fields.get('version')}")
        seed = _decode_32(fields, "secret")
        identity = cls(
            created=_required(fields, "created"),
            seed=seed,
            provider_id=fields.get("provider_id"),
        )
        if _required(fields, "public") != identity.public_key:
            raise IdentityInvalid("the public key does not match the secret key")
        return identity

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a key file. Raises `IdentityInvalid` naming the file."""
        try:
            return cls.parse(path.read_text())
        except (OSError, UnicodeDecodeError, IdentityInvalid) as error:
            raise IdentityInvalid(f"{path}: {error}") from error

    @classmethod
    def load_or_create(cls, path: Path) -> Self:
        """The key at this path; a new one is made when there is none."""
        if path.exists():
            return cls.load(path)
        identity = cls.new()
        identity.save(path)
        return identity

    def save(self, path: Path) -> None:
        """Write the key file, mode 0600 from the first byte."""
        write_private(path, self.text())


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step, readable by its owner only, on the disk when this returns."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.new")
    with contextlib.suppress(FileNotFoundError):
        beside.unlink()
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def _fields(text: str) -> dict[str, str]:
    lines = [line.strip() for line in text.splitlines()]
    if _HEADER not in lines or _FOOTER not in lines:
        raise IdentityInvalid("the key's first or last line is missing")
    body = lines[lines.index(_HEADER) + 1 : lines.index(_FOOTER)]
    fields: dict[str, str] = {}
    for line in filter(None, body):
        key, colon, value = line.partition(":")
        if not colon:
            raise IdentityInvalid("a line is not `key: value`")
        fields[key.strip()] = value.strip()
    return fields


def _required(fields: Mapping[str, str], key: str) -> str:
    found = fields.get(key)
    if not found:
        raise IdentityInvalid(f"`{key}` is missing")
    return found


def _decode_32(fields: Mapping[str, str], key: str) -> bytes:
    try:
        raw = base64.b64decode(_required(fields, key), validate=True)
    except binascii.Error as error:
        raise IdentityInvalid(f"`{key}` is not base64") from error
    if len(raw) != 32:
        raise IdentityInvalid(f"`{key}` must be 32 bytes")
    return raw


def _encode(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
