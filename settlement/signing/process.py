"""Puts the signer together: its key, its look at what waits, and the socket it is nudged at.

It looks by itself every so often; a nudge only makes it look now. Looks come one after the other.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import structlog

from settlement.clock import SystemClock
from settlement.config import SignerSettings
from settlement.cranks.sign import sign_steps
from settlement.db.pool import TRANSIENT, reading
from settlement.db.sql import load
from settlement.errors import Unavailable
from settlement.keys.choice import KeyPlace, open_key
from settlement.keys.protocol import KeyAway, KeyRefused, SigningKey
from settlement.local_socket import listening, understood
from settlement.metrics import SignerMetrics
from settlement.observability import Health, status_server
from settlement.payouts.nudge import Answer, PayoutSaid, Said, Waits
from settlement.payouts.policy import Cause
from settlement.payouts.roles import refuse_shared
from settlement.payouts.sign import Signed, Signer, sign_waiting
from settlement.process import Standing, repeat, waited_pool

_SQL = load("settlement.payouts", "sign.sql")
_MOST_LOOKS: Final = 20  # for one nudge; what still waits then waits for the next look
_KEY_PAUSE_SECONDS: Final = 0.5
_log = structlog.stdlib.get_logger()

Step = Callable[[Signer], Awaitable[Signed]]
# Everything the payout key signs. Each step reads its intents itself and derives what it signs.
STEPS: Final[tuple[Step, ...]] = (sign_waiting, sign_steps)


class SignerBusy(Unavailable):
    """The signer cannot look now; it looks again by itself."""


@dataclass(kw_only=True)
class Looks:
    """Looks at everything that may wait, one look at a time."""

    signer: Signer
    metrics: SignerMetrics

    def __post_init__(self) -> None:
        self._turn = asyncio.Lock()

    async def once(self) -> Signed:
        """Every step once. Raises `KeyAway`, and lost connections."""
        async with self._turn:
            signed = 0
            causes = Counter[Cause]()
            for step in STEPS:
                done = await step(self.signer)
                self.metrics.round(done)
                signed += done.signed
                causes += done.causes
            return Signed(signed=signed, refused=causes.total(), causes=causes)

    async def answer(self, line: bytes) -> Answer:
        """What became of the payouts a nudge names, after looking. Raises `PodError`."""
        asked = understood(line, Waits).payouts
        try:
            looks = 0
            while True:
                done = await self.once()
                looks += 1
                told = await self._said(asked)
                waits = any(each.said is Said.WAITING for each in told)
                idle = done == Signed(signed=0, refused=0)
                if not waits or idle or looks == _MOST_LOOKS:
                    return Answer(payouts=told)
        except TRANSIENT as error:
            raise SignerBusy(problem=str(error) or type(error).__name__) from None

    async def _said(self, asked: list[UUID]) -> list[PayoutSaid]:
        async with reading(self.signer.pool) as conn:
            rows = await conn.fetch(_SQL["said"], asked)
        found = {row["payout_id"]: row for row in rows}
        told: list[PayoutSaid] = []
        for payout in asked:
            row = found.get(payout)
            if row is None:
                said = Said.NOTHING
            elif row["signature"] is not None:
                said = Said.SIGNED
            else:
                said = Said.WAITING if row["refusal"] is None else Said.REFUSED
            told.append(
                PayoutSaid(
                    payout=payout,
                    said=said,
                    signature=None if row is None else row["signature"],
                    reason=None if row is None else row["refusal"],
                )
            )
        return told


async def sign(settings: SignerSettings) -> None:
    """Be the signer until cancelled. Raises `KeyRefused`, `RolesShareKey` or `SocketRefused`."""
    standing, metrics, clock = Standing(), SignerMetrics(), SystemClock()
    facts = dict[str, int | str]()

    def health() -> Health:
        return Health(well=standing.well, line=standing.line, facts=facts)

    async with AsyncExitStack() as parts:
        address = await parts.enter_async_context(
            status_server(settings.metrics, metrics.registry, health)
        )
        key = await _reached(settings.key, standing)
        _check(key, settings)
        facts["payer"] = str(key.address)
        pool = await parts.enter_async_context(
            waited_pool(
                settings.database_url,
                role="pod_signer",
                application="signer",
                size=2,
                standing=standing,
            )
        )
        looks = Looks(
            signer=Signer(pool=pool, key=key, policy=settings.policy, clock=clock), metrics=metrics
        )
        if settings.socket is not None:
            await parts.enter_async_context(listening(settings.socket, looks.answer))
        _log.info(
            "listening", metrics=str(address), payer=str(key.address), at=str(settings.socket)
        )

        async def once() -> None:
            await looks.once()

        await repeat(
            once,
            part="signing",
            every_seconds=settings.round_milliseconds / 1_000,
            standing=standing,
        )


async def _reached(place: KeyPlace, standing: Standing) -> SigningKey:
    """The key, as soon as its holder answers."""
    while True:
        try:
            key = await open_key(place)
        except KeyAway as error:
            standing.wrong("key", str(error))
            await asyncio.sleep(_KEY_PAUSE_SECONDS)
            continue
        standing.right("key")
        return key


def _check(key: SigningKey, settings: SignerSettings) -> None:
    if settings.payer is not None and key.address != settings.payer:
        raise KeyRefused(address=str(key.address), problem="another key than POD_PAYER_ADDRESS")
    refuse_shared(key.address, settings.other_roles)
