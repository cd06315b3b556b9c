"""Who serves a request: filters, then an order. Pure.

1. providers of this model that are bonded, not leaving, online
2. both prices within the user's ceilings
3. not throttled, with a free slot
4. cheapest first: input + output price, then input price, then who enrolled first

The relay then tries them in this order. What the user wished is read from the `X-Pod-…` headers
here too: a wish that cannot be understood is refused, never guessed.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from coordinator.offers import Offer
from settlement.errors import Refused, Unavailable

CENTRALIZED_PROVIDERS = (
    "anthropic",
    "openai",
    "bedrock",
    "venice",
    "together",
    "groq",
    "openrouter",
    "nousresearch",
    "google",
    "surplus",
    "c0mpute",
    "uomi",
)
_CEILING = re.compile(r"[0-9]{1,15}", re.ASCII)


class RoutingHeaderInvalid(Refused):
    """A routing header has a value that means nothing."""


class NoProviderAtPrice(Refused):
    """No provider available at your price ceiling."""


class NoProvider(Unavailable):
    """No healthy provider for this model."""

    def __init__(self, model: str) -> None:
        super().__init__(f"no healthy provider for model: {model}", model=model)


class PinUnavailable(Unavailable):
    """None of the providers this request is pinned to can serve it."""

    def __init__(self, pinned: tuple[str, ...]) -> None:
        names = ", ".join(pinned)
        super().__init__(f"none of the pinned providers can serve this: {names}", pinned=names)


class RoutingMode(StrEnum):
    """Which sources a user lets serve a request."""

    AUTO = "auto"
    MARKETPLACE_ONLY = "marketplace-only"
    CENTRALIZED_ONLY = "centralized-only"


@dataclass(frozen=True, kw_only=True)
class Ceilings:
    """The highest prices a user accepts, microunits per million tokens; None means any."""

    input_per_1m_microusdc: int | None = None
    output_per_1m_microusdc: int | None = None

    def admit(self, offer: Offer) -> bool:
        """Whether both prices of the offer are within the ceilings."""
        return _within(offer.price.input_per_1m_microusdc, self.input_per_1m_microusdc) and _within(
            offer.price.output_per_1m_microusdc, self.output_per_1m_microusdc
        )


def _within(price: int, ceiling: int | None) -> bool:
    return ceiling is None or price <= ceiling


@dataclass(frozen=True, kw_only=True)
class Wish:
    """How a user wants a request routed."""

    mode: RoutingMode = RoutingMode.AUTO
    ceilings: Ceilings = Ceilings()
    pinned: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """An offer and what is true of its provider at this moment."""

    offer: Offer
    enrolled_at: datetime
    bonded: bool
    online: bool
    throttled: bool
    free_slots: int


def rank(model: str, candidates: Iterable[Candidate], ceilings: Ceilings) -> list[Candidate]:
    """Those who may serve, best first; never empty.

    Raises `NoProviderAtPrice` (naming prices that would do) and `NoProvider`.
    """
    present = [each for each in candidates if each.bonded and each.online]
    if not present:
        raise NoProvider(model)
    affordable = [each for each in present if ceilings.admit(each.offer)]
    if not affordable:
        cheapest = min(present, key=_order).offer.price
        raise NoProviderAtPrice(
            suggested_min_input_per_1m=cheapest.input_per_1m_microusdc,
            suggested_min_output_per_1m=cheapest.output_per_1m_microusdc,
        )
    free = [each for each in affordable if not each.throttled and each.free_slots > 0]
    if not free:
        raise NoProvider(model)
    return sorted(free, key=_order)


def _order(candidate: Candidate) -> tuple[int, int, datetime, str]:
    price = candidate.offer.price
    return (
        price.input_per_1m_microusdc + price.output_per_1m_microusdc,
        price.input_per_1m_microusdc,
        candidate.enrolled_at,
        str(candidate.offer.provider_id),
    )


def read_wish(headers: Iterable[tuple[bytes, bytes]]) -> Wish:
    """The user's routing headers. Raises `RoutingHeaderInvalid` naming the header."""
    told: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name = raw_name.decode("latin-1").lower()
        if not name.startswith("x-pod-"):
            continue
        if name in told:
            raise RoutingHeaderInvalid(field=name, problem="sent more than once")
        told[name] = raw_value.decode("latin-1").strip()
    pinned = _pinned(told.get("x-pod-providers"))
    mode = _mode(told.get("x-pod-routing-mode"))
    if pinned and mode is RoutingMode.MARKETPLACE_ONLY:
        raise RoutingHeaderInvalid(
            field="x-pod-providers", problem="a pin cannot be served by the marketplace only"
        )
    return Wish(
        mode=RoutingMode.CENTRALIZED_ONLY if pinned else mode,
        pinned=pinned,
        ceilings=Ceilings(
            input_per_1m_microusdc=_ceiling(told, "x-pod-max-price-input"),
            output_per_1m_microusdc=_ceiling(told, "x-pod-max-price-output"),
        ),
    )


def _mode(value: str | None) -> RoutingMode:
    if value is None:
        return RoutingMode.AUTO
    try:
        return RoutingMode(value.lower())
    except ValueError:
        valid = ", ".join(RoutingMode)
        raise RoutingHeaderInvalid(
            field="x-pod-routing-mode", got=value[:100], valid=valid
        ) from None


def _ceiling(told: dict[str, str], name: str) -> int | None:
    value = told.get(name)
    if value is None:
        return None
    if not _CEILING.fullmatch(value):
        raise RoutingHeaderInvalid(
            field=name,
            problem="write a whole number of microunits per million tokens",
            got=value[:100],
        )
    return int(value)


def _pinned(value: str | None) -> tuple[str, ...]:
    if value is None:
        return ()
    names = tuple(name.strip().lower() for name in value.split(",") if name.strip())
    unknown = [name for name in names if name not in CENTRALIZED_PROVIDERS]
    if unknown or not names:
        raise RoutingHeaderInvalid(
            field="x-pod-providers",
            got=value[:100],
            valid=", ".join(CENTRALIZED_PROVIDERS),
        )
    return names
