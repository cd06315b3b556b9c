"""Lengths of time as they are typed and as they are told: exactly, to the second. Pure."""

import re
from typing import Final

from settlement.errors import Refused

DAY_SECONDS: Final = 86_400
_UNITS: Final = {"d": DAY_SECONDS, "h": 3_600, "min": 60, "s": 1}
_LENGTH: Final = re.compile(r"([0-9]{1,10})\s*(d|h|min|s)")


class InvalidLength(Refused):
    """A length of time is a whole number with its unit: 14d, 36h, 90min or 45s."""


def length(seconds: int) -> str:
    """A length of time in whole units, nothing left out: `90 d`, `6 d 23 h`, `45 s`."""
    parts: list[str] = []
    for unit, size in _UNITS.items():
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts) or "0 s"


def parse_length(text: str) -> int:
    """Seconds of `14d`, `36h`, `90min` or `45s`. Raises `InvalidLength`."""
    found = _LENGTH.fullmatch(text.strip().lower())
    if found is None:
        raise InvalidLength(got=text)
    return int(found[1]) * _UNITS[found[2]]
