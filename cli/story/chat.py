"""Chat requests through the unmodified openai SDK, as any user would send them.

A request that fails is sent again, as a new one: nobody pays for one that was not delivered.
"""

import asyncio
import time
from dataclasses import dataclass

import httpx2
import openai

from cli.story.api import PATIENCE_SECONDS, PAUSE_SECONDS
from cli.story.report import StoryFailed

_TIMEOUT_SECONDS = 30.0
_MORE_TOKENS = 16  # than we ask for: the answer ends by itself, not by the limit


@dataclass(frozen=True, kw_only=True)
class Answered:
    """An answer that came to its end."""

    request_id: str
    text: str
    streamed: bool
    attempts: int


class _Incomplete(Exception):
    """A stream stopped before its end."""


class Chat:
    """One user's OpenAI client."""

    def __init__(self, base_url: str, model: str) -> None:
        self._client = openai.AsyncOpenAI(
            base_url=base_url, api_key="unused", max_retries=0, timeout=_TIMEOUT_SECONDS
        )
        self._model = model

    async def close(self) -> None:
        """Close its connections."""
        await self._client.close()

    async def ask(self, number: int, words: int, *, stream: bool) -> Answered:
        """Ask until one answer came to its end. Raises `StoryFailed` after minutes of trying."""
        prompt = f"Request {number}: write exactly {words} words about settling accounts."
        deadline = time.monotonic() + PATIENCE_SECONDS
        attempts = 0
        while True:
            attempts += 1
            try:
                once = self._streamed if stream else self._whole
                request_id, text = await once(prompt, words + _MORE_TOKENS)
            except (openai.OpenAIError, httpx2.HTTPError, _Incomplete) as error:
                if time.monotonic() > deadline:
                    raise StoryFailed(f"request {number}: {error}") from error
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                return Answered(
                    request_id=request_id, text=text, streamed=stream, attempts=attempts
                )

    async def _whole(self, prompt: str, most_tokens: int) -> tuple[str, str]:
        raw = await self._client.chat.completions.with_raw_response.create(
            model=self._model,
            messages=[{"role": "user", "content": prompt}],
            max_tokens=most_tokens,
        )
        choice = raw.parse().choices[0]
        if choice.finish_reason != "stop":
            raise _Incomplete(f"ended by {choice.finish_reason}")
        return raw.headers["x-request-id"], choice.message.content or ""

    async def _streamed(self, prompt: str, most_tokens: int) -> tuple[str, str]:
        raw = await self._client.chat.completions.with_raw_response.create(
            model=self._model,
            messages=[{"role": "user", "content": prompt}],
            max_tokens=most_tokens,
            stream=True,
        )
        pieces: list[str] = []
        finished = None
        async for chunk in raw.parse():
            for choice in chunk.choices:
                pieces.append(choice.delta.content or "")
                finished = choice.finish_reason or finished
        if finished != "stop":
            raise _Incomplete(f"the stream ended by {finished}")
        return raw.headers["x-request-id"], "".join(pieces)
