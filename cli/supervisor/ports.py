"""TCP ports: free ones for addresses nobody needs to know, and a clear word about taken ones.

Free ones are taken below the range from which the system picks ports for outgoing connections:
there, a port that is free now can be gone when the process that wants it starts again.
"""

import asyncio
import secrets
import socket
import time
from dataclasses import dataclass

from cli.supervisor.child import CannotStart

_PAUSE_SECONDS = 0.1
_LOWEST = 14_000
_HIGHEST = 32_000


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


async def require_free(ports: list[FixedPort], patience_seconds: float = 5.0) -> None:
    """Raise `CannotStart` naming the first port that stays taken.

    We wait a moment first: the processes of a killed supervisor need that long to be gone.
    """
    deadline = time.monotonic() + patience_seconds
    for wanted in ports:
        while not is_free(wanted.host, wanted.port):
            if time.monotonic() > deadline:
                raise CannotStart(
                    f"port {wanted.port} on {wanted.host} is taken by another program, and the"
                    f" {wanted.used_by} needs it: stop that program, or {wanted.change}"
                )
            await asyncio.sleep(_PAUSE_SECONDS)
