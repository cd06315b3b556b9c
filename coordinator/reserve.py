"""Sets aside what a request may cost before anything is sent.

The worst case is every token the answer may have, at the dearest of the offers that may be tried.
A user who cannot cover that still gets an answer as long as their balance pays for the input and
one token: then all of it is set aside, and the answer is bounded by what it buys.
"""

from coordinator import meter
from coordinator.journal import Entry
from coordinator.offers import Offer, model_key
from coordinator.order import Limits, Money, Order, Served, monotonic
from coordinator.transcode.request import ChatRequest
from settlement.charges import InsufficientBalance
from settlement.clock import Clock
from settlement.money import MicroUsdc, gross_for

# Requests of one user race for the rest of a balance; each look at it costs a round trip.
_LOOKS = 4


class Reserve:
    """Places the one hold of a request, and says what it pays for."""

    def __init__(self, money: Money, clock: Clock, limits: Limits) -> None:
        self._money = money
        self._clock = clock
        self._limits = limits

    async def place(self, order: Order, offers: list[Offer], input_tokens: int) -> Served:
        """Hold the worst case, or all there is. Raises `InsufficientBalance`."""
        begun_at, started_at = monotonic(), self._clock.now()
        most = max(self._output_tokens(order.ask, offer, input_tokens) for offer in offers)
        wanted = meter.worst_case(
            [offer.price for offer in offers], input_tokens=input_tokens, output_tokens=most
        )
        least = gross_for(offers[0].price, input_tokens=input_tokens, output_tokens=1)
        held, left = await self._hold(order, wanted=wanted, least=least)
        return Served(
            order=order,
            input_tokens=input_tokens,
            held_microusdc=held,
            balance_microusdc=left + held,
            begun_at=begun_at,
            entry=Entry(
                request_id=order.request_id,
                user_id=order.user_id,
                model=model_key(order.ask.model),
                streamed=order.ask.stream,
                started_at=started_at,
                input_tokens=input_tokens,
                held_microusdc=held,
            ),
        )

    async def _hold(
        self, order: Order, *, wanted: MicroUsdc, least: MicroUsdc
    ) -> tuple[MicroUsdc, int]:
        amount = wanted
        for _ in range(_LOOKS):
            try:
                left = await self._money.hold(
                    request_id=order.request_id, user_id=order.user_id, amount_microusdc=amount
                )
            except InsufficientBalance as error:
                available = _available(error)
                if available < least:
                    raise InsufficientBalance(
                        available_microusdc=available, required_microusdc=least
                    ) from None
                amount = MicroUsdc(min(wanted, available))
            else:
                return amount, left
        raise InsufficientBalance(available_microusdc=0, required_microusdc=least)

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
        """Output tokens per choice that what is set aside buys at this offer's price."""
        ask = served.order.ask
        tokens = min(
            self._output_tokens(ask, offer, served.input_tokens),
            meter.affordable_output_tokens(
                offer.price,
                input_tokens=served.input_tokens,
                budget_microusdc=served.held_microusdc,
            ),
        )
        return tokens // ask.choices


def _available(error: InsufficientBalance) -> int:
    found = error.details["available_microusdc"]
    assert isinstance(found, int), "the books say what is available in microunits"
    return max(0, found)
