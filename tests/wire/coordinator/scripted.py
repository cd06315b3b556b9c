"""An agent that does what a test says, frame by frame, and the events backends stream."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import aiohttp
from nacl.signing import SigningKey

EMPTY: dict[str, object] = {}


@dataclass(kw_only=True)
class User:
    """A registered user."""

    token: str
    code: bytes


@dataclass(kw_only=True)
class Operator:
    """An enrolled operator and the key of its agent."""

    provider_id: UUID
    token: str
    code: str
    wallet: str
    key: SigningKey = field(default_factory=SigningKey.generate)


@dataclass(kw_only=True)
class Agent:
    """An agent that does what a test says, frame by frame."""

    socket: aiohttp.ClientWebSocketResponse
    operator: Operator

    async def frame(self) -> dict[str, Any]:
        message = await self.socket.receive(timeout=10)
        assert message.type is aiohttp.WSMsgType.TEXT, message
        return json.loads(message.data)

    async def send(self, **frame: object) -> None:
        await self.socket.send_str(json.dumps(frame))

    async def closed(self) -> int | None:
        """Wait for the Close; its code."""
        async with asyncio.timeout(10):
            while not self.socket.closed:
                await self.socket.receive()
        return self.socket.close_code

    async def authenticate(self, **more: object) -> dict[str, Any]:
        challenge = await self.frame()
        nonce = base64.b64decode(challenge["nonce"], validate=True)
        await self.send(
            type="auth_response",
            pubkey=b64(bytes(self.operator.key.verify_key)),
            signature=b64(self.operator.key.sign(nonce).signature),
            agent_version="0.3.3",
            **more,
        )
        return await self.frame()

    async def advertise(self, models: dict[str, int], *, slots: int = 4, **limits: object) -> None:
        await self.send(
            type="capabilities",
            models=[
                {
                    "model_id": model,
                    "input_per_1m": price,
                    "output_per_1m": price,
                    "max_concurrent": slots,
                    "backend": "vllm",
                }
                for model, price in models.items()
            ],
            limits={"max_concurrent_total": slots, "max_tokens_per_minute": None} | limits,
            metadata={"agent_version": "0.3.3"},
        )

    async def job(self) -> dict[str, Any]:
        frame = await self.frame()
        assert frame["type"] == "job", frame
        return frame

    async def cancelled(self, job: dict[str, Any]) -> None:
        assert await self.frame() == {"type": "job_cancel", "job_id": job["job_id"]}

    async def give(self, job: dict[str, Any], data: bytes) -> None:
        await self.send(type="job_chunk", job_id=job["job_id"], data=b64(data))

    async def say(self, job: dict[str, Any], text: str) -> None:
        await self.give(job, delta(content=text))

    async def done(self, job: dict[str, Any], *, claim: tuple[int, int] = (9, 3)) -> None:
        tokens = {"input": claim[0], "output": claim[1]}
        tokens |= {"input_tokens": claim[0], "output_tokens": claim[1]}
        await self.send(type="job_done", job_id=job["job_id"], tokens=tokens, duration_ms=12)

    async def fail(self, job: dict[str, Any], code: str = "internal", message: str = "no") -> None:
        await self.send(
            type="job_error",
            job_id=job["job_id"],
            error_code=code,
            message=message,
            tokens_emitted=0,
        )

    async def answer(self, job: dict[str, Any], text: str) -> None:
        """A whole good answer, the way a backend streams it."""
        await self.give(job, delta(role="assistant", content=""))
        for word in text.split(" "):
            await self.say(job, word + " ")
        await self.give(job, finish() + usage(9, 99) + b"data: [DONE]\n\n")
        await self.done(job)


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def ask(**more: object) -> dict[str, object]:
    """A request of two tokens."""
    messages = [{"role": "user", "content": "hello there"}]
    return {"model": "tiny-chat", "messages": messages, **more}


def event(**told: object) -> bytes:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 7, "model": "tiny"}
    return b"data: " + json.dumps(head | told).encode() + b"\n\n"


def delta(**fields: object) -> bytes:
    return event(choices=[{"index": 0, "delta": fields, "finish_reason": None}])


def finish(reason: str = "stop") -> bytes:
    return event(choices=[{"index": 0, "delta": EMPTY, "finish_reason": reason}])


def usage(prompt: int, completion: int) -> bytes:
    return event(
        choices=[],
        usage={
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        },
    )


async def events_of(response: aiohttp.ClientResponse) -> AsyncIterator[Any]:
    """The decoded events of a stream; '[DONE]' as it is."""
    async for line in response.content:
        if line.startswith(b"data: "):
            data = line[6:].strip()
            yield "[DONE]" if data == b"[DONE]" else json.loads(data)


def text_of(events: list[Any]) -> str:
    return "".join(
        choice["delta"].get("content") or ""
        for each in events
        if each != "[DONE]"
        for choice in each["choices"]
    )


async def answered(agent: Agent, text: str = "one two three") -> dict[str, Any]:
    job = await agent.job()
    await agent.answer(job, text)
    return job
