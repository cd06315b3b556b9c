"""What the scripted provider and the coordinator really said, beside wire.md §12's example."""

import json
from collections.abc import Mapping
from typing import cast

from localnet.backend_answers import Behaviour
from tests.wire.market import Json, Market
from tests.wire.waiting import eventually

# Frame by frame: who sends it, and every key with the type of its value.
EXAMPLE: list[tuple[str, Json]] = [
    ("server", {"type": "auth_challenge", "nonce": str}),
    (
        "agent",
        {
            "type": "auth_response",
            "pubkey": str,
            "signature": str,
            "agent_version": str,
            "enrollment_code": str,
        },
    ),
    ("server", {"type": "auth_ok", "provider_id": str}),
    (
        "agent",
        {
            "type": "capabilities",
            "models": [
                {
                    "model_id": str,
                    "input_per_1m": int,
                    "output_per_1m": int,
                    "max_concurrent": int,
                    "backend": str,
                    "context_window": int,
                }
            ],
            "limits": {"max_concurrent_total": int, "max_tokens_per_minute": type(None)},
            "metadata": {"agent_version": str},
        },
    ),
    (
        "server",
        {
            "type": "job",
            "job_id": str,
            "model_id": str,
            "request": {
                "model": str,
                "messages": [{"role": str, "content": str}],
                "max_tokens": int,
                "stream": bool,
                "stream_options": {"include_usage": bool},
            },
            "format": str,
            "deadline_ms": int,
        },
    ),
    ("agent", {"type": "job_chunk", "job_id": str, "data": str}),
    (
        "agent",
        {
            "type": "job_done",
            "job_id": str,
            "tokens": {"input": int, "output": int, "input_tokens": int, "output_tokens": int},
            "duration_ms": int,
        },
    ),
    (
        "agent",
        {
            "type": "heartbeat",
            "queue_depth": int,
            "tokens_per_sec_p50": float,
            "p50_latency_ms": int,
            "p95_latency_ms": int,
            "error_rate_60s": float,
            "last_error_at": type(None),
            "last_error_code": type(None),
        },
    ),
]


def shape(value: object) -> object:
    """A value with everything but its structure taken out; `type` stays."""
    if isinstance(value, Mapping):
        named = cast(Mapping[str, object], value)
        return {key: one if key == "type" else shape(one) for key, one in named.items()}
    if isinstance(value, list):
        return [shape(one) for one in cast(list[object], value)]
    return type(value)


async def test_a_session_has_the_shape_of_the_example(market: Market) -> None:
    provider = await market.provider({"tiny-chat": Behaviour()}, heartbeat_seconds=1.0)
    user = await market.user(funds_microusdc=1_000_000)
    body = {
        "model": "tiny-chat",
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": 8,
    }
    status, _ = await market.call("POST", f"/proxy/{user.token}/v1/chat/completions", body)
    assert status == 200
    await eventually(lambda: "heartbeat" in provider.frames[-1][1])
    frames = [(sender, cast(Json, json.loads(text))) for sender, text in provider.frames]
    seen: list[tuple[str, object]] = []
    for sender, frame in frames:
        told = (sender, shape(frame))
        if told not in seen:  # chunks and heartbeats: as many as there are, one stands for all
            seen.append(told)
    heartbeat = EXAMPLE[-1]
    seen.sort(key=lambda told: told == heartbeat)  # on a slow machine it may come earlier
    assert seen == EXAMPLE
