"""Times as people read them, and the chain's own clock, which is the one that decides."""

from datetime import UTC, datetime
from typing import Final

from settlement.chain.answers import AccountAt
from settlement.chain.layouts import PauseRecord
from settlement.errors import Refused, Unavailable

_UNITS: Final = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))
_TIME_AT: Final = 32
_CLOCK_SIZE: Final = 40


class NoClock(Unavailable):
    """The node did not show the chain's clock."""


class PausedForNow(Refused):
    """Paused by the clearing house; a pause ends by itself within 72 hours."""


def chain_now(found: AccountAt) -> int:
    """The time of the Clock sysvar, in Unix seconds. Raises `NoClock`."""
    if found.account is None or len(found.account.data) != _CLOCK_SIZE:
        raise NoClock(slot=found.slot)
    return int.from_bytes(found.account.data[_TIME_AT:_CLOCK_SIZE], "little", signed=True)


def duration(seconds: int) -> str:
    """`90 days`, `6 days 23 hours`: the two largest units that are not zero."""
    rest, parts = abs(seconds), list[str]()
    for size, name in _UNITS:
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count} {name}{'' if count == 1 else 's'}")
    return " ".join(parts[:2]) or "0 seconds"


def moment(at: int, now: int) -> str:
    """`2027-02-19 03:14:07 UTC (in 90 days)`."""
    relative = "now" if at == now else f"in {duration(at - now)}"
    if at < now:
        relative = f"{duration(now - at)} ago"
    return f"{utc(at)} ({relative})"


def utc(at: int) -> str:
    """`2027-02-19 03:14:07 UTC`."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"


def check_not_paused(record: PauseRecord, now: int, what: str) -> None:
    """Raises `PausedForNow`, saying until when."""
    if now < record.paused_until:
        raise PausedForNow(paused=what, until=moment(record.paused_until, now))
