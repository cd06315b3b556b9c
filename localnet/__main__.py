"""`python -m localnet`: serve the embedded chain until SIGTERM or SIGINT."""

import argparse
import asyncio
import dataclasses
import json
import logging
import os
import signal
import sys
from pathlib import Path

import structlog

from localnet.adversary.doors import PATH
from localnet.adversary.faults import Script
from localnet.adversary.schedule import DEFAULT_SLOTS, script_from
from localnet.adversary.script import script_text
from localnet.embedded import PortTaken, RunningChain, cluster_server
from localnet.journal import JournalDamaged, write_atomically
from localnet.recovery import DirectoryLocked
from localnet.settings import Settings, SettingsError, load_settings

_log = structlog.get_logger()
_REFUSALS = (SettingsError, PortTaken, DirectoryLocked, JournalDamaged)


def main() -> int:
    """Run; 0 after a clean stop, 1 with one line on stderr when it cannot start or go on."""
    arguments = _parser().parse_args()
    _configure_logging(arguments.log_level)
    try:
        settings = _settings(arguments)
        script = script_from(
            arguments.faults,
            arguments.seed,
            slots=arguments.fault_slots,
            slot_time_ms=settings.embedded.slot_time_ms,
        )
        if arguments.print_faults:
            sys.stdout.write(script_text(script or Script()))
            return 0
        asyncio.run(_serve(settings, arguments.data, arguments.keys, script))
    except _REFUSALS as error:
        sys.stderr.write(f"localnet: {error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"localnet: stopped, because writing failed: {error}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m localnet", description="An embedded Solana behind a node's RPC."
    )
    parser.add_argument("--config", type=Path, default=Path("localnet.toml"), help="settings file")
    parser.add_argument(
        "--data", type=Path, default=Path(".pod/localnet"), help="directory of the chain"
    )
    parser.add_argument(
        "--keys", type=Path, default=Path(".pod/keys"), help="directory of the wallets' key files"
    )
    parser.add_argument(
        "--rpc-port", type=int, help="overrides embedded.rpc_port; websockets are on the next port"
    )
    parser.add_argument("--slot-time-ms", type=int, help="overrides embedded.slot_time_ms")
    faults = parser.add_argument_group(
        "faults",
        "what goes wrong; docs/faults.md lists it."
        f" Each backend also answers alone: {PATH.format(backend='NAME')}",
    )
    faults.add_argument("--faults", type=Path, metavar="FILE", help="do what a TOML script says")
    faults.add_argument(
        "--seed",
        type=_seed,
        metavar="N",
        help="without --faults: do what this number stands for; with it: load its dice",
    )
    faults.add_argument(
        "--fault-slots",
        type=_slots,
        default=DEFAULT_SLOTS,
        metavar="N",
        help=f"how many slots the faults of a seed last, {DEFAULT_SLOTS} if not said; then all is"
        " calm",
    )
    faults.add_argument(
        "--print-faults", action="store_true", help="print it all as a script, and serve nothing"
    )
    parser.add_argument(
        "--log-level", choices=("debug", "info", "warning"), default="info", help="what is logged"
    )
    return parser


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**63:
        raise argparse.ArgumentTypeError("expected a whole number from 0 to 2^63 - 1")
    return int(text)


def _slots(text: str) -> int:
    if not text.isdecimal() or not 2 <= int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError("expected a whole number from 2 to 1000000")
    return int(text)


def _configure_logging(level: str) -> None:
    """JSON lines on stderr, as every role writes them."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(role="localnet")


def _settings(arguments: argparse.Namespace) -> Settings:
    settings = load_settings(arguments.config)
    given = {"rpc_port": arguments.rpc_port, "slot_time_ms": arguments.slot_time_ms}
    changes = {key: value for key, value in given.items() if value is not None}
    if not 0 <= changes.get("rpc_port", 0) <= 65_534 or changes.get("slot_time_ms", 5) < 5:
        raise SettingsError("--rpc-port is 0 to 65534, --slot-time-ms at least 5")
    return dataclasses.replace(settings, embedded=dataclasses.replace(settings.embedded, **changes))


async def _serve(settings: Settings, data: Path, keys: Path, script: Script | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for one in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(one, stop.set)
    async with cluster_server(settings, data=data, keys=keys, script=script) as chain:
        _write_address(data / "address.json", chain)
        _log.info("serving", rpc_url=chain.rpc_url, ws_url=chain.ws_url, slot=chain.cluster.slot)
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({stopped, chain.failure}, return_when=asyncio.FIRST_COMPLETED)
        (data / "address.json").unlink(missing_ok=True)
        if chain.failure.done():
            stopped.cancel()
            chain.failure.result()


def _write_address(path: Path, chain: RunningChain) -> None:
    address: dict[str, object] = {
        "rpc_url": chain.rpc_url,
        "ws_url": chain.ws_url,
        "pid": os.getpid(),
    }
    if chain.fleet is not None:
        names = chain.fleet.script.backends
        address["backends"] = {name: chain.backend_url(name) for name in names}
    write_atomically(path, json.dumps(address).encode())


if __name__ == "__main__":
    sys.exit(main())
