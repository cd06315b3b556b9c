"""Pairs the provider with an operator's account, as `usepod-agent setup` and its operator do.

The provider issues a pair code, the operator claims it. Where a kill loses one of the two (a code
that has run out, a provider that forgot it), both begin again, until the model is offered.
"""

import asyncio
import json
import time
from dataclasses import dataclass

from cli.story.api import PATIENCE_SECONDS, PAUSE_SECONDS, Api, ApiRefused
from cli.story.report import StoryFailed


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What the provider shall offer; prices in microunits per million tokens."""

    model_id: str
    input_per_1m: int
    output_per_1m: int
    max_concurrent: int

    def as_json(self) -> str:
        """The body of the provider's own `POST /setup`."""
        return json.dumps(
            {
                "model_id": self.model_id,
                "input_per_1m": self.input_per_1m,
                "output_per_1m": self.output_per_1m,
                "max_concurrent": self.max_concurrent,
            }
        )


async def pair(provider: Api, host: Api, users: Api, offer: Offer) -> str:
    """Return the provider's public key once users can call the model. Raises `StoryFailed`.

    `host` is the coordinator called by the operator, `users` the coordinator below a user's token.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    ours = False
    while not (ours and await _is_offered(users, offer.model_id)):
        status = await provider.get("/status")
        if not ours or status["state"] == "idle":
            pair_code = (await provider.post("/setup", offer.as_json()))["pair_code"]
            ours = await _claim(host, pair_code, offer)
        if time.monotonic() > deadline:
            raise StoryFailed(f"the provider is {status['state']}: {status['last_error']}")
        await asyncio.sleep(PAUSE_SECONDS)
    return str((await provider.get("/status"))["public_key"])


async def _claim(host: Api, pair_code: str, offer: Offer) -> bool:
    """Whether the code is claimed now; False when it is not known (any more)."""
    body = json.dumps({"pair_code": pair_code, "activated_models": [json.loads(offer.as_json())]})
    try:
        await host.post("/v1/host/pair/claim", body)
    except ApiRefused as refusal:
        if refusal.status in {404, 409, 410}:
            return False
        raise
    return True


async def _is_offered(users: Api, model_id: str) -> bool:
    listed = await users.get("/v1/models")
    return any(model["id"] == model_id for model in listed["data"])
