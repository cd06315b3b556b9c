"""Who is calling: tokens to users and operators, by the hash of the token.

A user who was funded once stays activated, so that answer is kept in memory; everything else is
asked of the database. An unknown token is never remembered.
"""

import re
from dataclasses import dataclass
from uuid import UUID

from coordinator import store
from coordinator.store import Host, User
from settlement import deposits
from settlement.db.pool import Pool, reading
from settlement.errors import NotFound, Refused

_TOKEN = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_MOST_REMEMBERED = 100_000
HOST_TOKEN_PREFIX = "pod_host_"


class TokenMalformed(Refused):
    """unauthorized: invalid token format"""


class TokenNotActivated(Refused):
    """unauthorized: token not found or not activated"""


class TokenUnknown(NotFound):
    """token not found"""


class HostTokenInvalid(Refused):
    """unauthorized: send the host token as `Authorization: Bearer pod_host_…`"""


@dataclass(frozen=True, kw_only=True)
class Caller:
    """A user, with what the route needs to know."""

    user: User
    activated: bool


class Callers:
    """Looks tokens up."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._activated: dict[bytes, User] = {}

    async def find(self, token: str) -> Caller | None:
        """The user of a token, None when there is none. Raises `TokenMalformed`."""
        if not _TOKEN.fullmatch(token):
            raise TokenMalformed
        known = store.fingerprint(token.lower())
        user = self._activated.get(known)
        if user is not None:
            return Caller(user=user, activated=True)
        async with reading(self._pool) as conn:
            user = await store.user(conn, known)
            if user is None:
                return None
            activated = await deposits.credited(conn, user.user_id)
        if activated:
            self._remember(known, user)
        return Caller(user=user, activated=activated)

    async def activated(self, token: str) -> UUID:
        """The user who may spend. Raises `TokenMalformed`, `TokenNotActivated`."""
        caller = await self.find(token)
        if caller is None or not caller.activated:
            raise TokenNotActivated
        return caller.user.user_id

    async def known(self, token: str) -> Caller:
        """The user, funded or not. Raises `TokenMalformed`, `TokenUnknown`."""
        caller = await self.find(token)
        if caller is None:
            raise TokenUnknown
        return caller

    async def host(self, authorization: str | None) -> tuple[Host, str]:
        """The operator a Bearer header names, and its token. Raises `HostTokenInvalid`."""
        scheme, _, token = (authorization or "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token.startswith(HOST_TOKEN_PREFIX):
            raise HostTokenInvalid
        async with reading(self._pool) as conn:
            host = await store.host(conn, store.fingerprint(token))
        if host is None:
            raise HostTokenInvalid
        return host, token

    def _remember(self, known: bytes, user: User) -> None:
        if len(self._activated) >= _MOST_REMEMBERED:
            self._activated.pop(next(iter(self._activated)))
        self._activated[known] = user
