"""Reading a TOML file strictly: a wrong or unknown key is named with the whole path to it."""

import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

from solders.pubkey import Pubkey


class SettingsError(Exception):
    """A TOML file cannot be used; the message names the key."""


def read_document(path: Path) -> dict[str, Any]:
    """The parsed file. Raises `SettingsError`."""
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        raise SettingsError(f"{path}: no such file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: {error}") from None


class Table:
    """One table of the file: hands out values once, and complains about what is left over."""

    def __init__(self, path: str, values: object) -> None:
        """`path` is the way to this table, "" for the document. Raises `SettingsError`."""
        if not isinstance(values, Mapping):
            raise SettingsError(f"{path}: expected a table")
        self._path = path
        self._values = dict(cast("Mapping[str, Any]", values))

    def fail(self, key: str, why: str) -> SettingsError:
        """What to raise about a key."""
        return SettingsError(f"{self._name(key)}: {why}")

    def end(self) -> None:
        """Refuse what nobody has asked for."""
        for key in self._values:
            raise self.fail(key, "unknown key")

    def table(self, key: str) -> "Table":
        """A table inside; empty when it is missing."""
        return Table(self._name(key), self._values.pop(key, {}))

    def tables(self, key: str) -> list["Table"]:
        """An array of tables; empty when it is missing."""
        values = self._values.pop(key, [])
        if not isinstance(values, list):
            raise self.fail(key, f"expected [[{self._name(key)}]] tables")
        items = cast("list[object]", values)
        return [Table(f"{self._name(key)}[{i}]", value) for i, value in enumerate(items)]

    def string(self, key: str, default: str | None = None) -> str | None:
        """A string that is not empty."""
        value = self._values.pop(key, default)
        if value is not None and (not isinstance(value, str) or not value):
            raise self.fail(key, "expected a non-empty string")
        return value

    def required(self, key: str) -> str:
        """A string that has to be there."""
        value = self.string(key)
        if value is None:
            raise self.fail(key, "missing")
        return value

    def integer(self, key: str, default: int, low: int, high: int) -> int:
        """A whole number, the bounds included."""
        value = self._values.pop(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.fail(key, f"expected a whole number from {low} to {high}")
        return value

    def whole(self, key: str, low: int) -> int | None:
        """A whole number of at least `low`, if given."""
        if key not in self._values:
            return None
        return self.integer(key, low, low, 2**63 - 1)

    def fraction(self, key: str, default: float) -> float:
        """A number from 0 to 1."""
        value = self._values.pop(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise self.fail(key, "expected a number from 0 to 1")
        return float(value)

    def boolean(self, key: str, default: bool) -> bool:
        """true or false."""
        value = self._values.pop(key, default)
        if not isinstance(value, bool):
            raise self.fail(key, "expected true or false")
        return value

    def strings(self, key: str, default: tuple[str, ...]) -> tuple[str, ...]:
        """An array of strings."""
        value = self._values.pop(key, list(default))
        if not isinstance(value, list):
            raise self.fail(key, "expected an array of strings")
        items = cast("list[object]", value)
        if not all(isinstance(item, str) for item in items):
            raise self.fail(key, "expected an array of strings")
        return tuple(cast("list[str]", items))

    def has(self, key: str) -> bool:
        """Whether the key is given and has not been asked for."""
        return key in self._values

    def amount(self, key: str, digits: int) -> int:
        """Units of 10^-digits from an integer or a string like "12.5"; never from a float."""
        value = self._values.pop(key, 0)
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise self.fail(key, 'expected a whole number or a string like "12.5"')
        try:
            units = Decimal(value).scaleb(digits)
        except ArithmeticError:
            raise self.fail(key, f"{value!r} is not an amount") from None
        if not units.is_finite() or not 0 <= units < 2**63 or units != int(units):
            raise self.fail(key, f"{value!r} is not an amount with at most {digits} digits")
        return int(units)

    def address(self, key: str) -> Pubkey | None:
        """An address in base58, if given."""
        value = self.string(key)
        if value is None:
            return None
        try:
            return Pubkey.from_string(value)
        except ValueError:
            raise self.fail(key, f"{value!r} is not an address") from None

    def _name(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key
