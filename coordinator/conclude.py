"""Ends a request: the money first, then the words that tell the user it is over.

A reservation ends once, by capture or by release. While the database is away the capture waits for
it; what a process that dies in between had delivered and written down, the next start settles.
"""

import asyncio
import contextlib
import dataclasses

import structlog

from coordinator import meter
from coordinator.delivery import Ending, Headers, Reply, StreamOutlet
from coordinator.journal import Entry, Outcome
from coordinator.meter import Reading
from coordinator.metrics import Metrics
from coordinator.offers import Offer
from coordinator.order import Log, Served, Tried
from coordinator.transcode import sse
from coordinator.transcode.answer import Fold
from settlement.charges import Settled
from settlement.clock import Clock
from settlement.errors import Unavailable
from settlement.ledger.store import WriterFenced
from settlement.money import MicroUsdc

log = structlog.get_logger()

ROUTE = b"marketplace"
_PAUSE_SECONDS = 0.25
_OUTCOMES = {
    Ending.COMPLETE: Outcome.SETTLED,
    Ending.CUT: Outcome.CUT,
    Ending.LEFT: Outcome.LEFT,
}
BROKEN = {
    "type": "provider_failed",
    "code": "provider_failed",
    "message": "the provider stopped before the answer was complete; nothing is charged",
}
UNSETTLED = {
    "type": "unavailable",
    "code": "answer_unsettled",
    "message": "the answer is complete, but it could not be settled yet",
}


class Overrun(Unavailable):
    """The answer came faster than it could be passed on."""


class AnswerUnsettled(Unavailable):
    """The answer could not be settled."""


class Conclude:
    """Settles and finishes answers."""

    def __init__(self, *, journal: Log, clock: Clock, metrics: Metrics) -> None:
        self._journal = journal
        self._clock = clock
        self._metrics = metrics

    async def deliver_end(self, served: Served, tried: Tried, reply: Reply) -> None:
        """Capture what was delivered, then give the user the end of the answer."""
        attempted = tried.attempted
        left = attempted.ending is Ending.LEFT
        if left and not (tried.outlet.begun and attempted.output_tokens):
            return self._abandon(served, reply)
        reading = Reading(input_tokens=served.input_tokens, output_tokens=attempted.output_tokens)
        reserved = served.reservation.amount_microusdc
        gross = meter.bill(tried.offer.price, reading, reserved_microusdc=reserved)
        settled = await self._settle(served, tried, gross)
        if settled is None:
            return await self._say_unsettled(tried, reply)
        if left:
            return None
        if isinstance(tried.outlet, StreamOutlet):
            await tried.outlet.begin()
            await reply.write(_stream_end(served, tried, reading, gross))
            return await reply.end()
        for part in attempted.kept_back:  # it tells why the answer ended
            if part.chunk is not None:
                tried.fold.add(part.chunk)
        if attempted.ending is Ending.CUT:
            tried.fold.cut()
        headers = headers_for(served, tried.offer, settled.balance_microusdc)
        body = tried.fold.body(reading, gross_microusdc=gross)
        return await reply.whole(headers, body)

    def _abandon(self, served: Served, reply: Reply) -> None:
        self.release(served, Outcome.ABANDONED, "nothing was delivered")
        if not reply.left:
            raise Overrun

    async def _settle(self, served: Served, tried: Tried, gross: MicroUsdc) -> Settled | None:
        claim = tried.attempted.claim
        served.note(
            outcome=_OUTCOMES[tried.attempted.ending],
            output_tokens=tried.attempted.output_tokens,
            claimed_input_tokens=claim.input_tokens if claim else None,
            claimed_output_tokens=claim.output_tokens if claim else None,
            held_microusdc=served.reservation.amount_microusdc,
            gross_microusdc=gross,
        )
        served.is_over = True
        # Shielded: a user who hangs up now has had the answer, and its price is due.
        return await asyncio.shield(asyncio.ensure_future(self._capture(served, tried, gross)))

    async def _capture(self, served: Served, tried: Tried, gross: MicroUsdc) -> Settled | None:
        written = self._journal.write(self._closed(served))
        try:
            settled = await self._captured(served, tried, gross)
        except Exception as error:
            log.exception("capture_failed", request=str(served.order.request_id))
            await written
            if tried.outlet.begun and isinstance(error, WriterFenced):
                return None  # delivered; if the books do not have it, the next start settles it
            served.note(outcome=Outcome.UNSETTLED)
            now = self._clock.now()
            self._journal.note(
                dataclasses.replace(served.entry, gross_microusdc=None, ended_at=now)
            )
            return None
        await written
        return settled

    async def _captured(self, served: Served, tried: Tried, gross: MicroUsdc) -> Settled:
        while True:
            with contextlib.suppress(Unavailable):
                return await served.reservation.capture(
                    provider_id=tried.offer.provider_id, gross_microusdc=gross
                )
            await asyncio.sleep(_PAUSE_SECONDS)

    async def break_off(self, served: Served, tried: Tried, reply: Reply) -> None:
        """The provider failed in the middle: nobody pays, and the stream does not end cleanly."""
        failure = tried.attempted.failure
        self.release(served, Outcome.FAILED, failure.code if failure else "failed")
        await reply.write(tried.fold.error_event(BROKEN))
        await reply.end()

    async def _say_unsettled(self, tried: Tried, reply: Reply) -> None:
        if tried.outlet.begun:
            await reply.write(tried.fold.error_event(UNSETTLED))
            return await reply.end()
        raise AnswerUnsettled

    def release(self, served: Served, outcome: Outcome, reason: str) -> None:
        """End the request at no price."""
        served.is_over = True
        served.note(outcome=outcome, failure=reason[:500])
        served.reservation.release()
        self._journal.note(self._closed(served))

    def _closed(self, served: Served) -> Entry:
        """The finished row of the log; counted once, here."""
        entry = dataclasses.replace(served.entry, ended_at=self._clock.now())
        self._metrics.request_ended(entry)
        return entry


def _stream_end(served: Served, tried: Tried, reading: Reading, gross: MicroUsdc) -> bytes:
    ask = served.order.ask
    fold: Fold = tried.fold
    parts = [part.raw for part in tried.attempted.kept_back]
    if tried.attempted.ending is Ending.CUT:
        parts = [fold.cut_event(ask.choices)]
    if ask.wants_usage:
        parts.append(fold.usage_event(reading, gross_microusdc=gross))
    return b"".join([*parts, sse.DONE])


def headers_for(served: Served, offer: Offer, balance_microusdc: int) -> Headers:
    """The headers every answer carries, each once."""
    return [
        (b"x-request-id", str(served.order.request_id).encode()),
        (b"x-pod-route", ROUTE),
        (b"x-pod-provider-id", str(offer.provider_id).encode()),
        (b"x-balance-remaining", str(max(0, balance_microusdc)).encode()),
    ]
