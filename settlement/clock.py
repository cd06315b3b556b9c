"""The only place that reads wall time.

Chain times (bonds, cooldowns) come from the chain's clock and never pass through here; this clock
decides limits, leases and what a row says about when it was written.
"""

import secrets
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID


class Clock(Protocol):
    """What the services ask for the time; tests hand in a fixed one."""

    def now(self) -> datetime:
        """Wall time, aware, in UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Wall time, aware, in UTC."""
        return datetime.now(UTC)


def new_id(clock: Clock) -> UUID:
    """A version-7 UUID (RFC 9562): milliseconds of `clock` and 74 random bits."""
    moment = clock.now()
    milliseconds = int(moment.timestamp()) * 1000 + moment.microsecond // 1000
    value = (milliseconds & (2**48 - 1)) << 80
    value |= 0x7 << 76
    value |= secrets.randbits(12) << 64
    value |= 0b10 << 62
    value |= secrets.randbits(62)
    return UUID(int=value)
