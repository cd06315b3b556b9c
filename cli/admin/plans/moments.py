"""Times and lengths of time as people read and write them. Pure; every time is the chain's."""

import re
from datetime import UTC, datetime
from typing import Final

from settlement.errors import Refused

DAY_SECONDS: Final = 86_400
_UNITS: Final = {"d": DAY_SECONDS, "h": 3_600, "min": 60, "s": 1}
_LENGTH: Final = re.compile(r"([0-9]{1,10})\s*(d|h|min|s)")


class InvalidLength(Refused):
    """A length of time is a whole number with its unit: 14d, 36h, 90min or 45s."""


def duration(seconds: int) -> str:
    """A length of time in whole units: `90 d`, `6 d 23 h`, `45 s`."""
    parts: list[str] = []
    for unit, length in _UNITS.items():
        count, seconds = divmod(seconds, length)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts) or "0 s"


def parse_duration(text: str, *, field: str) -> int:
    """Seconds of `14d`, `36h`, `90min` or `45s`. Raises `InvalidLength` naming the field."""
    found = _LENGTH.fullmatch(text.strip().lower())
    if found is None:
        raise InvalidLength(field=field, got=text)
    return int(found[1]) * _UNITS[found[2]]


def moment(at: int, now: int) -> str:
    """A time, and how far it is from now: `2027-01-15 08:00:00 UTC (in 2 d)`."""
    distance = f"in {duration(at - now)}" if at > now else f"{duration(now - at)} ago"
    if at == now:
        distance = "now"
    return f"{_date(at)} ({distance})"


def _date(at: int) -> str:
    try:
        return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return f"second {at}"  # the chain's times reach further than the calendar
