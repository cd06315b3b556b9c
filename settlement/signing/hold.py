"""Puts a key holder together: a key of this machine, offered to a signer elsewhere."""

import asyncio

import structlog

from settlement.config import HolderSettings
from settlement.keys.choice import open_key
from settlement.keys.holder import holding

_log = structlog.stdlib.get_logger()


async def hold(settings: HolderSettings) -> None:
    """Hold the key until cancelled. Raises `KeyRefused` or `SocketRefused`."""
    key = await open_key(settings.key)
    async with holding(key, settings.socket):
        _log.info("listening", at=str(settings.socket), address=str(key.address))
        await asyncio.Event().wait()
