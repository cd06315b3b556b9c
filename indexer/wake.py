"""Wakes the follower early. Nothing here is true: a message only says "look now".

Subscriptions may lose anything (chain.md R33-R39), so losing all of them costs latency and no
money: the follower's timer goes on. The slot subscription is the heartbeat: a connection that is
silent for longer is dropped and made again.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import aiohttp
import msgspec
import structlog
from solders.pubkey import Pubkey

from settlement.chain.answers import Commitment

_SILENT_SECONDS: Final = 10.0  # many slots
_RECONNECT_SECONDS: Final = 1.0
_LARGEST_MESSAGE_BYTES: Final = 16 * 1024 * 1024
_HINTS: Final = frozenset({"accountNotification", "logsNotification"})
_log = structlog.stdlib.get_logger()


class _Message(msgspec.Struct):
    """A notification has a method; the answer to a subscription has an id, and a result or not."""

    method: str = ""
    id: object = None
    result: object = None


class Wake:
    """A flag that anything may set and the follower waits for, but never longer than its timer."""

    def __init__(self) -> None:
        self._dirty = asyncio.Event()
        self.listening = False  # whether somebody is there who would set it for everything

    def set(self) -> None:
        """There may be something new."""
        self._dirty.set()

    async def wait(self, longest_seconds: float) -> bool:
        """Return when woken or when the time is over; the flag is down again. Whether it was up."""
        try:
            async with asyncio.timeout(longest_seconds):
                await self._dirty.wait()
        except TimeoutError:
            pass
        was_up = self._dirty.is_set()
        self._dirty.clear()
        return was_up


async def listen(
    url: str,
    *,
    accounts: Sequence[Pubkey],
    mentions: Sequence[Pubkey],
    wake: Wake,
    connected: Callable[[bool], None],
    silent_seconds: float = _SILENT_SECONDS,
    commitment: Commitment = Commitment.FINALIZED,
) -> None:
    """Set the flag at every hint, connecting again for ever. Ends only by being cancelled."""
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.ws_connect(
                    url, max_msg_size=_LARGEST_MESSAGE_BYTES, heartbeat=silent_seconds
                ) as socket:
                    wanted = _subscriptions(accounts, mentions, commitment)
                    for request in wanted:
                        await socket.send_json(request)
                    connected(True)
                    wake.set()  # whatever happened while nobody listened
                    await _listen(socket, wake, len(wanted), silent_seconds)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                _log.info("websocket_lost", problem=type(error).__name__)
            finally:
                wake.listening = False
                connected(False)
            await asyncio.sleep(_RECONNECT_SECONDS)


async def _listen(
    socket: aiohttp.ClientWebSocketResponse, wake: Wake, wanted: int, silent_seconds: float
) -> None:
    subscribed: set[object] = set()
    while True:
        async with asyncio.timeout(silent_seconds):
            message = await socket.receive()
        if message.type is not aiohttp.WSMsgType.TEXT:
            return
        found = _read(message.data)
        if found.method in _HINTS:
            wake.set()
        elif isinstance(found.id, int) and found.result is not None:
            subscribed.add(found.id)
            # A node that refuses one of them would let us sleep through what it is about.
            wake.listening = len(subscribed) == wanted
        elif found.id is not None:
            _log.warning("subscription_refused", number=found.id)


def _read(text: str) -> _Message:
    try:
        return msgspec.json.decode(text, type=_Message)
    except msgspec.DecodeError:
        return _Message()


def _subscriptions(
    accounts: Sequence[Pubkey], mentions: Sequence[Pubkey], commitment: Commitment
) -> list[dict[str, object]]:
    settled = {"commitment": commitment}
    account = {**settled, "encoding": "base64"}
    wanted: list[tuple[str, Sequence[object]]] = [("slotSubscribe", ())]
    wanted += [("accountSubscribe", (str(address), account)) for address in accounts]
    # One address for each: nodes take no more.
    wanted += [("logsSubscribe", ({"mentions": [str(address)]}, settled)) for address in mentions]
    return [
        {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}
        for number, (method, params) in enumerate(wanted, 1)
    ]
