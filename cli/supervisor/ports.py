"""TCP ports: free ones for addresses nobody needs to know, and a clear word about taken ones.

Free ones are taken below the range from which the system picks ports for outgoing connections:
there, a port that is free now can be gone when the process that wants it starts again.
"""

import asyncio
import json
import secrets
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from cli.supervisor.child import CannotStart

_PAUSE_SECONDS = 0.1
_LOWEST = 14_000
_HIGHEST = 32_000
_PATIENCE_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class FixedPort:
    """A port somebody chose, and how to choose another."""

    host: str
    port: int
    used_by: str
    change: str


def free_port(host: str = "127.0.0.1") -> int:
    """A port nobody listens on, and the next one neither."""
    while True:
        port = _LOWEST + 2 * secrets.randbelow((_HIGHEST - _LOWEST) // 2)
        if is_free(host, port) and is_free(host, port + 1):
            return port


def is_free(host: str, port: int) -> bool:
    """Whether we could listen there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


class ChosenPorts:
    """Ports we chose ourselves, remembered in a file: addresses stay good from start to start."""

    def __init__(self, file: Path, *, patience_seconds: float = _PATIENCE_SECONDS) -> None:
        self._file = file
        self._patience_seconds = patience_seconds
        self._known: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}

    async def take(self, name: str, host: str = "127.0.0.1") -> int:
        """The port this role had last time, or another where somebody else has it now."""
        remembered = self._known.get(name)
        if remembered is not None and await _becomes_free(host, remembered, self._patience_seconds):
            return remembered
        self._known[name] = free_port(host)
        fresh = self._file.with_suffix(".new")
        fresh.write_text(json.dumps(self._known, indent=2))
        fresh.replace(self._file)
        return self._known[name]


async def require_free(ports: list[FixedPort], patience_seconds: float = _PATIENCE_SECONDS) -> None:
    """Raise `CannotStart` naming the first port that stays taken.

    We wait a moment first: the processes of a killed supervisor need that long to be gone.
    """
    for wanted in ports:
        if not await _becomes_free(wanted.host, wanted.port, patience_seconds):
            raise CannotStart(
                f"port {wanted.port} on {wanted.host} is taken by another program, and the"
                f" {wanted.used_by} needs it: stop that program, or {wanted.change}"
            )


async def _becomes_free(host: str, port: int, patience_seconds: float) -> bool:
    deadline = time.monotonic() + patience_seconds
    while not is_free(host, port):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(_PAUSE_SECONDS)
    return True
