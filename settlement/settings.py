"""Reads settings: the environment first, then one TOML file, then the default. Typed, named, once.

Each process's `config.py` asks this reader for what it needs and freezes the answers; nothing else
reads the environment. A key is written the same everywhere: `POD_METRICS_LISTEN` in the environment
is `pod_metrics_listen` in the file that `POD_CONFIG` names.
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from settlement.errors import Refused

_LARGEST: Final = 2**63 - 1  # what the books and the database can count


class SettingInvalid(Refused):
    """A setting is missing or does not have the right form."""


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class SettingsReader:
    """Looks settings up by name; every refusal names the setting and says what to write."""

    def __init__(self, environment: Mapping[str, str], file: Mapping[str, object]) -> None:
        self._environment = environment
        self._file = file

    @classmethod
    def from_process(cls) -> "SettingsReader":
        """The process's environment and the TOML file that `POD_CONFIG` names, if any."""
        path = os.environ.get("POD_CONFIG")
        if path is None:
            return cls(os.environ, {})
        try:
            return cls(os.environ, tomllib.loads(Path(path).read_text()))
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise SettingInvalid(setting="POD_CONFIG", problem=str(error)) from error

    def text(self, name: str, default: str | None = None) -> str:
        """A text; required when there is no default."""
        found = self._environment.get(name, self._file.get(name.lower(), default))
        if found is None or found == "":
            raise SettingInvalid(setting=name, problem="it is required")
        return str(found)

    def optional(self, name: str) -> str | None:
        """A text, or None where nobody set it."""
        found = self._environment.get(name, self._file.get(name.lower()))
        return None if found is None or found == "" else str(found)

    def integer(
        self, name: str, default: int | None = None, *, least: int = 0, most: int = _LARGEST
    ) -> int:
        """A whole number from `least` to `most`."""
        found = self.text(name, None if default is None else str(default))
        try:
            number = int(found)
        except ValueError:
            raise SettingInvalid(setting=name, problem="not a whole number", got=found) from None
        if number < least:
            raise SettingInvalid(setting=name, problem=f"less than {least}", got=found)
        if number > most:
            raise SettingInvalid(setting=name, problem=f"more than {most}", got=found)
        return number

    def words(self, name: str, default: str | None = None) -> tuple[str, ...]:
        """A comma-separated list with at least one entry."""
        parts = tuple(part.strip() for part in self.text(name, default).split(",") if part.strip())
        if not parts:
            raise SettingInvalid(setting=name, problem="an empty list")
        return parts

    def address(self, name: str, default: str | None = None) -> Address:
        """`host:port`; port 0 lets the system choose."""
        found = self.text(name, default)
        host, colon, port = found.rpartition(":")
        if not colon or not host or not port.isdigit() or int(port) > 65_535:
            raise SettingInvalid(setting=name, problem="write it as host:port", got=found)
        return Address(host=host, port=int(port))

    def file(self, name: str) -> Path:
        """The path of a file that must exist."""
        path = Path(self.text(name))
        if not path.is_file():
            raise SettingInvalid(setting=name, problem="there is no such file", got=str(path))
        return path
