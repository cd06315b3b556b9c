"""The agents' websocket, `/provider/connect`, as a raw ASGI app."""

from coordinator.api.body import Message, Receive, Send
from coordinator.sessions import Sessions


class AsgiSocket:
    """One websocket, as a session needs it."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._closed = False

    async def send(self, text: str) -> None:
        """Send a text frame. Raises `ConnectionError`."""
        if self._closed:
            raise ConnectionError("closed")
        await self._give({"type": "websocket.send", "text": text})

    async def receive(self) -> str | None:
        """The next text frame ('' for a binary one), None when the peer is gone."""
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            self._closed = True
            return None
        text: str | None = message.get("text")
        return text or ""

    async def close(self, code: int, reason: str) -> None:
        """Send Close, once."""
        if not self._closed:
            self._closed = True
            try:
                await self._give({"type": "websocket.close", "code": code, "reason": reason})
            except ConnectionError:
                return

    async def _give(self, message: Message) -> None:
        try:
            await self._send(message)
        except (OSError, RuntimeError) as error:
            self._closed = True
            raise ConnectionError(str(error)) from error


async def serve(sessions: Sessions, receive: Receive, send: Send) -> None:
    """One agent's connection."""
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})
    socket = AsgiSocket(receive, send)
    await sessions.serve(socket)
    await socket.close(1000, "")


async def refuse(receive: Receive, send: Send) -> None:
    """There is no websocket at this path."""
    await receive()
    await send({"type": "websocket.close", "code": 1000})
