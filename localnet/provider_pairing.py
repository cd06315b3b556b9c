"""Device pairing: ask for a code, show it, and ask until the operator has claimed it.

Where the real agent's `setup` ends with an error and its operator runs it again with the same key,
this one asks again by itself: a coordinator that is restarting must not end a setup.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import aiohttp
import msgspec
import structlog

from localnet.provider_config import AGENT_VERSION, ActivatedModel, BackendEntry

_POLL_SECONDS = 0.8
_HTTP_TIMEOUT = aiohttp.ClientTimeout(total=30.0)
_PROBE_TIMEOUT = aiohttp.ClientTimeout(total=0.8)
_log = structlog.get_logger()


class CoordinatorUnavailable(Exception):
    """The coordinator cannot be reached or is failing; trying again may help."""


class CoordinatorRefused(Exception):
    """The coordinator answered, and the answer was no or made no sense."""


class PairCodeExpired(Exception):
    """Nobody claimed the pair code in time."""


class Issued(msgspec.Struct, frozen=True):
    """A pair code for the operator and the token to poll with."""

    pair_code: str
    poll_token: str
    expires_at: str


class _Poll(msgspec.Struct):
    status: str = ""
    host_token: str | None = None
    provider_id: str | None = None
    model_config: object = None


@dataclass(frozen=True, kw_only=True)
class Activated:
    """What the operator's claim gave us. The host token is a credential."""

    host_token: str
    provider_id: str
    models: tuple[ActivatedModel, ...]


@dataclass(frozen=True, kw_only=True)
class PairingClient:
    """The two pairing routes an agent calls."""

    coordinator: str
    http: aiohttp.ClientSession

    async def issue(self, public_key: str) -> Issued:
        """Ask for a pair code for this key. Raises `CoordinatorUnavailable` or `…Refused`."""
        answer = await self._post("/v1/host/pair/issue", {"agent_pubkey": public_key})
        try:
            return msgspec.json.decode(answer, type=Issued)
        except msgspec.MsgspecError as error:
            raise CoordinatorRefused(f"unreadable answer to pair/issue: {error}") from error

    async def until_active(
        self, poll_token: str, backends: Callable[[], list[BackendEntry]]
    ) -> Activated:
        """Poll until claimed. Raises `PairCodeExpired` or `CoordinatorRefused`."""
        detected = [await self._probe(entry) for entry in backends()]
        capabilities = {
            "backends": [found for found in detected if found["models"]],
            "agent_version": AGENT_VERSION,
        }
        while True:
            body = {"poll_token": poll_token, "capabilities": capabilities}
            try:
                activated = _outcome(await self._post("/v1/host/pair/poll", body))
                if activated is not None:
                    return activated
            except CoordinatorUnavailable as error:
                _log.warning("poll failed; asking again", error=str(error))
            await asyncio.sleep(_POLL_SECONDS)

    async def _post(self, path: str, body: Mapping[str, object]) -> bytes:
        url = f"{self.coordinator.rstrip('/')}{path}"
        try:
            async with self.http.post(url, json=body, timeout=_HTTP_TIMEOUT) as response:
                answer = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise CoordinatorUnavailable(f"POST {url}: {error or repr(error)}") from error
        if response.status >= 500:
            raise CoordinatorUnavailable(f"POST {path}: HTTP {response.status}")
        if response.status >= 300:
            text = answer[:500].decode(errors="replace")
            raise CoordinatorRefused(f"POST {path}: HTTP {response.status}: {text}")
        return answer

    async def _probe(self, entry: BackendEntry) -> dict[str, object]:
        try:
            async with self.http.get(f"{entry.url}/v1/models", timeout=_PROBE_TIMEOUT) as response:
                listing = msgspec.json.decode(await response.read(), type=_Listing)
                models = [model.id for model in listing.data]
        except (aiohttp.ClientError, TimeoutError, OSError, msgspec.MsgspecError) as error:
            _log.debug("backend probe failed", backend=entry.url, error=repr(error))
            models = []
        return {"kind": entry.kind, "url": entry.url, "models": models}


class _ListedModel(msgspec.Struct):
    id: str


class _Listing(msgspec.Struct):
    data: list[_ListedModel]


def _outcome(answer: bytes) -> Activated | None:
    try:
        poll = msgspec.json.decode(answer, type=_Poll)
    except msgspec.MsgspecError as error:
        raise CoordinatorRefused(f"unreadable answer to pair/poll: {error}") from error
    match poll.status:
        case "pending":
            return None
        case "expired":
            raise PairCodeExpired("the pair code expired; ask for a new setup")
        case "active" if poll.host_token is not None and poll.provider_id is not None:
            return Activated(
                host_token=poll.host_token,
                provider_id=poll.provider_id,
                models=_activated_models(poll.model_config),
            )
        case "active":
            raise CoordinatorRefused("active response missing host_token or provider_id")
        case other:
            raise CoordinatorRefused(f"unexpected poll status: {other}")


def _activated_models(model_config: object) -> tuple[ActivatedModel, ...]:
    # One entry that does not parse drops the whole list: so does the real agent.
    try:
        return msgspec.convert(model_config, tuple[ActivatedModel, ...])
    except msgspec.ValidationError:
        return ()
