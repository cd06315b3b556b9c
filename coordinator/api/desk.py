"""What every control-plane route works with, and how it answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from coordinator.api.payments.state import PaymentChain
from coordinator.callers import Callers
from coordinator.limits import SlidingWindow
from coordinator.routes import Routes
from coordinator.sessions import Sessions
from settlement.arrivals import Arrival
from settlement.chain.program import Deployment
from settlement.charges import Charges
from settlement.clock import Clock
from settlement.db.pool import Pool
from settlement.ledger.operations import Writer
from settlement.withdrawals import WithdrawalLimits

_ENCODE = msgspec.json.Encoder().encode


@dataclass(frozen=True, kw_only=True)
class Shop:
    """What the public answers say about us."""

    public_url: str
    dashboard_url: str
    deployment: Deployment
    cluster: str
    bond_usdc: int = 50
    default_input_per_1m_microusdc: int = 300_000
    default_output_per_1m_microusdc: int = 600_000


@dataclass(frozen=True, kw_only=True)
class Payments:
    """What payment requests need: the chain as it is, and how often one address may ask."""

    chain: PaymentChain
    callers: SlidingWindow


@dataclass(frozen=True, kw_only=True)
class Withdrawing:
    """The rules of withdrawals, and how often one owner may ask for one."""

    limits: WithdrawalLimits
    callers: SlidingWindow


@dataclass(frozen=True, kw_only=True)
class Desk:
    """Everything a route may need; built once, in app.py."""

    pool: Pool
    writer: Writer
    charges: Charges
    clock: Clock
    shop: Shop
    callers: Callers
    routes: Routes
    sessions: Sessions
    registrations: SlidingWindow
    payments: Payments
    withdrawing: Withdrawing


def desk_of(request: Request) -> Desk:
    """The desk of this app."""
    desk: Desk = request.app.state.desk
    return desk


def arriving_of(coming: Sequence[Arrival]) -> list[dict[str, object]]:
    """Deposits on their way, as the wire gives them."""
    return [
        {
            "signature": one.signature,
            "amount_microusdc": one.amount_microusdc,
            "slot": one.slot,
            "first_seen_at": one.first_seen_at.isoformat(),
        }
        for one in coming
    ]


def told(answer: Any, *, status: int = 200) -> Response:  # noqa: ANN401
    """A JSON answer; nothing of it may be cached."""
    return Response(
        _ENCODE(answer),
        status_code=status,
        media_type="application/json",
        headers={"cache-control": "no-store"},
    )
