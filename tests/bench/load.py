"""Sends the same chat request again and again from several clients, and counts what comes back."""

import asyncio
import statistics
import time
from dataclasses import dataclass

import aiohttp

from tests.bench.harness import Number

_TIMEOUT = aiohttp.ClientTimeout(total=30)


@dataclass(frozen=True, kw_only=True)
class Load:
    """How hard to push: so many clients, each with one request at a time, for so long."""

    clients: int
    seconds: float
    words: int


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What came back, and how long each answer took."""

    seconds: float
    taken: list[float]
    failed: int

    @property
    def per_second(self) -> float:
        """Good answers a second."""
        return len(self.taken) / self.seconds

    def figures(self) -> dict[str, Number]:
        """For the report."""
        quantiles = statistics.quantiles(self.taken, n=100) if len(self.taken) > 1 else [0.0] * 99
        return {
            "requests": len(self.taken),
            "failed": self.failed,
            "requests_per_second": round(self.per_second, 1),
            "p50_ms": round(quantiles[49] * 1_000, 2),
            "p99_ms": round(quantiles[98] * 1_000, 2),
        }


async def push(url: str, model: str, load: Load) -> Answers:
    """Push one URL; requests that were begun in time are waited for."""
    body = {
        "model": model,
        "messages": [{"role": "user", "content": f"write exactly {load.words} words"}],
        "max_tokens": load.words,
    }
    taken: list[float] = []
    failed = 0
    begun = time.perf_counter()

    async def client(http: aiohttp.ClientSession) -> None:
        nonlocal failed
        while time.perf_counter() < begun + load.seconds:
            sent = time.perf_counter()
            async with http.post(url, json=body) as answer:
                await answer.read()
                if answer.status == 200:
                    taken.append(time.perf_counter() - sent)
                else:
                    failed += 1

    connector = aiohttp.TCPConnector(limit=load.clients)
    async with aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT) as http:
        await asyncio.gather(*(client(http) for _ in range(load.clients)))
    return Answers(seconds=time.perf_counter() - begun, taken=taken, failed=failed)
