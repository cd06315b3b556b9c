"""Processes ask each other for what they have set aside and do not use.

A user may be served by several processes, each with leases of its own. Whoever finds too little
says so (`podledger_recall`), the others give back what no request of theirs has taken and say that
they did (`podledger_given_back`). Both are only notices: what is really there, the books say.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import structlog

from settlement.db import sql
from settlement.db.pool import TRANSIENT, Pool, calling, reading
from settlement.ledger.operations import AccountName, Writer

_QUERIES: Final = sql.load("settlement.charges", "charges.sql")
RECALL: Final = "podledger_recall"
GIVEN_BACK: Final = "podledger_given_back"
_LOOK_SECONDS: Final = 1.0
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Elsewhere:
    """Whether another process has set money of an account aside, and what is available."""

    is_leased: bool
    available_microusdc: int


class Recalls:
    """One process's ear and mouth."""

    def __init__(
        self, pool: Pool, writer: Writer, on_recall: Callable[[AccountName], None]
    ) -> None:
        self._pool = pool
        self._writer_id = writer.writer_id
        self._on_recall = on_recall
        self._waiting: dict[AccountName, asyncio.Event] = {}

    async def elsewhere(self, account: AccountName) -> Elsewhere:
        """What the books say of an account at one moment."""
        async with reading(self._pool) as conn:
            row = await conn.fetchrow(_QUERIES["elsewhere"], account, self._writer_id)
        assert row is not None, "the account is there: a lease of it was asked for"
        return Elsewhere(is_leased=row["is_leased"], available_microusdc=row["available"])

    async def ask(self, account: AccountName, *, wait_seconds: float) -> None:
        """Ask the others to give back; until one did, or for so long."""
        given_back = self._waiting.setdefault(account, asyncio.Event())
        given_back.clear()
        try:
            await self._say(RECALL, account)
            with suppress(TimeoutError):
                await asyncio.wait_for(given_back.wait(), wait_seconds)
        finally:
            self._waiting.pop(account, None)

    async def gave_back(self, account: AccountName) -> None:
        """Tell who asked that we gave back what we could."""
        await self._say(GIVEN_BACK, account)

    async def follow(self) -> None:
        """For ever: listen; a database that is away is waited for."""
        while True:
            try:
                await self._listen()
            except TRANSIENT as error:
                _log.warning("recall_waits", problem=str(error))
                await asyncio.sleep(_LOOK_SECONDS)

    async def _say(self, channel: str, account: AccountName) -> None:
        async with calling(self._pool) as conn:
            await conn.execute(_QUERIES["notify"], channel, f"{self._writer_id}:{account}")

    async def _listen(self) -> None:
        async with self._pool.acquire() as connection:
            heard = {RECALL: self._recalled, GIVEN_BACK: self._came_back}
            for channel, callback in heard.items():
                await connection.add_listener(channel, callback)
            try:
                while not connection.is_closed():  # noqa: ASYNC110 -- nobody announces a lost one
                    await asyncio.sleep(_LOOK_SECONDS)
            finally:
                # A lost connection has gone back to the pool by itself and refuses every call.
                with suppress(*TRANSIENT):
                    for channel, callback in heard.items():
                        await connection.remove_listener(channel, callback)

    def _recalled(self, *heard: object) -> None:
        account = self._of_another(heard[-1])
        if account is not None:
            self._on_recall(account)

    def _came_back(self, *heard: object) -> None:
        account = self._of_another(heard[-1])
        if account is not None and account in self._waiting:
            self._waiting[account].set()

    def _of_another(self, payload: object) -> AccountName | None:
        writer, _, account = str(payload).partition(":")
        return AccountName(account) if writer != str(self._writer_id) else None
