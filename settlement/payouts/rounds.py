"""One round of the payout worker: look at what stands in the way, then take every payout a step on.

While something is wrong with the road itself (payouts halted, the gate before numbers closed, the
till frozen, the fee payer nearly out of SOL) nothing new is numbered, built or sent; closing dead
messages and looking at sent ones never hurts and goes on.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from settlement.chain.tokens import TokenState
from settlement.db.pool import reading
from settlement.db.sql import load
from settlement.money import Lamports
from settlement.payouts.build import build_waiting
from settlement.payouts.gate import Gate, gate, stand_at_gate
from settlement.payouts.halt import halted
from settlement.payouts.number import number_waiting
from settlement.payouts.payer import PayerPolicy, PayerWatch, Queue
from settlement.payouts.road import Road
from settlement.payouts.roles import sharing_keys
from settlement.payouts.send import break_up, expire_dead, send_waiting
from settlement.payouts.states import ON_THE_ROAD, PayoutState
from settlement.payouts.survey import Till, read_till
from settlement.payouts.watch import watch_sent
from settlement.payouts.window import give_up_passed_by

_SQL = load("settlement.payouts", "payouts.sql")
_MESSAGES = load("settlement.payouts", "messages.sql")


@dataclass(frozen=True, kw_only=True)
class Round:
    """What a round found and did."""

    blocked: tuple[str, ...] = ()
    gate_closed: bool = False
    waiting: Mapping[PayoutState, int] = field(default_factory=dict[PayoutState, int])
    oldest_requested_at: datetime | None = None
    payer_lamports: Lamports | None = None  # None: nobody looked this time
    payer_needs_lamports: Lamports | None = None  # for what waits, and never below the low water
    numbered: int = 0
    built: int = 0
    sent: int = 0
    expired: int = 0
    confirmed: int = 0
    failed: int = 0
    passed_by: int = 0


@dataclass(frozen=True, kw_only=True)
class _Books:
    """What the database says at the beginning of a round."""

    halts: tuple[str, ...]
    waiting: Mapping[PayoutState, int]
    oldest: datetime | None
    gate: Gate

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        busy = (PayoutState.REQUESTED, *ON_THE_ROAD)
        return not self.gate.closed and not any(state in self.waiting for state in busy)

    @property
    def underway(self) -> bool:
        """Whether any number is out."""
        return any(state in self.waiting for state in ON_THE_ROAD)


class Rounds:
    """Runs rounds; looks at the fee payer and the till at least every `look_every`."""

    def __init__(
        self,
        road: Road,
        *,
        lowest_payer_lamports: Lamports,
        payer_policy: PayerPolicy | None = None,
        look_every: timedelta = timedelta(seconds=15),
        nudge: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._road = road
        self._payer_policy = payer_policy or PayerPolicy.above(lowest_payer_lamports)
        self._payer = PayerWatch(self._payer_policy)
        self._look_every = look_every
        self._nudge = nudge  # tells the signer that something waits
        self._looked_at: datetime | None = None
        self._watched_at: datetime | None = None

    async def once(self) -> Round:
        """One round. Raises `Unavailable` errors of the node, and lost connections."""
        books = await self._books()
        found = Round(blocked=books.halts, waiting=books.waiting, oldest_requested_at=books.oldest)
        if books.idle and not _over(self._looked_at, self._look_every, self._road):
            return found
        if books.underway:
            found = await self._look_back(found)
        till = await read_till(self._road.chain, self._road.deployment)
        found, spendable = await self._look_at_payer(found)
        closed = await stand_at_gate(self._road, till, books.gate)
        self._looked_at = self._road.clock.now()
        obstacles = [*books.halts, *self._obstacles(till, found)]
        if closed is not None:
            obstacles.append(closed)
        if obstacles:
            return replace(found, blocked=tuple(obstacles), gate_closed=closed is not None)
        return await self._go_on(found, till, spendable)

    async def _books(self) -> _Books:
        async with reading(self._road.pool) as conn:
            halts = await halted(conn)
            rows = await conn.fetch(_SQL["counts"])
            return _Books(
                halts=halts,
                waiting={PayoutState(row["state"]): int(row["n"]) for row in rows},
                oldest=min((row["oldest"] for row in rows), default=None),
                gate=await gate(conn),
            )

    async def _look_back(self, found: Round) -> Round:
        """What became of messages: seen, failed, or dead."""
        road = self._road
        if _over(self._watched_at, road.policy.watch_every, road):
            self._watched_at = road.clock.now()
            watched = await watch_sent(road)
            found = replace(found, confirmed=watched.confirmed, failed=watched.failed)
        return replace(found, expired=await expire_dead(road))

    async def _look_at_payer(self, found: Round) -> tuple[Round, Lamports]:
        """The payer's balance, what it should be, and what may be spent of it now."""
        road, policy = self._road, self._payer_policy
        lamports = await road.chain.balance(road.payer)
        async with reading(road.pool) as conn:
            row = await conn.fetchrow(_MESSAGES["queue_for_sol"])
        assert row is not None, "a sum is always one row"
        queue = Queue.of(row)
        cap = road.policy.fees.cap_microlamports
        need = queue.need_lamports(policy, cap_microlamports=cap)
        found = replace(found, payer_lamports=lamports, payer_needs_lamports=need)
        return found, Lamports(lamports - policy.lowest - queue.underway_lamports)

    async def _go_on(self, found: Round, till: Till, spendable: Lamports) -> Round:
        road = self._road
        found = replace(
            found,
            passed_by=await give_up_passed_by(road.pool),
            expired=found.expired + await break_up(road),
            numbered=await number_waiting(
                road.pool, till=till, deployment=road.deployment, now=road.clock.now()
            ),
        )
        built = await build_waiting(road, till, spendable=spendable)
        if built.payouts and self._nudge is not None:
            await self._nudge()
        short = ("the fee payer has too little for what waits",) if built.short else ()
        return replace(found, blocked=short, built=built.payouts, sent=await send_waiting(road))

    def _obstacles(self, till: Till, found: Round) -> list[str]:
        told: list[str] = []
        if till.vault.state is TokenState.FROZEN:
            told.append("the till is frozen")
        assert found.payer_lamports is not None, "the payer was looked at"
        if (short := self._payer.obstacle(found.payer_lamports)) is not None:
            told.append(short)
        if till.config.payer != self._road.payer:
            told.append("another key has the payer role on chain")
        if shared := sharing_keys(till.config):
            told.append(f"roles share a key: {', '.join(shared)}")
        return told


def _over(since: datetime | None, every: timedelta, road: Road) -> bool:
    """Whether it is time again."""
    return since is None or road.clock.now() >= since + every
