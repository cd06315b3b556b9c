"""What a provider is doing (nothing, pairing, serving), and the address that tells and asks it.

The state file is written before the state is entered, so whoever is killed goes on where it says.
"""

import asyncio
import shutil
from contextlib import suppress
from pathlib import Path
from typing import assert_never
from uuid import uuid4

import aiohttp
import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from localnet.backend import Backend
from localnet.backend_answers import Behaviour
from localnet.provider_agent import Agent
from localnet.provider_config import BackendEntry, Price, cut_short, parse_config, render_config
from localnet.provider_config import Paired as PairedConfig
from localnet.provider_identity import Identity, IdentityInvalid, write_private
from localnet.provider_metrics import JobMetrics
from localnet.provider_pairing import (
    CoordinatorRefused,
    CoordinatorUnavailable,
    PairCodeExpired,
    PairingClient,
)
from localnet.provider_state import (
    Idle,
    Paired,
    Pairing,
    Setup,
    SetupInvalid,
    State,
    StateFile,
    StateName,
    parse_setup,
)

_log = structlog.get_logger()


class Provider:
    """One provider and what it is doing: nothing, pairing, or running the agent."""

    def __init__(
        self,
        *,
        directory: Path,
        coordinator: str,
        backend: BackendEntry,
        served_here: Backend | None,
        behaviour: Behaviour,
        registry: CollectorRegistry,
    ) -> None:
        self._directory = directory.absolute()
        self._coordinator = coordinator
        self._backend = backend
        self._served_here = served_here
        self._behaviour = behaviour
        self._metrics = JobMetrics(registry)
        self._file = StateFile(directory)
        self._state: State = self._file.load()
        self._agent: Agent | None = None
        self._public_key: str | None = None
        self._activity: asyncio.Task[None] | None = None
        self._one_setup = asyncio.Lock()
        self.crashed = asyncio.Event()  # an activity ended in a way nobody foresaw
        self._http = aiohttp.ClientSession()

    @property
    def _pairing_client(self) -> PairingClient:
        return PairingClient(coordinator=self._coordinator, http=self._http)

    def resume(self) -> None:
        """Go on with what the state file says."""
        state = self._state
        if not isinstance(state, Idle):
            self._offer(state.setup)
            self._activity = asyncio.create_task(self._act(state))
            self._activity.add_done_callback(self._ended)

    async def setup(self, setup: Setup) -> Pairing:
        """Make a new key and get a pair code for it; what ran before stops only then.

        Raises `CoordinatorUnavailable` or `CoordinatorRefused`, and nothing has changed.
        """
        async with self._one_setup:
            folder = f"agents/{uuid4().hex}"
            identity = Identity.new()
            issued = await self._pairing_client.issue(identity.public_key)
            identity.save(self._directory / folder / "identity.key")
            state = Pairing(
                folder=folder,
                setup=setup,
                pair_code=issued.pair_code,
                poll_token=issued.poll_token,
            )
            await self.stop_activity()
            self._enter(state)
            self._forget_other_keys(state)
            self.resume()
            return state

    async def stop_activity(self) -> None:
        """Stop pairing or serving; the state file stays as it is."""
        if self._activity is not None:
            self._activity.cancel()
            with suppress(asyncio.CancelledError):
                await self._activity
        self._activity = None
        self._agent = None

    async def close(self) -> None:
        """Stop for good."""
        await self.stop_activity()
        await self._http.close()

    def status(self) -> dict[str, object]:
        """Where it stands, for people and programs."""
        state, agent = self._state, self._agent
        discovered = agent.discovery if agent else None
        return {
            "state": self._name(),
            "pair_code": state.pair_code if isinstance(state, Pairing) else None,
            "model_ids": [model.model_id for model in discovered.models] if discovered else [],
            "provider_id": state.provider_id if isinstance(state, Paired) else None,
            "public_key": self._public_key,
            "backend": self._backend.url,
            "connections": agent.connections if agent else 0,
            "last_error": self._last_error(),
        }

    def _last_error(self) -> str | None:
        if isinstance(self._state, Idle):
            return self._state.reason
        return self._agent.last_error if self._agent else None

    def _ended(self, activity: asyncio.Task[None]) -> None:
        if not activity.cancelled() and activity.exception() is not None:
            _log.error("crashed", error=repr(activity.exception()))
            self.crashed.set()

    def _name(self) -> StateName:
        match self._state:
            case Idle():
                return "idle"
            case Pairing():
                return "pairing"
            case Paired():
                return "connected" if self._agent and self._agent.connected else "connecting"
        assert_never(self._state)

    def _enter(self, state: State) -> None:
        self._file.save(state)
        self._state = state
        _log.info("state", state=self._name())

    def _forget_other_keys(self, state: Pairing) -> None:
        for folder in (self._directory / state.folder).parent.iterdir():
            if folder.name != Path(state.folder).name:
                shutil.rmtree(folder)

    def _offer(self, setup: Setup) -> None:
        if self._served_here is not None:
            self._served_here.models = {setup.model_id: self._behaviour}

    async def _act(self, state: Pairing | Paired) -> None:
        try:
            key_path = self._directory / state.folder / "identity.key"
            self._public_key = Identity.load(key_path).public_key
            if isinstance(state, Pairing):
                state = await self._pair(state)
            await self._serve(state, key_path)
        except (CoordinatorRefused, PairCodeExpired, IdentityInvalid) as error:
            _log.error("back to idle", error=str(error))
            self._enter(Idle(reason=str(error)))

    async def _pair(self, state: Pairing) -> Paired:
        activated = await self._pairing_client.until_active(
            state.poll_token, lambda: [self._backend]
        )
        paired = Paired(
            folder=state.folder,
            setup=state.setup,
            provider_id=activated.provider_id,
            host_token_hint=cut_short(activated.host_token),
            models=activated.models,
        )
        self._enter(paired)
        return paired

    async def _serve(self, state: Paired, key_path: Path) -> None:
        # Written at every start: the coordinator or the backend may listen elsewhere than before.
        text = render_config(
            PairedConfig(
                coordinator=self._coordinator,
                key_path=str(key_path),
                public_key=self._public_key or "",
                provider_id=state.provider_id,
                host_token_hint=state.host_token_hint,
                backends=[self._backend],
                models=state.models,
                default_price=Price(state.setup.input_per_1m, state.setup.output_per_1m),
                default_max_concurrent=state.setup.max_concurrent,
            )
        )
        path = self._directory / state.folder / "agent.toml"
        write_private(path, text)
        self._agent = Agent(
            config=parse_config(text), identity_path=key_path, metrics=self._metrics
        )
        await self._agent.run()


async def _answer_setup(provider: Provider, request: web.Request) -> web.Response:
    try:
        pairing = await provider.setup(parse_setup(await request.read()))
    except SetupInvalid as error:
        return _problem(400, "bad_request", error)
    except web.HTTPRequestEntityTooLarge as error:
        return _problem(413, "bad_request", error)
    except CoordinatorUnavailable as error:
        return _problem(503, "coordinator_unavailable", error)
    except CoordinatorRefused as error:
        return _problem(502, "coordinator_refused", error)
    return web.json_response({"pair_code": pairing.pair_code})


def _problem(status: int, kind: str, error: Exception) -> web.Response:
    return web.json_response({"error": {"type": kind, "message": str(error)}}, status=status)


def control_routes(provider: Provider, registry: CollectorRegistry) -> list[web.RouteDef]:
    """The provider's own address."""

    async def health(_request: web.Request) -> web.Response:
        # Idle or cut off from the coordinator it is still well: it waits, as it should.
        line = provider.status()["state"]
        return web.json_response({"well": True, "line": line, "facts": {}})

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    async def status(_request: web.Request) -> web.Response:
        return web.json_response(provider.status())

    async def setup(request: web.Request) -> web.Response:
        return await _answer_setup(provider, request)

    return [
        web.get("/health", health),
        web.get("/metrics", metrics),
        web.get("/status", status),
        web.post("/setup", setup),
    ]
