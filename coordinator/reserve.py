"""Reserves what a request will likely cost before anything is sent, and more while it runs.

Reserved is the likely answer (`estimate`) at the dearest of the offers that may be tried, not the
longest one possible. A user who cannot cover that still gets an answer as long as their balance
pays for the input and one token: then all of it is reserved, and the answer is bounded by what it
buys. The provider is told what the user asked for, or what the balance buys where that is less.
"""

import structlog

from coordinator import meter
from coordinator.estimate import Estimates
from coordinator.journal import Entry
from coordinator.offers import Offer, model_key
from coordinator.order import Limits, Money, Order, Served, monotonic
from coordinator.transcode.request import ChatRequest
from settlement.charges import Reservation
from settlement.clock import Clock
from settlement.errors import Unavailable
from settlement.money import MicroUsdc, Price, gross_for

log = structlog.get_logger()

# An answer that outgrows its reservation grows it by half, and by this at least.
_STEP_TOKENS = 64


class Reserve:
    """Places the one reservation of a request, and says what it pays for."""

    def __init__(self, money: Money, clock: Clock, limits: Limits) -> None:
        self._money = money
        self._clock = clock
        self._limits = limits
        self._estimates = Estimates()

    async def place(self, order: Order, offers: list[Offer], input_tokens: int) -> Served:
        """Reserve the likely cost, or all there is. Raises `InsufficientBalance`."""
        begun_at, started_at = monotonic(), self._clock.now()
        model, prices = model_key(order.ask.model), [offer.price for offer in offers]
        most = max(self._output_tokens(order.ask, offer, input_tokens) for offer in offers)
        likely = self._estimates.output_tokens(model, input_tokens=input_tokens, most=most)
        reservation = await self._money.reserve(
            request_id=order.request_id,
            user_id=order.user_id,
            amount_microusdc=_dearest(prices, input_tokens, likely),
            least_microusdc=gross_for(prices[0], input_tokens=input_tokens, output_tokens=1),
        )
        spendable = reservation.spendable_microusdc
        if spendable < _dearest(prices, input_tokens, most):
            try:  # what is known without asking may be old, and would bound the answer
                spendable = await self._money.spendable(order.user_id)
            except BaseException:
                reservation.release()
                raise
            spendable += reservation.amount_microusdc
        return Served(
            order=order,
            input_tokens=input_tokens,
            reservation=reservation,
            balance_microusdc=spendable,
            begun_at=begun_at,
            entry=Entry(
                request_id=order.request_id,
                user_id=order.user_id,
                model=model,
                streamed=order.ask.stream,
                started_at=started_at,
                input_tokens=input_tokens,
                held_microusdc=reservation.amount_microusdc,
            ),
        )

    def observe(self, served: Served, output_tokens: int) -> None:
        """An answer came to its end: others like it will be reserved for by this."""
        self._estimates.observe(
            served.entry.model, input_tokens=served.input_tokens, output_tokens=output_tokens
        )

    def _output_tokens(self, ask: ChatRequest, offer: Offer, input_tokens: int) -> int:
        """How many tokens the answer may have, over all its choices."""
        if ask.max_tokens is not None:
            return ask.max_tokens * ask.choices
        most = self._limits.default_output_tokens
        if offer.context_window is not None:
            # Half of what is left: the backend counts its prompt differently, and refuses excess.
            most = max(1, min(most, (offer.context_window - input_tokens) // 2))
        return most * ask.choices

    def pays_for(self, served: Served, offer: Offer) -> int:
        """Output tokens per choice that the user's balance buys at this offer's price."""
        ask = served.order.ask
        tokens = min(
            self._output_tokens(ask, offer, served.input_tokens),
            meter.affordable_output_tokens(
                offer.price,
                input_tokens=served.input_tokens,
                budget_microusdc=served.balance_microusdc,
            ),
        )
        return tokens // ask.choices


class Allowance:
    """How many tokens of an answer are paid for at one offer's price; more on demand."""

    def __init__(
        self, reservation: Reservation, price: Price, *, input_tokens: int, most_tokens: int
    ) -> None:
        self._reservation = reservation
        self._price = price
        self._input_tokens = input_tokens
        self._most_tokens = most_tokens
        self.tokens = self._paid_for()

    async def more(self) -> bool:
        """Reserve for more tokens; False when the answer may have no more, or the money is out."""
        if self.tokens >= self._most_tokens:
            return False
        step = max(_STEP_TOKENS, self.tokens // 2)
        reserved = self._reservation.amount_microusdc
        wanted = self._cost(min(self._most_tokens, self.tokens + step)) - reserved
        try:
            grown = await self._reservation.extend(
                wanted, least_microusdc=self._cost(self.tokens + 1) - reserved
            )
        except Unavailable as error:
            # The user pays what was delivered; a failure here would leave the operator unpaid.
            log.warning("answer_cut_short", problem=str(error))
            return False
        self.tokens = self._paid_for()
        return grown

    def _paid_for(self) -> int:
        affordable = meter.affordable_output_tokens(
            self._price,
            input_tokens=self._input_tokens,
            budget_microusdc=self._reservation.amount_microusdc,
        )
        return min(self._most_tokens, affordable)

    def _cost(self, output_tokens: int) -> MicroUsdc:
        return gross_for(self._price, input_tokens=self._input_tokens, output_tokens=output_tokens)


def _dearest(prices: list[Price], input_tokens: int, output_tokens: int) -> MicroUsdc:
    return meter.worst_case(prices, input_tokens=input_tokens, output_tokens=output_tokens)
