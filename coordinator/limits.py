"""How often one caller may knock. Times are the loop's clock, handed in."""

from collections import deque
from collections.abc import Generator, Hashable
from contextlib import contextmanager
from dataclasses import dataclass

from settlement.errors import Unavailable

SECONDS_PER_MINUTE = 60
_MOST_REMEMBERED = 10_000


@dataclass(frozen=True, kw_only=True)
class HttpLimits:
    """What one caller may do."""

    register_per_minute: int = 10
    payments_per_minute: int = 120
    withdrawals_per_minute: int = 30
    requests_per_minute: int = 60_000
    requests_at_once: int = 512
    body_bytes: int = 8 * 1024 * 1024
    body_seconds: float = 30
    write_seconds: float = 30


class TooManyRequests(Unavailable):
    """Too many requests; slow down and try again."""


class SlidingWindow:
    """At most so many in any minute, per key; exact, so for small numbers."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._seen: dict[Hashable, deque[float]] = {}

    def admit(self, key: Hashable, now: float) -> None:
        """Raises `TooManyRequests`, saying how long to wait."""
        if len(self._seen) > _MOST_REMEMBERED:
            self._forget(now)
        seen = self._seen.setdefault(key, deque())
        while seen and seen[0] <= now - SECONDS_PER_MINUTE:
            seen.popleft()
        if len(seen) >= self._per_minute:
            wait = int(seen[0] + SECONDS_PER_MINUTE - now) + 1
            raise TooManyRequests(retry_after_seconds=wait)
        seen.append(now)

    def _forget(self, now: float) -> None:
        old = now - SECONDS_PER_MINUTE
        self._seen = {key: seen for key, seen in self._seen.items() if seen and seen[-1] > old}


@dataclass(kw_only=True)
class _Use:
    allowance: float
    seen_at: float
    running: int = 0


class Gate:
    """Requests of one user: how many per minute (evenly refilled) and how many at once."""

    def __init__(self, *, per_minute: int, at_once: int) -> None:
        self._per_minute = per_minute
        self._at_once = at_once
        self._uses: dict[Hashable, _Use] = {}

    @contextmanager
    def enter(self, key: Hashable, now: float) -> Generator[None]:
        """Raises `TooManyRequests`; counts as running until left."""
        use = self._use(key, now)
        if use.running >= self._at_once or use.allowance < 1:
            raise TooManyRequests(retry_after_seconds=1)
        use.allowance -= 1
        use.running += 1
        try:
            yield
        finally:
            use.running -= 1

    def _use(self, key: Hashable, now: float) -> _Use:
        if len(self._uses) > _MOST_REMEMBERED:
            old = now - SECONDS_PER_MINUTE
            self._uses = {k: u for k, u in self._uses.items() if u.running or u.seen_at > old}
        use = self._uses.setdefault(key, _Use(allowance=self._per_minute, seen_at=now))
        refill = (now - use.seen_at) * self._per_minute / SECONDS_PER_MINUTE
        use.allowance = min(self._per_minute, use.allowance + refill)
        use.seen_at = now
        return use
