"""One RPC node as we experience it: how it answers, how fast it may be asked, when it is let be.

Three brakes, each for another reason. A *rest* is what the node itself asked for (429, Retry-After)
or the pause after a fault. The *token bucket* keeps us below the rate we are allowed. The *breaker*
opens after many faults in a row: then nobody is sent to wait for an answer that will not come; when
its time is over one caller may try, and an answer closes it.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

_NEWEST_WEIGHS: Final = 0.1  # of one answer in the running averages
_LONGEST_DOUBLINGS: Final = 10


@dataclass(frozen=True, kw_only=True)
class NodeLimits:
    """How fast a node may be asked, and when it is given up for a while."""

    requests_per_second: float | None = None  # None: as fast as we like
    burst: int = 20  # so many at once after a silence
    breaker_faults: int | None = None  # so many in a row open the breaker; None: it never opens
    breaker_seconds: float = 1.0  # how long it is open at first; twice as long each time
    breaker_longest_seconds: float = 15.0


class TokenBucket:
    """Lets through `requests_per_second` on average and `burst` at once, in the order of asking."""

    def __init__(self, requests_per_second: float | None, burst: int) -> None:
        assert burst >= 1, "a bucket that lets nobody through"
        self._rate = requests_per_second
        self._burst = burst
        self._tokens = float(burst)
        self._filled_at_seconds: float | None = None

    def wait_seconds(self, now_seconds: float) -> float:
        """Take a turn; say how long to wait before using it."""
        if self._rate is None:
            return 0.0
        if self._filled_at_seconds is not None:
            earned = (now_seconds - self._filled_at_seconds) * self._rate
            self._tokens = min(float(self._burst), self._tokens + earned)
        self._filled_at_seconds = now_seconds
        self._tokens -= 1
        return max(0.0, -self._tokens / self._rate)


@dataclass(kw_only=True)
class Experience:
    """What a node was like, newest answers weighing most. Times are in seconds."""

    answers: int = 0
    faults: int = 0
    returns: int = 0  # how often it answered again after it had been given up
    latency_seconds: float = 0.0
    error_rate: float = 0.0  # between 0 and 1
    last_problem: str | None = None

    def answered(self, latency_seconds: float) -> None:
        """It gave an answer."""
        self.answers += 1
        first = self.answers == 1
        self.latency_seconds += (latency_seconds - self.latency_seconds) * (
            1.0 if first else _NEWEST_WEIGHS
        )
        self.error_rate -= self.error_rate * _NEWEST_WEIGHS

    def failed(self, problem: str) -> None:
        """It gave none, or nonsense."""
        self.faults += 1
        self.error_rate += (1.0 - self.error_rate) * _NEWEST_WEIGHS
        self.last_problem = problem


@dataclass(kw_only=True)
class RpcNode:
    """One URL. Times are those of the event loop, in seconds."""

    url: str
    limits: NodeLimits = field(default_factory=NodeLimits)
    experience: Experience = field(default_factory=Experience)
    rests_until_seconds: float = 0.0  # asked earlier only where there is no other node
    let_be_until_seconds: float = 0.0  # asked earlier by nobody: the node itself wants that
    bucket: TokenBucket = field(init=False)
    _faults_in_a_row: int = 0
    _times_opened: int = 0
    _open_until_seconds: float | None = None

    def __post_init__(self) -> None:
        self.bucket = TokenBucket(self.limits.requests_per_second, self.limits.burst)

    @property
    def shown(self) -> str:
        """The host: paths, queries and user names of provider URLs carry keys."""
        return urlsplit(self.url).hostname or "?"

    @property
    def open(self) -> bool:
        """Whether the breaker is open: it has not answered since."""
        return self._open_until_seconds is not None

    def free_at_seconds(self) -> float:
        """When it is rested."""
        return max(self.rests_until_seconds, self.closed_until_seconds())

    def closed_until_seconds(self) -> float:
        """Until when nobody may ask it at all."""
        return max(self.let_be_until_seconds, self._open_until_seconds or 0.0)

    async def turn(self) -> None:
        """Wait for our turn. Whoever tries an open breaker keeps the others waiting for it."""
        now_seconds = asyncio.get_running_loop().time()
        if self._open_until_seconds is not None:
            self._open_until_seconds = now_seconds + self.limits.breaker_seconds
        pause_seconds = self.bucket.wait_seconds(now_seconds)
        if pause_seconds > 0:
            await asyncio.sleep(pause_seconds)

    def answered(self, latency_seconds: float) -> None:
        """An answer, a refusal too: the node works."""
        self.experience.answered(latency_seconds)
        if self.open:
            self.experience.returns += 1
        self._faults_in_a_row = self._times_opened = 0
        self._open_until_seconds = None

    def failed(self, problem: str, *, rest_seconds: float, asked_seconds: float) -> None:
        """No usable answer: it rests, and after too many of them the breaker opens."""
        now_seconds = asyncio.get_running_loop().time()
        self.experience.failed(problem)
        self.rests_until_seconds = max(self.rests_until_seconds, now_seconds + rest_seconds)
        self.let_be_until_seconds = max(self.let_be_until_seconds, now_seconds + asked_seconds)
        self._faults_in_a_row += 1
        most = self.limits.breaker_faults
        if most is not None and self._faults_in_a_row >= most:
            doubled = 2 ** min(self._times_opened, _LONGEST_DOUBLINGS)
            seconds = min(
                self.limits.breaker_seconds * doubled, self.limits.breaker_longest_seconds
            )
            self._times_opened += 1
            self._open_until_seconds = now_seconds + seconds

    def put_off(self, *, rest_seconds: float) -> None:
        """It works but cannot say yet (a slot it has not reached): asked again a little later."""
        now_seconds = asyncio.get_running_loop().time()
        self.rests_until_seconds = max(self.rests_until_seconds, now_seconds + rest_seconds)
