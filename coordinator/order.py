"""A request on its way through dispatch, and the doors dispatch works through."""

import asyncio
import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, TypedDict, Unpack
from uuid import UUID

from coordinator.agent import Session
from coordinator.delivery import Attempted, Outlet
from coordinator.journal import Entry, Outcome
from coordinator.match import Candidate, Wish
from coordinator.offers import Offer
from coordinator.transcode.answer import Fold
from coordinator.transcode.request import ChatRequest
from settlement.charges import Reservation
from settlement.money import MicroUsdc


class Money(Protocol):
    """The door to the books: `settlement.charges.Charges`, or a test's own."""

    async def reserve(
        self,
        *,
        request_id: UUID,
        user_id: UUID,
        amount_microusdc: MicroUsdc,
        least_microusdc: MicroUsdc,
    ) -> Reservation:
        """So much for a request, or as much as there is. Raises `InsufficientBalance`."""
        ...

    async def spendable(self, user_id: UUID) -> int:
        """What the user has now, but for what running requests have reserved."""
        ...


class Log(Protocol):
    """The request log."""

    def note(self, entry: Entry) -> None:
        """Write this soon."""
        ...

    def write(self, entry: Entry) -> "asyncio.Future[None]":
        """Write this soon; done when it is durable."""
        ...


class Market(Protocol):
    """Who may be routed to, and their connections."""

    def candidates(self, model: str) -> Iterable[Candidate]:
        """Everyone who offers the model, fit or not."""
        ...

    def session(self, provider_id: UUID) -> Session | None:
        """A provider's connection, if it has one now."""
        ...


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one request may use."""

    default_output_tokens: int = 4_096
    attempts: int = 3
    buffer_bytes: int = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Order:
    """One request, admitted."""

    request_id: UUID
    user_id: UUID
    ask: ChatRequest
    wish: Wish


class _Changes(TypedDict, total=False):
    outcome: Outcome
    job_id: UUID
    provider_id: UUID
    attempts: int
    input_per_1m_microusdc: int
    output_per_1m_microusdc: int
    output_tokens: int
    held_microusdc: int
    claimed_input_tokens: int | None
    claimed_output_tokens: int | None
    gross_microusdc: int
    first_chunk_ms: int
    failure: str


@dataclass(kw_only=True)
class Served:
    """What is known of a request while it runs: its log entry grows, its reservation ends once."""

    order: Order
    entry: Entry
    input_tokens: int
    reservation: Reservation
    balance_microusdc: int  # what the user could spend before this request
    begun_at: float
    is_over: bool = False

    def note(self, **changes: Unpack[_Changes]) -> None:
        """Write down what became known."""
        self.entry = dataclasses.replace(self.entry, **changes)


@dataclass(frozen=True, kw_only=True)
class Tried:
    """One attempt at one offer."""

    offer: Offer
    outlet: Outlet
    fold: Fold
    attempted: Attempted


def monotonic() -> float:
    """The loop's clock, for durations."""
    return asyncio.get_running_loop().time()
