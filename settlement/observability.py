"""What a process tells the people who run it: structured logs, metrics, and whether it is well.

Logs are JSON lines on stderr, one event each, with ids (request, provider, signature, payout) as
fields of their own. Each role answers on its own small address: `/metrics` for Prometheus and
`/health` with one line about where it stands.
"""

import logging
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field

import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from settlement.settings import Address


@dataclass(frozen=True, kw_only=True)
class Health:
    """Whether a role can do its work now; `line` is for people, `facts` for programs."""

    well: bool
    line: str
    facts: dict[str, int | str] = field(default_factory=dict[str, int | str])


def configure_logging(role: str, level: str = "INFO") -> None:
    """JSON lines on stderr, each with the role that wrote it."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(role=role)


@asynccontextmanager
async def status_server(
    address: Address, registry: CollectorRegistry, health: Callable[[], Health]
) -> AsyncGenerator[Address]:
    """Serve `/metrics` and `/health` until left; yields where it really listens."""

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    async def healthy(_request: web.Request) -> web.Response:
        state = health()
        return web.json_response(asdict(state), status=200 if state.well else 503)

    app = web.Application()
    app.add_routes([web.get("/metrics", metrics), web.get("/health", healthy)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, address.host, address.port)
        await site.start()
        port = int(runner.addresses[0][1])
        yield Address(host=address.host, port=port)
    finally:
        await runner.cleanup()
