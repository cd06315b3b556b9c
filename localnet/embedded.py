"""The embedded chain as a server inside the running event loop.

    async with cluster_server(settings, data=directory, keys=directory) as chain:
        ... chain.rpc_url, chain.ws_url, chain.keys["user"]

The same object runs under `python -m localnet` and in tests.
"""

import asyncio
import contextlib
import dataclasses
import socket
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.signature import Signature

from localnet.adversary.doors import PATH, Doors
from localnet.adversary.faults import Script
from localnet.adversary.fleet import Fleet
from localnet.cluster import Cluster, Commitment
from localnet.metrics import Metrics
from localnet.pubsub import PubSub
from localnet.recovery import Directory, recover
from localnet.rpc import Dispatcher, methods_with
from localnet.rpc_send import Faucet
from localnet.seed import differences, genesis, load_or_create_keys
from localnet.settings import Settings, load_settings

_log = structlog.get_logger()
_MAX_BODY_BYTES: Final = 50 * 1024  # what a node takes
_PORT_TRIES: Final = 100
_CATCH_UP_SLOTS: Final = 5  # more at once would only use up blockhashes
_ANY_ORIGIN: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": "content-type, solana-client",
    "Access-Control-Allow-Methods": "POST, OPTIONS",
}


class PortTaken(Exception):
    """The RPC port or the websocket port after it is in use."""


@dataclass(frozen=True, kw_only=True)
class RunningChain:
    """A chain that answers. `failure` is done when it cannot go on."""

    rpc_url: str
    ws_url: str
    keys: dict[str, Keypair]
    mint: Pubkey
    program_id: Pubkey | None
    cluster: Cluster
    failure: "asyncio.Future[None]"
    fleet: Fleet | None = None

    def backend_url(self, name: str) -> str:
        """The RPC of one backend of the fleet alone."""
        return self.rpc_url + PATH.format(backend=name)

    async def advance(self, slots: int) -> None:
        """Return when the newest slot is at least this much further."""
        target = self.cluster.slot + slots
        while self.cluster.slot < target:
            await next_slot(self.cluster)

    async def until(self, signature: Signature, commitment: Commitment) -> None:
        """Return when a transaction has reached a commitment."""
        while True:
            entry = self.cluster.history.get(signature)
            if entry is not None and entry.slot <= self.cluster.bank(commitment).slot:
                return
            await next_slot(self.cluster)

    async def until_finalized(self, signature: Signature) -> None:
        """Return when a transaction is finalized."""
        await self.until(signature, "finalized")


def quick_settings(path: Path) -> Settings:
    """The chain of a settings file for tests: any port, slots of 20 ms, finalized 4 behind.

    Without the program while its file has not been built.
    """
    settings = load_settings(path)
    program = settings.program
    return dataclasses.replace(
        settings,
        program=program if program is not None and program.path.exists() else None,
        embedded=dataclasses.replace(
            settings.embedded, rpc_port=0, slot_time_ms=20, finalized_lag_slots=4
        ),
    )


async def next_slot(cluster: Cluster) -> None:
    """Return when the open slot has ended."""
    ended = asyncio.Event()

    def on_slot(_before: object, _after: object) -> None:
        ended.set()

    cluster.listeners.append(on_slot)
    try:
        await ended.wait()
    finally:
        cluster.listeners.remove(on_slot)


@contextlib.asynccontextmanager
async def cluster_server(
    settings: Settings, *, data: Path, keys: Path, script: Script | None = None
) -> AsyncGenerator[RunningChain]:
    """Start (or continue) the chain in `data` and serve it until the block ends.

    With a script, the faults in it happen, to the RPC and to the cluster.
    Raises `PortTaken`, `DirectoryLocked`, `JournalDamaged` or `SettingsError`.
    """
    embedded = settings.embedded
    with contextlib.ExitStack() as undo:
        directory = Directory(data)
        undo.callback(directory.close)
        sockets = _bind_pair(embedded.host, embedded.rpc_port)
        for one in sockets:
            undo.callback(one.close)
        keyring = load_or_create_keys(keys, settings)
        state = recover(
            directory,
            lambda: genesis(settings, keyring),
            embedded.slot_time_ms,
            embedded.finalized_lag_slots + 1,
        )
        server = _Server(Cluster(state, directory, embedded), Faucet(keyring.faucet), script)
        for difference in differences(settings, state.engine.account):
            _log.warning("older chain", difference=difference, remedy="start in an empty directory")
        state.journal.sync_observed = server.metrics.synced
        await state.journal.sync()
        undo.pop_all()
    host, port = sockets[0].getsockname()[:2]
    chain = RunningChain(
        rpc_url=f"http://{host}:{port}",
        ws_url=f"ws://{host}:{port + 1}",
        keys=keyring.wallets,
        mint=settings.mint.address,
        program_id=settings.program.id if settings.program else None,
        cluster=server.cluster,
        failure=server.failure,
        fleet=server.fleet,
    )
    try:
        await server.start(sockets)
        yield chain
    finally:
        await server.stop()


class _Server:
    """The two listeners and the clockwork around one cluster."""

    def __init__(self, cluster: Cluster, faucet: Faucet, script: Script | None) -> None:
        self.cluster = cluster
        self.metrics = Metrics()
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        methods, observe = methods_with(faucet), self.metrics.request
        self._dispatcher = Dispatcher(cluster, methods, observe=observe, fail=self._fail)
        self.fleet = (
            None
            if script is None
            else Fleet(cluster, methods, script, observe=observe, fail=self._fail)
        )
        self._pubsub = PubSub(cluster, observe=self.metrics.request, fail=self._fail)
        self._runners: list[web.AppRunner] = []
        self._ticker: asyncio.Task[None] | None = None

    async def start(self, sockets: list[socket.socket]) -> None:
        rpc = web.Application(client_max_size=_MAX_BODY_BYTES)
        rpc.router.add_get("/health", self._health)
        rpc.router.add_get("/metrics", self._metrics)
        rpc.router.add_route("OPTIONS", "/", self._options)
        ws = web.Application()
        if self.fleet is None:
            rpc.router.add_post("/", self._post)
            ws.router.add_get("/", self._pubsub.serve)
        else:
            doors = Doors(self.fleet, self._pubsub)
            for path in ("/", PATH):
                rpc.router.add_post(path, doors.post)
                ws.router.add_get(path, doors.subscribe)
        for app, listener in zip((rpc, ws), sockets, strict=True):
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
            self._runners.append(runner)
            await runner.setup()
            await web.SockSite(runner, listener).start()
        self._ticker = asyncio.create_task(self._tick())

    async def stop(self) -> None:
        """Answer nobody any more, then close the chain."""
        await self._pubsub.close()
        for runner in self._runners:
            await runner.cleanup()
        if self._ticker is not None:
            self._ticker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._ticker
        if self.failure.done():
            return  # what is in memory may not be what is on the disk: keep the disk
        self.failure.cancel()
        await self.cluster.close()

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        try:
            while True:
                slot_ms = self.cluster.slot_time_ms
                due = max(due + slot_ms / 1000, loop.time() - _CATCH_UP_SLOTS * slot_ms / 1000)
                await asyncio.sleep(due - loop.time())
                await self.cluster.end_slot()
        except Exception as error:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if not self.failure.done():
            self.failure.set_exception(error)

    async def _post(self, request: web.Request) -> web.Response:
        if request.content_type != "application/json":
            return web.Response(
                status=415,
                text="Supplied content type is not allowed. "
                "Content-Type: application/json is required\n",
            )
        body = await self._dispatcher.answer(await request.read())
        return web.Response(body=body, content_type="application/json", headers=_ANY_ORIGIN)

    async def _options(self, _request: web.Request) -> web.Response:
        return web.Response(headers=_ANY_ORIGIN)

    async def _health(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def _metrics(self, _request: web.Request) -> web.Response:
        text = self.metrics.expose(self.cluster, self._pubsub.subscription_count)
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})


def _bind_pair(host: str, port: int) -> list[socket.socket]:
    """Listen on a port and the next one; port 0: any such pair. Raises `PortTaken`."""
    for _ in range(_PORT_TRIES if port == 0 else 1):
        first = _listen(host, port)
        if first is None:
            break
        chosen = first.getsockname()[1]
        second = _listen(host, chosen + 1) if chosen < 65_535 else None
        if second is not None:
            return [first, second]
        first.close()
    raise PortTaken(f"port {port} or {port + 1} of {host} is in use")


def _listen(host: str, port: int) -> socket.socket | None:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(1024)
    except OSError:
        listener.close()
        return None
    return listener
