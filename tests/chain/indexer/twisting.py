"""A proxy before a real node that changes some of its answers: the rest is the node's own word."""

import base64
import json
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from settlement.chain.program import TOKEN_PROGRAM

_AMOUNT = slice(64, 72)


@dataclass(kw_only=True)
class Twist:
    """What is wrong with the node. Everything may be changed while it runs."""

    url: str
    hidden: set[str] = field(default_factory=set[str])  # signatures no listing shows
    lies: dict[str, int] = field(default_factory=dict[str, int])  # added to balances, by address
    gone: set[str] = field(default_factory=set[str])  # accounts it says are not there
    asked: Counter[str] = field(default_factory=Counter[str])

    def changed(self, asked: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        """The node's answer, as this one tells it."""
        if "result" not in answer:
            return answer
        result, params = answer["result"], asked["params"]
        if asked["method"] == "getSignaturesForAddress":
            shown = [one for one in result if one["signature"] not in self.hidden]
            return answer | {"result": shown}
        if asked["method"] == "getAccountInfo" and params[0] in self.gone:
            return answer | {"result": result | {"value": None}}
        if asked["method"] == "getAccountInfo" and params[0] in self.lies and result["value"]:
            value = result["value"] | {"data": _lie(result["value"], self.lies[params[0]])}
            return answer | {"result": result | {"value": value}}
        return answer


def _lie(account: dict[str, Any], difference: int) -> list[str]:
    assert account["owner"] == str(TOKEN_PROGRAM)
    data = bytearray(base64.b64decode(account["data"][0]))
    amount = int.from_bytes(data[_AMOUNT], "little") + difference
    data[_AMOUNT] = amount.to_bytes(8, "little")
    return [base64.b64encode(bytes(data)).decode(), "base64"]


@asynccontextmanager
async def twisted(real_url: str) -> AsyncGenerator[Twist]:
    """A node in front of the real one, honest until told otherwise."""
    async with aiohttp.ClientSession() as session:

        async def serve(request: web.Request) -> web.Response:
            asked = await request.json()
            twist.asked[asked["method"]] += 1
            async with session.post(real_url, json=asked) as response:
                answer = await response.json()
            return web.Response(
                text=json.dumps(twist.changed(asked, answer)), content_type="application/json"
            )

        application = web.Application()
        application.add_routes([web.post("/", serve)])
        runner = web.AppRunner(application, shutdown_timeout=0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        twist = Twist(url=f"http://127.0.0.1:{runner.addresses[0][1]}")
        try:
            yield twist
        finally:
            await runner.cleanup()
