"""How an operator stands: profile, leaving and staying, and bond money that no bond needs."""

from uuid import UUID

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from coordinator import leaving, store
from coordinator.agent import Session
from coordinator.api.desk import Desk, arriving_of, desk_of, told
from coordinator.identities import BOND_PREFIX, ENROLLMENT_PREFIX
from coordinator.order import monotonic
from coordinator.store import Host
from settlement import arrivals
from settlement.bonds import lifecycle
from settlement.bonds.lifecycle import BondStanding, Standing
from settlement.db.pool import ReadConn, reading, transaction
from settlement.money import format_usdc
from settlement.payouts.bond_refund import BondRefund, refund_pending

router = APIRouter(prefix="/v1/host", tags=["hosts"])


@router.get("/profile", summary="Who I am, and where my bond stands")
async def profile(request: Request) -> Response:
    """`status` is `pending` until the bond is posted; docs/bond-life.md has the others."""
    desk = desk_of(request)
    host, _ = await desk.callers.host(request.headers.get("authorization"))
    async with reading(desk.pool) as conn:
        standing = await lifecycle.standing(conn, host.provider_id)
        coming = await arrivals.for_provider(conn, host.provider_id)
        leaves = await _leaves(conn, host)
    return told(
        {
            "provider_id": str(host.provider_id),
            "display_name": host.display_name,
            "wallet": host.wallet,
            "status": status_of(
                standing, leaves=leaves, session=_session(desk, host), paired=host.has_key
            ),
            "bond": bond_of(desk, host, standing) | {"arriving": arriving_of(coming)},
            "metadata": {"enrollment_code": ENROLLMENT_PREFIX + host.code},
            "agent": _agent(desk, host),
        }
    )


def status_of(
    standing: BondStanding, *, leaves: bool, session: Session | None, paired: bool
) -> str:
    """The one word that operators' tools read (wire.md §11).

    Who leaves is `retiring` while a request of its still runs, whichever way it leaves.
    """
    runs = session is not None and bool(session.jobs)
    match standing.state:
        case Standing.NONE | Standing.PENDING:
            return "pending"
        case Standing.POSTED:
            if leaves:
                return "retiring" if runs else "retired"
            return _working(session, paired=paired)
        case Standing.RETIRING:
            return "retiring" if runs else "cooldown"
        case Standing.RELEASED:
            return "bond_returned"
        case Standing.SEIZED:
            return "banned"


def _working(session: Session | None, *, paired: bool) -> str:
    """A bonded operator: `offline` once it had an agent and has none connected."""
    if session is None:
        return "offline" if paired else "active"
    return "throttled" if session.throttled(monotonic()) else "active"


async def _leaves(conn: ReadConn, host: Host) -> bool:
    return bool(await leaving.in_force(conn, [(host.provider_id, host.retiring_at)]))


def _session(desk: Desk, host: Host) -> Session | None:
    return desk.sessions.get(host.provider_id)


def bond_of(desk: Desk, host: Host, standing: BondStanding) -> dict[str, object]:
    """What is told of the bond; `ended_by` is the signature that gave it back or seized it."""
    return {
        "amount_usdc": desk.shop.bond_usdc,
        "deposit_code": BOND_PREFIX + host.code,
        "state": standing.state.value,
        "posted_microusdc": standing.amount_microusdc,
        "pending_microusdc": standing.pending_microusdc,
        "refundable_microusdc": standing.refundable_microusdc,
        "address": standing.address,
        "release_at": standing.release_at.isoformat() if standing.release_at else None,
        "seizure": standing.seizure.value,
        "ended_by": standing.ended_by,
    }


def _agent(desk: Desk, host: Host) -> dict[str, object]:
    session = _session(desk, host)
    return {
        "paired": host.has_key,
        "connected": session is not None,
        "models": sorted(session.offers) if session is not None and session.ready else [],
        "running": len(session.jobs) if session is not None else 0,
    }


@router.post("/retire", summary="Leave: no new requests from now on")
async def retire(request: Request) -> Response:
    """Running requests finish. The bond itself is retired on chain, by its owner's signature."""
    desk = desk_of(request)
    host, _ = await desk.callers.host(request.headers.get("authorization"))
    async with transaction(desk.pool) as tx:
        since = await leaving.leave(tx, host.provider_id)
        standing = await lifecycle.standing(tx, host.provider_id)
    await desk.routes.refresh()
    return told(
        {
            "status": "retiring",
            "retiring_since": since.isoformat(),
            "bond": bond_of(desk, host, standing),
            "next": "sign the program's `retire` with the bond's wallet to start the cooldown",
        }
    )


@router.delete("/retire", summary="Stay after all: new requests again")
async def stay(request: Request) -> Response:
    """Takes `POST /v1/host/retire` back. A cooldown on chain stops by its owner's signature."""
    desk = desk_of(request)
    host, _ = await desk.callers.host(request.headers.get("authorization"))
    async with transaction(desk.pool) as tx:
        await store.clear_retiring(tx, host.provider_id)
        standing = await lifecycle.standing(tx, host.provider_id)
    await desk.routes.refresh()
    cools = standing.state is Standing.RETIRING
    return told(
        {
            "status": status_of(
                standing, leaves=False, session=_session(desk, host), paired=host.has_key
            ),
            "bond": bond_of(desk, host, standing),
            "next": "sign the program's `cancel_retire` with the bond's wallet" if cools else None,
        }
    )


@router.post("/bond/refund", summary="Bond money that no bond needs goes back to my wallet")
async def refund(request: Request) -> Response:
    """All of `bond.refundable_microusdc`, to the enrolled wallet. Asking again pays once."""
    desk = desk_of(request)
    host, _ = await desk.callers.host(request.headers.get("authorization"))
    made = await refund_pending(desk.pool, desk.writer, host.provider_id, clock=desk.clock)
    return told(_refund(made))


def _refund(made: BondRefund) -> dict[str, object]:
    return {
        "withdrawal_id": str(made.payout_id),
        "amount_usdc": format_usdc(made.amount_microusdc),
        "amount_microusdc": made.amount_microusdc,
        "destination": made.destination,
        "links": {"self": _path_of(made.payout_id)},
    }


def _path_of(payout_id: UUID) -> str:
    return f"/v1/host/withdrawals/{payout_id}"
