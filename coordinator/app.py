"""Builds a coordinator from its settings and keeps it running: the only place where parts meet.

Start: wait for the database, be the only one, open a new life as a ledger writer, settle what an
earlier life had delivered and give back what it had set aside, then listen. End, on SIGTERM: take
no more requests, let the running ones finish for a while, send agents away with Close 1001, settle
what is left, give back what is set aside, stop.
"""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import structlog
import uvicorn

from coordinator import store
from coordinator.api.desk import Desk, Payments, Withdrawing
from coordinator.api.front import Front, control_plane
from coordinator.api.inference import Inference
from coordinator.api.payments.state import PaymentChain, open_payment_chain
from coordinator.callers import Callers
from coordinator.config import CoordinatorSettings
from coordinator.dispatch import Dispatch
from coordinator.identities import StoredIdentities
from coordinator.journal import Journal
from coordinator.limits import SlidingWindow
from coordinator.metrics import Metrics
from coordinator.routes import Routes
from coordinator.sessions import Sessions
from coordinator.tokens import o200k
from settlement.charges import Charges, last_alive, settle_and_give_back
from settlement.clock import Clock, SystemClock
from settlement.db.pool import (
    TRANSIENT,
    AlreadyRunning,
    DatabaseUnavailable,
    Pool,
    only_one,
    open_pool,
    reading,
    retried,
    transaction,
)
from settlement.ledger.operations import Writer
from settlement.ledger.store import open_writer
from settlement.ledger.writer import GroupCommit
from settlement.settings import Address

log = structlog.get_logger()

NAME = "coordinator"
_PAUSE_SECONDS = 0.25
_START_ATTEMPTS = 8
_LAST_ROWS_SECONDS = 5
# How long a killed predecessor's session may take to disappear from the database.
_TAKE_OVER_SECONDS = 5
_LARGEST_FRAME_BYTES = 16 * 1024 * 1024
_KEEP_ALIVE_SECONDS = 75
_AWAY = (*TRANSIENT, DatabaseUnavailable)


@dataclass(frozen=True, kw_only=True)
class Parts:
    """A coordinator, put together."""

    front: Front
    dispatch: Dispatch
    sessions: Sessions
    routes: Routes
    journal: Journal


def assemble(
    settings: CoordinatorSettings,
    pool: Pool,
    books: GroupCommit,
    charges: Charges,
    clock: Clock,
    chain: PaymentChain,
) -> Parts:
    """Join the parts; nothing runs yet."""
    metrics = Metrics()
    metrics.watch_money(
        reserved=lambda: charges.reserved_microusdc, leased=lambda: charges.leased_microusdc
    )
    sessions = Sessions(StoredIdentities(pool, clock), settings.timing)
    routes = Routes(pool, sessions)
    journal = Journal(pool)
    callers = Callers(pool)
    dispatch = Dispatch(
        money=charges,
        market=routes,
        journal=journal,
        count=o200k.load(),
        clock=clock,
        metrics=metrics,
        limits=settings.limits,
    )
    desk = Desk(
        pool=pool,
        writer=books.writer,
        charges=charges,
        clock=clock,
        shop=settings.shop,
        callers=callers,
        routes=routes,
        sessions=sessions,
        registrations=SlidingWindow(settings.http.register_per_minute),
        payments=Payments(chain=chain, callers=SlidingWindow(settings.http.payments_per_minute)),
        withdrawing=Withdrawing(
            limits=settings.withdrawals,
            callers=SlidingWindow(settings.http.withdrawals_per_minute),
        ),
    )
    inference = Inference(
        callers=callers, dispatch=dispatch, clock=clock, metrics=metrics, limits=settings.http
    )
    front = Front(control_plane(desk, metrics), inference, sessions)
    return Parts(front=front, dispatch=dispatch, sessions=sessions, routes=routes, journal=journal)


@asynccontextmanager
async def running(
    settings: CoordinatorSettings, clock: Clock | None = None
) -> AsyncGenerator[Address]:
    """A coordinator that serves until left; yields where it really listens.

    Raises `AlreadyRunning` when the deployment has one. A part that fails for good ends the body.
    """
    timer = clock or SystemClock()
    pool = await _pool(settings)
    try:
        async with (
            _the_only_one(pool),
            open_payment_chain(settings.rpc_urls, settings.shop.deployment) as chain,
            _tasks() as tasks,
        ):
            writer = await retried(lambda: _take_over(pool, timer), attempts=_START_ATTEMPTS)
            async with (
                GroupCommit(pool, writer, batch_size=settings.books_batch) as books,
                Charges(books, pool, timer, settings.leases) as charges,
            ):
                parts = assemble(settings, pool, books, charges, timer, chain)
                await retried(parts.routes.refresh, attempts=_START_ATTEMPTS)
                async with _served(settings, parts, tasks) as address, _tasks() as guard:
                    watching = guard.create_task(charges.watch())
                    yield address
                    watching.cancel()
    finally:
        await asyncio.wait_for(pool.close(), settings.grace_seconds + 5)


@asynccontextmanager
async def _served(
    settings: CoordinatorSettings, parts: Parts, tasks: asyncio.TaskGroup
) -> AsyncGenerator[Address]:
    """Listen and work until left."""
    where = (settings.listen.host, settings.listen.port)
    with socket.create_server(where, backlog=2048, reuse_port=False) as listener:
        async with _serving(listener, settings, parts, tasks):
            port = int(listener.getsockname()[1])
            yield Address(host=settings.listen.host, port=port)


@asynccontextmanager
async def _serving(
    listener: socket.socket,
    settings: CoordinatorSettings,
    parts: Parts,
    tasks: asyncio.TaskGroup,
) -> AsyncGenerator[None]:
    """All that works while open; at the end let go in the order that loses nothing."""
    server = _Server(_uvicorn_config(parts.front, settings))
    journal = tasks.create_task(parts.journal.run())
    loops = [
        tasks.create_task(parts.sessions.watch()),
        tasks.create_task(parts.routes.follow()),
    ]
    serving = tasks.create_task(server.serve(sockets=[listener]))
    try:
        yield
    finally:
        await parts.dispatch.drain(grace_seconds=settings.grace_seconds)
        await parts.sessions.go_away()
        await parts.dispatch.drain(grace_seconds=settings.grace_seconds)
        server.should_exit = True
        await asyncio.wait([serving])
        for loop in loops:
            loop.cancel()
        parts.journal.stop()
        with contextlib.suppress(TimeoutError):  # the books are right without the log's last rows
            await asyncio.wait_for(journal, settings.grace_seconds + _LAST_ROWS_SECONDS)


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the process decides when to stop."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def _uvicorn_config(front: Front, settings: CoordinatorSettings) -> uvicorn.Config:
    return uvicorn.Config(
        front,
        http="httptools",
        ws="websockets-sansio",
        ws_max_size=_LARGEST_FRAME_BYTES,
        # An agent does not read its socket while it discovers its backends: no pings.
        ws_ping_interval=None,
        ws_ping_timeout=None,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=settings.grace_seconds,
    )


async def _pool(settings: CoordinatorSettings) -> Pool:
    """Connect; a database that is not there yet is waited for."""
    waited = False
    while True:
        try:
            return await open_pool(
                settings.database_url,
                role="pod_coordinator",
                application=NAME,
                size=settings.pool_size,
            )
        except DatabaseUnavailable as error:
            if not waited:
                log.warning("database_waits", problem=str(error))
            waited = True
            await asyncio.sleep(_PAUSE_SECONDS)


@asynccontextmanager
async def _the_only_one(pool: Pool) -> AsyncGenerator[None]:
    """Hold the deployment's lock, through lost connections. Raises `AlreadyRunning`."""
    first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    async with _tasks() as tasks:
        keeping = tasks.create_task(_keep_lock(pool, first))
        await asyncio.wait([first, keeping], return_when=asyncio.FIRST_COMPLETED)
        if first.done():
            yield
        keeping.cancel()


@asynccontextmanager
async def _tasks() -> AsyncGenerator[asyncio.TaskGroup]:
    """A task group that lets a single error out as itself."""
    try:
        async with asyncio.TaskGroup() as tasks:
            yield tasks
    except BaseExceptionGroup as group:
        first, *more = group.exceptions
        if more:
            raise
        raise first from None


async def _keep_lock(pool: Pool, first: "asyncio.Future[None]") -> None:
    refused_at: float | None = None
    now = asyncio.get_running_loop().time
    while True:
        try:
            async with only_one(pool, NAME) as held:
                refused_at = None
                if not first.done():
                    first.set_result(None)
                await _until_lost(held)
        except AlreadyRunning:
            refused_at = now() if refused_at is None else refused_at
            if now() - refused_at > _TAKE_OVER_SECONDS:
                raise AlreadyRunning(
                    "another coordinator is active on this database: one per deployment"
                ) from None
        except _AWAY as error:
            log.warning("lock_waits", problem=str(error))
        await asyncio.sleep(_PAUSE_SECONDS)


async def _until_lost(held: Callable[[], bool]) -> None:
    while held():  # noqa: ASYNC110 -- a lost connection is not announced
        await asyncio.sleep(_PAUSE_SECONDS)


async def _take_over(pool: Pool, clock: Clock) -> Writer:
    """Begin a new life as a writer; settle and give back what an earlier one left, and say so.

    What was delivered, by the log, is settled. Of a stream that was running the log does not know
    what its user got, and an answer that is not streamed is given only once it is settled: nobody
    pays for these, and they are marked `unsettled`.
    """
    writer = await open_writer(pool, NAME)
    async with reading(pool) as conn:
        alive_at = await last_alive(conn, writer)
        delivered, kept = ([], []) if alive_at is None else await store.uncharged(conn, alive_at)
    found = await settle_and_give_back(pool, writer, delivered)
    async with transaction(pool) as tx:
        unsettled = await store.mark_interrupted(tx, [*found.refused, *kept], clock.now())
    if found.settled:
        log.warning("requests_settled_late", count=found.settled)
    if unsettled:
        log.warning("requests_unsettled", count=unsettled)
    return writer


async def serve(settings: CoordinatorSettings) -> None:
    """Run until SIGTERM or SIGINT."""
    _bridge_logs()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    starting = asyncio.create_task(stop.wait())
    async with running(settings) as address:
        log.info("listening", url=f"http://{address}")
        await starting
        log.info("stopping")


class _Bridge(logging.Handler):
    """Hands what libraries log to our own log."""

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(Exception):
            log.log(record.levelno, "library", logger=record.name, said=record.getMessage())


def _bridge_logs() -> None:
    logging.basicConfig(level=logging.WARNING, handlers=[_Bridge()], force=True)
