"""The worker tells the signer that something waits: ids over a local socket, nothing to sign.

The signer reads everything else from Postgres itself. A nudge that is lost costs the time to the
signer's next look, nothing more; so nothing that goes wrong here goes any further than the log.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final
from uuid import UUID

import msgspec
import structlog

from settlement.db.pool import Pool, reading
from settlement.db.sql import load
from settlement.local_socket import NobodyAnswers, ask

_SQL = load("settlement.payouts", "nudge.sql")
MOST_IDS: Final = 500
_PATIENCE_SECONDS: Final = 2.0
_log = structlog.stdlib.get_logger()


class Waits(msgspec.Struct, forbid_unknown_fields=True):
    """These payouts have a message that nobody has signed or refused; none: look for yourself."""

    payouts: Annotated[list[UUID], msgspec.Meta(max_length=MOST_IDS)]


class Said(StrEnum):
    """What became of a payout's message."""

    SIGNED = "signed"
    REFUSED = "refused"
    WAITING = "waiting"
    NOTHING = "nothing"  # there is no such payout, or nothing of it is to be signed


class PayoutSaid(msgspec.Struct):
    """What the signer says of one payout."""

    payout: UUID
    said: Said
    signature: str | None = None
    reason: str | None = None


class Answer(msgspec.Struct):
    """What the signer says of each payout it was asked about."""

    payouts: list[PayoutSaid]


@dataclass(frozen=True, kw_only=True)
class Nudge:
    """The worker's way to the signer."""

    pool: Pool
    path: Path

    async def __call__(self) -> None:
        """Name what waits, and return when the signer has looked at it."""
        async with reading(self.pool) as conn:
            rows = await conn.fetch(_SQL["unsigned"], MOST_IDS)
        if not rows:
            return
        question = Waits(payouts=[row["payout_id"] for row in rows])
        try:
            answer = await ask(self.path, question, Answer, timeout_seconds=_PATIENCE_SECONDS)
        except NobodyAnswers as error:
            _log.warning("signer_not_reached", problem=str(error))
            return
        for told in answer.payouts:
            if told.said is Said.REFUSED:
                _log.error("payout_refused_by_signer", payout=str(told.payout), reason=told.reason)
