"""Looks at a role from outside: is it there, can it work, and what does it say about itself?"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import asyncpg

from cli.supervisor.child import Finding

_TIMEOUT = aiohttp.ClientTimeout(total=2.0)
_DATABASE_SECONDS = 2.0

Probe = Callable[[], Awaitable[Finding]]


def health_of(http: aiohttp.ClientSession, url: str) -> Probe:
    """Ask `url` (a role's /health); a role that answers with another status than 200 is unwell."""

    async def look() -> Finding:
        try:
            async with http.get(url, timeout=_TIMEOUT) as answer:
                body: Any = await answer.json(content_type=None)
                line = body.get("line") or body.get("status") or ""
                return Finding(well=answer.status == 200, line=str(line))
        except (aiohttp.ClientError, TimeoutError, ValueError, AttributeError) as error:
            return Finding(well=False, line=_why(error))

    return look


def chain_at(http: aiohttp.ClientSession, url: str) -> Probe:
    """Ask an RPC node whether it is healthy and where it is."""

    async def look() -> Finding:
        try:
            if await _call(http, url, "getHealth") != "ok":
                return Finding(well=False, line="not healthy")
            return Finding(well=True, line=f"slot {await _call(http, url, 'getSlot')}")
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            return Finding(well=False, line=_why(error))

    return look


def database_at(dsn: str) -> Probe:
    """Connect to a database and ask it something."""

    async def look() -> Finding:
        try:
            connection = await asyncpg.connect(dsn, timeout=_DATABASE_SECONDS)
            try:
                version = await connection.fetchval("show server_version", timeout=1.0)
            finally:
                await connection.close(timeout=1.0)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            return Finding(well=False, line=_why(error))
        return Finding(well=True, line=f"PostgreSQL {version}")

    return look


async def _call(http: aiohttp.ClientSession, url: str, method: str) -> object:
    request = {"jsonrpc": "2.0", "id": 1, "method": method}
    async with http.post(url, json=request, timeout=_TIMEOUT) as answer:
        body: Any = await answer.json(content_type=None)
    if "result" not in body:
        raise ValueError(f"{method}: {body.get('error')}")
    return body["result"]


def _why(error: BaseException) -> str:
    """A short reason for people."""
    if isinstance(error, asyncio.TimeoutError):
        return "does not answer"
    if isinstance(error, aiohttp.ClientConnectorError | ConnectionError):
        return "does not listen yet"
    return f"{type(error).__name__}: {error}".strip(": ")
