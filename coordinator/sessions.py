"""Agents that are connected: the handshake, and who is here.

The server speaks first: a nonce, whose raw bytes the agent signs. Who the key belongs to is asked
of `Identities`. The newest connection of a provider wins; the older one's jobs fail over. No ping
is sent: an agent does not read its socket while it discovers its backends, which may take minutes.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Iterator
from typing import Protocol
from uuid import UUID

import structlog

from coordinator import protocol
from coordinator.agent import Session, Socket, Timing
from settlement.errors import PodError, Refused

log = structlog.get_logger()


class AgentRefused(Refused):
    """This key or code is not known here."""


class Identities(Protocol):
    """Who a key belongs to."""

    async def identify(self, pubkey: bytes, code: str | None) -> UUID:
        """The provider; binds an unknown key to a valid code. Raises `AgentRefused`."""
        ...


class Sessions:
    """Every connected agent, by provider."""

    def __init__(self, identities: Identities, timing: Timing) -> None:
        self._identities = identities
        self._timing = timing
        self._by_provider: dict[UUID, Session] = {}
        self._draining = False

    def __iter__(self) -> Iterator[Session]:
        return iter(self._by_provider.values())

    def __len__(self) -> int:
        return len(self._by_provider)

    def get(self, provider_id: UUID) -> Session | None:
        """The provider's connection, if it has one."""
        return self._by_provider.get(provider_id)

    async def serve(self, socket: Socket) -> None:
        """The whole life of one agent's connection, from the challenge to its end."""
        now = asyncio.get_running_loop().time
        provider_id = await self._authenticate(socket)
        if provider_id is None:
            return
        session = Session(provider_id, socket, self._timing, now())
        older = self._by_provider.get(provider_id)
        self._by_provider[provider_id] = session
        try:
            if older is not None:
                await older.close(1012, "a newer connection took over")
            ok = protocol.encode(protocol.AuthOk(provider_id=str(provider_id)))
            await socket.send(ok)
            log.info("agent_connected", provider=str(provider_id))
            await session.read(now)
        except ConnectionError:
            pass
        finally:
            session.closing = True
            session.fail_jobs("disconnected", "the agent's connection ended")
            if self._by_provider.get(provider_id) is session:
                del self._by_provider[provider_id]
            log.info("agent_gone", provider=str(provider_id))

    async def _authenticate(self, socket: Socket) -> UUID | None:
        nonce = secrets.token_bytes(protocol.NONCE_BYTES)
        try:
            await socket.send(protocol.encode(protocol.AuthChallenge(nonce=nonce)))
            text = await asyncio.wait_for(socket.receive(), self._timing.auth_seconds)
            return None if text is None else await self._identified(text, nonce)
        except TimeoutError:
            await socket.close(1008, "no auth_response in time")
        except ConnectionError:
            pass
        except PodError as error:
            log.info("agent_refused", reason=error.message)
            failed = protocol.AuthFailed(reason=error.message)
            await _quietly(socket.send(protocol.encode(failed)))
            await socket.close(1008, "auth failed")
        return None

    async def _identified(self, text: str, nonce: bytes) -> UUID:
        if self._draining:
            raise AgentRefused("this coordinator is going away")
        frame = protocol.decode(text)
        if not isinstance(frame, protocol.AuthResponse):
            raise AgentRefused("expected auth_response")
        if not protocol.is_signed(frame, nonce):
            raise AgentRefused("the signature does not verify")
        return await self._identities.identify(frame.pubkey, frame.enrollment_code)

    async def watch(self, *, every_seconds: float = 0.5) -> None:
        """For ever: time out jobs, drop silent agents."""
        now = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(every_seconds)
            for session in list(self):
                session.watch_jobs(now())
                if session.overdue(now()):
                    await session.close(1001, "silent for too long")
                    if self._by_provider.get(session.provider_id) is session:
                        del self._by_provider[session.provider_id]

    async def drop(self, provider_id: UUID) -> None:
        """Close a provider's connection, so that its next one is judged afresh."""
        session = self.get(provider_id)
        if session is not None:
            await session.close(1012, "identity changed")

    async def go_away(self) -> None:
        """Tell every agent to reconnect elsewhere or later; take no new ones."""
        self._draining = True
        for session in list(self):
            await session.close(1001, "going away")


async def _quietly(step: Awaitable[None]) -> None:
    with contextlib.suppress(ConnectionError):
        await step
