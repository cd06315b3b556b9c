"""A node in front of a real one that passes calls on, loses some answers and makes others up."""

import json
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import aiohttp
from aiohttp import web


class Fate(StrEnum):
    """What becomes of one call."""

    PASSED = "passed"
    DROPPED = "dropped"  # the real node never hears of it
    LOST = "lost"  # the real node does as asked, the answer never arrives


# The method, and which call of it this is (from 1): a fate, or the result to make up.
Rule = Callable[[str, int], "Fate | dict[str, Any]"]


@dataclass
class Between:
    """Where to ask, and what was asked."""

    real: str
    rule: Rule
    url: str = ""
    calls: Counter[str] = field(default_factory=Counter[str])
    sent: set[str] = field(default_factory=set[str])

    async def handle(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        asked: dict[str, Any] = json.loads(raw)
        self.calls[asked["method"]] += 1
        if asked["method"] == "sendTransaction":
            self.sent.add(asked["params"][0])
        fate = self.rule(asked["method"], self.calls[asked["method"]])
        if isinstance(fate, dict):
            return web.json_response({"jsonrpc": "2.0", "id": asked["id"], **fate})
        answer = b"" if fate is Fate.DROPPED else await self._pass(raw)
        if fate is not Fate.PASSED:
            assert request.transport is not None
            request.transport.abort()
        return web.Response(body=answer, content_type="application/json")

    async def _pass(self, raw: bytes) -> bytes:
        headers = {"Content-Type": "application/json"}
        async with (
            aiohttp.ClientSession() as session,
            session.post(self.real, data=raw, headers=headers) as response,
        ):
            return await response.read()


@asynccontextmanager
async def between(real: str, rule: Rule) -> AsyncGenerator[Between]:
    """Stand between a client and the real node for as long as the block lasts."""
    made = Between(real, rule)
    application = web.Application()
    application.add_routes([web.post("/", made.handle)])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield made
    finally:
        await runner.cleanup()
