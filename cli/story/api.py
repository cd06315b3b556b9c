"""The coordinator and the provider as their clients see them, over plain HTTP.

A call that fails on the way or with a 5xx is made again, with the same Idempotency-Key, until it is
answered: whoever restarts a process meanwhile changes nothing but the time it takes.
"""

import asyncio
import json
import time
from typing import Any, TypeAlias
from uuid import uuid4

import aiohttp

from cli.story.report import StoryFailed

Json: TypeAlias = Any  # what a server answers; who asked knows the shape
PATIENCE_SECONDS = 120.0
PAUSE_SECONDS = 0.15
_TIMEOUT = aiohttp.ClientTimeout(total=10.0)


class ApiRefused(StoryFailed):
    """The server answered with a client error."""

    def __init__(self, where: str, status: int, body: str) -> None:
        self.status = status
        super().__init__(f"{where}: HTTP {status}: {body[:500]}")


class Api:
    """One server. `bearer` goes into the Authorization header of every call."""

    def __init__(
        self, http: aiohttp.ClientSession, base_url: str, bearer: str | None = None
    ) -> None:
        self._http = http
        self._base_url = base_url
        self._headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}

    def with_bearer(self, token: str) -> "Api":
        """The same server, called with a token."""
        return Api(self._http, self._base_url, token)

    def below(self, path: str) -> "Api":
        """The same server, all paths below this one."""
        return Api(self._http, f"{self._base_url}{path}")

    async def get(self, path: str) -> Json:
        """The JSON answer. Raises `ApiRefused`, `StoryFailed`."""
        return await self._call("GET", path, None, {})

    async def post(self, path: str, body: str | None = None) -> Json:
        """Send JSON text once, however often it takes. Raises `ApiRefused`, `StoryFailed`."""
        headers = {"Idempotency-Key": str(uuid4())}
        if body is not None:
            headers["Content-Type"] = "application/json"
        return await self._call("POST", path, body, headers)

    async def _call(
        self, method: str, path: str, body: str | None, headers: dict[str, str]
    ) -> Json:
        where = f"{method} {path}"
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                async with self._http.request(
                    method,
                    f"{self._base_url}{path}",
                    data=body,
                    headers={**self._headers, **headers},
                    timeout=_TIMEOUT,
                ) as answer:
                    text = await answer.text()
                    status = answer.status
                if status < 300:
                    return json.loads(text)
                trouble = ApiRefused(where, status, text)
                if status < 500 and status != 429:
                    raise trouble
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                trouble = StoryFailed(f"{where}: {type(error).__name__}: {error}")
            if time.monotonic() > deadline:
                raise trouble
            await asyncio.sleep(PAUSE_SECONDS)
