"""The scripted provider: a stand-in for the real agent that needs no GPU and no hands.

It idles until `POST /setup` gives it a model and prices; then it makes a new key, asks the
coordinator for a pair code, returns it, polls until the operator has claimed it, writes agent.toml
and connects. What it serves comes from the small backend beside it, or from a real one
(`--backend`). Everything it must remember is in its directory before it matters, so it may be
killed at any moment and goes on where it stood.

Its own address answers GET /health, /metrics, /status and POST /setup; DIR/address.json has it.
"""

import argparse
import asyncio
import json
import logging
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry

from localnet.backend import Backend, serve
from localnet.backend_answers import Behaviour
from localnet.provider_config import KIND_PRIORITY, BackendEntry
from localnet.provider_control import Provider, control_routes
from localnet.provider_identity import write_private
from localnet.provider_state import StateUnreadable

_SETUP_LIMIT_BYTES = 64 * 1024
_log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Running:
    """A provider at work and where it answers."""

    url: str
    provider: Provider


@asynccontextmanager
async def running(
    *,
    directory: Path,
    coordinator: str,
    listen: tuple[str, int] = ("127.0.0.1", 0),
    backend: BackendEntry | None = None,
    behaviour: Behaviour | None = None,
) -> AsyncGenerator[Running]:
    """Run a provider until left. Raises `StateUnreadable`, `OSError`."""
    registry = CollectorRegistry()
    async with _backend_of(backend) as (entry, served_here):
        provider = Provider(
            directory=directory,
            coordinator=coordinator,
            backend=entry,
            served_here=served_here,
            behaviour=behaviour or Behaviour(),
            registry=registry,
        )
        app = web.Application(client_max_size=_SETUP_LIMIT_BYTES)
        app.add_routes(control_routes(provider, registry))
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, *listen).start()
            url = f"http://{listen[0]}:{runner.addresses[0][1]}"
            provider.resume()
            address = {"url": url, "backend": entry.url}
            write_private(directory / "address.json", json.dumps(address))
            yield Running(url=url, provider=provider)
        finally:
            await provider.close()
            await runner.cleanup()


@asynccontextmanager
async def _backend_of(
    given: BackendEntry | None,
) -> AsyncGenerator[tuple[BackendEntry, Backend | None]]:
    if given is not None:
        yield given, None
        return
    served = Backend()
    async with serve(served) as url:
        yield BackendEntry(kind="vllm", url=url), served


async def _run(arguments: argparse.Namespace) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    backend = arguments.backend and BackendEntry(
        kind=arguments.backend_kind, url=arguments.backend.rstrip("/")
    )
    async with running(
        directory=arguments.directory,
        coordinator=arguments.coordinator,
        listen=arguments.listen,
        backend=backend,
        behaviour=Behaviour(token_delay_seconds=arguments.token_delay_ms * 0.001),
    ) as running_one:
        _log.info("listening", url=running_one.url)
        ends = [stop.wait(), running_one.provider.crashed.wait()]
        await asyncio.wait(map(asyncio.ensure_future, ends), return_when=asyncio.FIRST_COMPLETED)
    return 1 if running_one.provider.crashed.is_set() else 0


def _host_port(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65_535:
        raise argparse.ArgumentTypeError(f"write it as host:port, not {text!r}")
    return host, int(port)


def _http_url(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError(f"write it as http://host:port, not {text!r}")
    return text.rstrip("/")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m localnet.provider",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--coordinator", type=_http_url, required=True, metavar="URL")
    parser.add_argument("--directory", type=Path, required=True, help="where it keeps its state")
    parser.add_argument(
        "--listen",
        type=_host_port,
        default=("127.0.0.1", 0),
        metavar="HOST:PORT",
        help="port 0: any",
    )
    parser.add_argument("--backend", type=_http_url, metavar="URL", help="a real local backend")
    parser.add_argument("--backend-kind", choices=KIND_PRIORITY, default="vllm")
    parser.add_argument("--token-delay-ms", type=int, default=0, help="of the backend beside it")
    parser.add_argument("--log-level", default="INFO", choices=("DEBUG", "INFO", "WARNING"))
    return parser


def main() -> int:
    """Run until SIGTERM or SIGINT; 0 then, 1 with one line on a fatal error."""
    arguments = _parser().parse_args()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[arguments.log_level]
        ),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )
    try:
        return asyncio.run(_run(arguments))
    except (StateUnreadable, OSError) as error:
        _log.error("cannot run", error=str(error))
        return 1


if __name__ == "__main__":
    sys.exit(main())
