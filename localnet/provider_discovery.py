"""What the local backends have: asked backend by backend, then told to the coordinator.

A backend that is down or unreadable is left out; an agent with nothing to offer stays connected
and says so with an empty list. On a model that several backends list, the advertisement goes by
kind and the execution by file order: that is what the real agent does.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
import msgspec
import structlog

from localnet.provider_config import AGENT_VERSION, KIND_PRIORITY, AgentConfig, BackendEntry

_HEALTH_PATH = {
    "vllm": "/health",
    "llamacpp": "/health",
    "lmstudio": "/v1/models",
    "ollama": "/api/tags",
}
_TIMEOUT = aiohttp.ClientTimeout(total=30.0, sock_connect=10.0)
_log = structlog.get_logger()


class _ListedModel(msgspec.Struct):
    id: str
    context_length: int | None = None
    max_model_len: int | None = None
    context_window: int | None = None

    def window(self) -> int | None:
        return self.context_length or self.max_model_len or self.context_window


class _Listing(msgspec.Struct):
    data: list[_ListedModel]


class AdvertisedModel(msgspec.Struct, frozen=True, omit_defaults=True):
    """One model of a capabilities message."""

    model_id: str
    input_per_1m: int
    output_per_1m: int
    max_concurrent: int
    backend: str
    context_window: int | None = None


@dataclass(frozen=True, kw_only=True)
class Discovery:
    """What was found: the models to advertise, and the base URL each is executed at."""

    models: tuple[AdvertisedModel, ...]
    routes: Mapping[str, str]


async def discover(config: AgentConfig, http: aiohttp.ClientSession) -> Discovery:
    """Ask every backend of the file what it has. Never raises for a backend's sake."""
    found: list[AdvertisedModel] = []
    routes: dict[str, str] = {}
    for entry in config.backends:
        try:
            listed = await _list_models(entry, http)
        except (aiohttp.ClientError, TimeoutError, msgspec.MsgspecError) as error:
            _log.warning("backend left out", backend=entry.url, error=repr(error))
            continue
        for model in listed:
            price = config.pricing.of(model.id)
            unlisted = entry.models is not None and model.id not in entry.models
            if unlisted or 0 in (price.input_per_1m, price.output_per_1m):
                continue
            routes.setdefault(model.id, entry.url.rstrip("/"))
            found.append(
                AdvertisedModel(
                    model_id=model.id,
                    input_per_1m=price.input_per_1m,
                    output_per_1m=price.output_per_1m,
                    max_concurrent=config.limits.max_concurrent,
                    backend=entry.kind,
                    context_window=model.window(),
                )
            )
    return Discovery(models=_one_per_id(found), routes=routes)


def capabilities(discovery: Discovery, config: AgentConfig) -> dict[str, object]:
    """The message that tells the coordinator."""
    return {
        "type": "capabilities",
        "models": msgspec.to_builtins(discovery.models),
        "limits": {
            "max_concurrent_total": config.limits.max_concurrent,
            "max_tokens_per_minute": config.limits.max_tokens_per_minute,
        },
        "metadata": {"agent_version": AGENT_VERSION},
    }


async def _list_models(entry: BackendEntry, http: aiohttp.ClientSession) -> list[_ListedModel]:
    base = entry.url.rstrip("/")
    async with http.get(f"{base}{_HEALTH_PATH[entry.kind]}", timeout=_TIMEOUT) as health:
        health.raise_for_status()
    async with http.get(f"{base}/v1/models", timeout=_TIMEOUT) as response:
        response.raise_for_status()
        return msgspec.json.decode(await response.read(), type=_Listing).data


def _one_per_id(found: list[AdvertisedModel]) -> tuple[AdvertisedModel, ...]:
    best: dict[str, AdvertisedModel] = {}
    for model in found:
        held = best.get(model.model_id)
        if held is None or _rank(model) < _rank(held):
            best[model.model_id] = model
    return tuple(best[model_id] for model_id in sorted(best))


def _rank(model: AdvertisedModel) -> int:
    return KIND_PRIORITY.index(model.backend)
