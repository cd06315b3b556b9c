"""An agent in the test's own hand: every frame sent and read by the test."""

import base64
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast

import aiohttp
from aiohttp import WSMsgType

from localnet.provider_identity import Identity
from tests.wire.market import Json, Market


@dataclass(kw_only=True)
class Hand:
    """One connection to the coordinator."""

    socket: aiohttp.ClientWebSocketResponse

    async def send(self, **frame: object) -> None:
        """Send one frame."""
        await self.socket.send_str(json.dumps(frame))

    async def receive(self) -> Json:
        """The coordinator's next frame; `{"close": code}` when it ends the connection."""
        message = await self.socket.receive(timeout=10)
        if message.type is WSMsgType.TEXT:
            return cast(Json, json.loads(message.data))
        assert message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED), message
        return {"close": self.socket.close_code}

    async def respond(self, identity: Identity, **changes: object) -> Json:
        """Answer the challenge; the verdict."""
        challenge = await self.receive()
        assert set(challenge) == {"type", "nonce"}
        assert challenge["type"] == "auth_challenge"
        nonce = base64.b64decode(str(challenge["nonce"]), validate=True)
        response: Json = {
            "type": "auth_response",
            "pubkey": identity.public_key,
            "signature": identity.sign(nonce),
            "agent_version": "0.3.3",
        }
        await self.send(**{**response, **changes})
        return await self.receive()

    async def offer(self, *models: str, slots: int = 2, input_per_1m: int = 400_000) -> None:
        """Advertise models."""
        await self.send(
            type="capabilities",
            models=[
                {
                    "model_id": model,
                    "input_per_1m": input_per_1m,
                    "output_per_1m": 600_000,
                    "max_concurrent": slots,
                    "backend": "vllm",
                }
                for model in models
            ],
            limits={"max_concurrent_total": slots, "max_tokens_per_minute": None},
            metadata={"agent_version": "0.3.3"},
        )

    async def chunk(self, job_id: object, *events: object) -> None:
        """Relay events of a backend's stream: objects as JSON, bytes as they are."""
        data = b"".join(
            event if isinstance(event, bytes) else b"data: %s\n\n" % json.dumps(event).encode()
            for event in events
        )
        await self.send(type="job_chunk", job_id=job_id, data=base64.b64encode(data).decode())

    async def done(self, job_id: object, input_tokens: int = 1, output_tokens: int = 1) -> None:
        """End a job well."""
        tokens = {"input_tokens": input_tokens, "output_tokens": output_tokens}
        await self.send(type="job_done", job_id=job_id, tokens=tokens, duration_ms=1)

    async def answer(self, job_id: object, text: str) -> None:
        """Answer a job with a text, all at once."""
        await self.chunk(job_id, *events_of(text))
        await self.done(job_id)


def events_of(text: str) -> list[object]:
    """A backend's stream for a text."""
    envelope = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    said = {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}
    end: Json = {"index": 0, "delta": {}, "finish_reason": "stop"}
    return [{**envelope, "choices": [said]}, {**envelope, "choices": [end]}, b"data: [DONE]\n\n"]


@asynccontextmanager
async def hand(market: Market) -> AsyncGenerator[Hand]:
    """A connection that is open and has said nothing yet."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{market.url}/provider/connect", autoping=False) as socket,
    ):
        yield Hand(socket=socket)
