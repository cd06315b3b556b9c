"""The parent of a paid request: match, reserve, relay, meter, settle.

    rank the offers → reserve what it will likely cost → try offers in order until one delivers,
        reserving more as the answer grows
        → capture what was delivered, or release → only then tell the user that it is complete

Every path ends the reservation exactly once. A provider that fails before the user has seen
anything is replaced by the next; one that fails later ends the stream with an error, and nobody
pays.
"""

import asyncio

import structlog

from coordinator import match
from coordinator.agent import Session
from coordinator.conclude import Conclude, headers_for
from coordinator.delivery import Attempt, Ending, FoldOutlet, Outlet, Reply, StreamOutlet
from coordinator.journal import Outcome
from coordinator.metrics import Metrics
from coordinator.offers import Offer, model_key
from coordinator.order import Limits, Log, Market, Money, Order, Served, Tried, monotonic
from coordinator.relay import Failed, Job
from coordinator.reserve import Allowance, Reserve
from coordinator.tokens.o200k import Count
from coordinator.tokens.output import OutputCount
from coordinator.transcode.answer import Fold
from settlement.clock import Clock, new_id
from settlement.db.pool import DatabaseUnavailable
from settlement.errors import Refused, Unavailable

log = structlog.get_logger()

_LOG_SECONDS = 30


class ShuttingDown(Unavailable):
    """This coordinator is going away; ask again."""


class BackendRefused(Refused):
    """The provider's backend refused this request as it is."""


class Dispatch:
    """Serves requests; one per process."""

    def __init__(
        self,
        *,
        money: Money,
        market: Market,
        journal: Log,
        count: Count,
        clock: Clock,
        metrics: Metrics,
        limits: Limits,
    ) -> None:
        self._market = market
        self._journal = journal
        self._count = count
        self._clock = clock
        self._metrics = metrics
        self._limits = limits
        self._reserve = Reserve(money, clock, limits)
        self._conclude = Conclude(journal=journal, clock=clock, metrics=metrics)
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._draining = False

    async def drain(self, *, grace_seconds: float) -> None:
        """Take no more requests; wait for those that run."""
        self._draining = True
        try:
            await asyncio.wait_for(self._idle.wait(), grace_seconds)
        except TimeoutError:
            log.warning("requests_still_running", count=self._running)

    async def serve(self, order: Order, reply: Reply) -> None:
        """Answer one request. What it raises was not yet answered, and costs nothing."""
        if self._draining:
            raise ShuttingDown
        self._running += 1
        self._idle.clear()
        self._metrics.in_flight.inc()
        try:
            await self._serve(order, reply)
        finally:
            self._metrics.in_flight.dec()
            self._running -= 1
            if self._running == 0:
                self._idle.set()

    async def _serve(self, order: Order, reply: Reply) -> None:
        input_tokens = sum(self._count(text) for text in order.ask.texts)
        offers = self._ranked(order)
        served = await self._reserve.place(order, offers, input_tokens)
        logged = self._journal.write(served.entry)
        try:
            if order.ask.stream:
                await self._known(logged)
            await self._try_each(served, offers, reply)
        finally:
            if not served.is_over:
                self._conclude.release(served, Outcome.FAILED, "broke")

    async def _known(self, logged: "asyncio.Future[None]") -> None:
        """Nobody is answered of whom a crash would leave no trace."""
        try:
            await asyncio.wait_for(logged, _LOG_SECONDS)
        except TimeoutError:
            raise DatabaseUnavailable(problem="the request log does not answer") from None

    def _ranked(self, order: Order) -> list[Offer]:
        if order.wish.pinned:
            raise match.PinUnavailable(order.wish.pinned)
        if order.wish.mode is match.RoutingMode.CENTRALIZED_ONLY:
            raise match.NoProvider(order.ask.model)
        candidates = self._market.candidates(model_key(order.ask.model))
        ranked = match.rank(order.ask.model, candidates, order.wish.ceilings)
        return [candidate.offer for candidate in ranked[: self._limits.attempts]]

    async def _try_each(self, served: Served, offers: list[Offer], reply: Reply) -> None:
        failures: list[Failed] = []
        for offer in offers:
            per_choice = self._reserve.pays_for(served, offer)
            session = self._market.session(offer.provider_id)
            if per_choice < 1 or session is None or not session.online or session.free_slots < 1:
                continue  # things changed while the money was reserved
            allowance = Allowance(
                served.reservation,
                offer.price,
                input_tokens=served.input_tokens,
                most_tokens=per_choice * served.order.ask.choices,
            )
            if allowance.tokens < 1 and not await allowance.more():
                continue  # dearer than what is left
            tried = await self._try(served, offer, session, per_choice, allowance, reply)
            failure = tried.attempted.failure
            if failure is None:
                return await self._conclude.deliver_end(served, tried, reply)
            failures.append(failure)
            self._note_failure(served, tried, failure)
            if tried.outlet.begun:
                return await self._conclude.break_off(served, tried, reply)
        reason = failures[-1].code if failures else "no provider was free any more"
        self._conclude.release(served, Outcome.FAILED, reason)
        if any(failure.users_mistake for failure in failures):
            raise BackendRefused
        raise match.NoProvider(served.order.ask.model)

    async def _try(
        self,
        served: Served,
        offer: Offer,
        session: Session,
        per_choice: int,
        allowance: Allowance,
        reply: Reply,
    ) -> Tried:
        ask = served.order.ask
        job = Job(new_id(self._clock), now=monotonic(), buffer_bytes=self._limits.buffer_bytes)
        served.note(
            job_id=job.job_id,
            provider_id=offer.provider_id,
            attempts=served.entry.attempts + 1,
            input_per_1m_microusdc=offer.price.input_per_1m_microusdc,
            output_per_1m_microusdc=offer.price.output_per_1m_microusdc,
        )
        fold, outlet = self._outlet(served, offer, reply)
        count = OutputCount(self._count)
        attempt = Attempt(job, outlet, fold, count, allowance, ask.choices)
        request = ask.for_provider(provider_model_id=offer.provider_model_id, max_tokens=per_choice)
        reply.watch(job)
        try:
            await session.start(job, model_id=offer.provider_model_id, request=request)
            attempted = await attempt.run()
        finally:
            reply.watch(None)
            await session.release(job)
        session.spend(served.input_tokens + attempted.output_tokens, monotonic())
        if attempted.ending is Ending.COMPLETE:
            self._reserve.observe(served, attempted.output_tokens)
        if job.first_chunk_at is not None:
            served.note(first_chunk_ms=int((job.first_chunk_at - served.begun_at) * 1000))
        return Tried(offer=offer, outlet=outlet, fold=fold, attempted=attempted)

    def _outlet(self, served: Served, offer: Offer, reply: Reply) -> tuple[Fold, Outlet]:
        ask = served.order.ask
        fold = Fold(
            fallback_id=f"chatcmpl-{served.order.request_id.hex}",
            fallback_model=ask.model,
            created=int(self._clock.now().timestamp()),
        )
        if not ask.stream:
            return fold, FoldOutlet(fold)
        # Headers leave before the price is known: the balance is the one before this request.
        headers = headers_for(served, offer, served.balance_microusdc)
        return fold, StreamOutlet(reply, headers)

    def _note_failure(self, served: Served, tried: Tried, failure: Failed) -> None:
        self._metrics.attempt_failures.labels(code=failure.code).inc()
        log.info(
            "attempt_failed",
            request=str(served.order.request_id),
            provider=str(tried.offer.provider_id),
            code=failure.code,
            problem=failure.problem,
        )
