"""One round of the payout worker: look at what stands in the way, then take every payout a step on.

While something is wrong with the road itself (payouts halted, the till frozen, the fee payer nearly
out of SOL) nothing new is numbered, built or sent; closing dead attempts never hurts and goes on.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from settlement.chain.tokens import TokenState
from settlement.db.pool import reading
from settlement.db.sql import load
from settlement.money import Lamports
from settlement.payouts.build import build_waiting
from settlement.payouts.halt import halted
from settlement.payouts.number import number_waiting
from settlement.payouts.road import Road
from settlement.payouts.roles import sharing_keys
from settlement.payouts.send import break_up, expire_dead, send_waiting
from settlement.payouts.states import PayoutState
from settlement.payouts.survey import Till, read_till

_SQL = load("settlement.payouts", "payouts.sql")
_ON_THE_ROAD = (PayoutState.NUMBERED, PayoutState.SIGNED, PayoutState.SENT)


@dataclass(frozen=True, kw_only=True)
class Round:
    """What a round found and did."""

    blocked: tuple[str, ...] = ()
    waiting: Mapping[PayoutState, int] = field(default_factory=dict[PayoutState, int])
    oldest_requested_at: datetime | None = None
    payer_lamports: Lamports | None = None  # None: nobody looked this time
    numbered: int = 0
    built: int = 0
    sent: int = 0
    expired: int = 0


class Rounds:
    """Runs rounds; looks at the fee payer and the till at least every `look_every`."""

    def __init__(
        self,
        road: Road,
        *,
        lowest_payer_lamports: Lamports,
        look_every: timedelta = timedelta(seconds=15),
        nudge: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._road = road
        self._lowest = lowest_payer_lamports
        self._look_every = look_every
        self._nudge = nudge  # tells the signer that something waits
        self._looked_at: datetime | None = None

    async def once(self) -> Round:
        """One round. Raises `Unavailable` errors of the node, and lost connections."""
        road = self._road
        async with reading(road.pool) as conn:
            halts = await halted(conn)
            rows = await conn.fetch(_SQL["counts"])
        waiting = {PayoutState(row["state"]): int(row["n"]) for row in rows}
        oldest = min((row["oldest"] for row in rows), default=None)
        idle = not any(state in waiting for state in (PayoutState.REQUESTED, *_ON_THE_ROAD))
        if idle and not self._time_to_look():
            return Round(blocked=halts, waiting=waiting, oldest_requested_at=oldest)
        expired = 0
        if any(state in waiting for state in _ON_THE_ROAD):
            expired = await expire_dead(road)
        till = await read_till(road.chain, road.deployment)
        lamports = await road.chain.balance(road.payer)
        self._looked_at = road.clock.now()
        blocked = (*halts, *self._obstacles(till, lamports))
        if blocked:
            return Round(
                blocked=blocked,
                waiting=waiting,
                oldest_requested_at=oldest,
                payer_lamports=lamports,
                expired=expired,
            )
        expired += await break_up(road)
        numbered = await number_waiting(
            road.pool, till=till, deployment=road.deployment, now=road.clock.now()
        )
        built = await build_waiting(road, till)
        if built and self._nudge is not None:
            await self._nudge()
        return Round(
            waiting=waiting,
            oldest_requested_at=oldest,
            payer_lamports=lamports,
            expired=expired,
            numbered=numbered,
            built=built,
            sent=await send_waiting(road),
        )

    def _time_to_look(self) -> bool:
        return (
            self._looked_at is None or self._road.clock.now() >= self._looked_at + self._look_every
        )

    def _obstacles(self, till: Till, lamports: Lamports) -> list[str]:
        found: list[str] = []
        if till.vault.state is TokenState.FROZEN:
            found.append("the till is frozen")
        if lamports < self._lowest:
            found.append(f"the fee payer has only {lamports} lamports")
        if till.config.payer != self._road.payer:
            found.append("another key has the payer role on chain")
        if shared := sharing_keys(till.config):
            found.append(f"roles share a key: {', '.join(shared)}")
        return found
