"""One round of cranks: what is due, what is over, and every open step taken one further.

A halt of payouts does not stop cranks: they move no money of the till's, what they do anybody may
do, and the program's own pauses are what stops them. A fee payer that is nearly out of SOL does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from settlement.cranks.books import anything_to_do, close_over, open_cranks, open_due
from settlement.cranks.send import CrankRoad, build_waiting, expire_dead, send_waiting
from settlement.cranks.step import CrankKind
from settlement.cranks.survey import chain_time
from settlement.money import Lamports


@dataclass(frozen=True, kw_only=True)
class CrankRound:
    """What a round found and did; times in chain time."""

    blocked: str | None = None
    waiting: Mapping[CrankKind, int] = field(default_factory=dict[CrankKind, int])
    put_off: int = 0  # of those waiting, how many are not possible now
    longest_overdue: timedelta = timedelta()
    opened: int = 0
    built: int = 0
    sent: int = 0
    expired: int = 0


async def crank_once(road: CrankRoad, *, lowest_payer_lamports: Lamports) -> CrankRound:
    """One round. Raises `Unavailable` errors of the node, and lost connections."""
    if not await anything_to_do(road.pool):
        return CrankRound()
    now = await chain_time(road.chain)
    opened = await open_due(road.pool, now=now, clock=road.clock)
    every = await open_cranks(road.pool)
    cranks = await close_over(road.pool, every, now=now, clock=road.clock)
    expired = await expire_dead(road, cranks) if cranks else 0
    blocked = await _blocked(road, lowest_payer_lamports) if cranks else None
    may_go = bool(cranks) and blocked is None
    return CrankRound(
        blocked=blocked,
        waiting={kind: sum(crank.kind is kind for crank in cranks) for kind in CrankKind},
        put_off=sum(crank.problem is not None for crank in cranks),
        longest_overdue=_longest(now, [crank.due_at for crank in cranks]),
        opened=opened,
        expired=expired,
        built=await build_waiting(road, cranks) if may_go else 0,
        sent=await send_waiting(road) if may_go else 0,
    )


async def _blocked(road: CrankRoad, lowest: Lamports) -> str | None:
    lamports = await road.chain.balance(road.payer)
    return None if lamports >= lowest else f"the fee payer has only {lamports} lamports"


def _longest(now: datetime, due: list[datetime]) -> timedelta:
    return max((now - at for at in due), default=timedelta())
