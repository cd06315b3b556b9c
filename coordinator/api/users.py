"""The demand side: register, balance, models (wire.md §5)."""

from uuid import uuid4

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from coordinator import store
from coordinator.api.desk import Desk, arriving_of, desk_of, told
from coordinator.order import monotonic
from settlement import arrivals, deposits
from settlement.clock import new_id
from settlement.db.pool import reading, transaction

router = APIRouter(tags=["users"])


@router.post("/v1/register", summary="Get an API token and a deposit code")
async def register(request: Request) -> Response:
    """No body is needed. The token is shown once: only its hash is kept."""
    desk = desk_of(request)
    caller = request.client.host if request.client else "unknown"
    desk.registrations.admit(caller, monotonic())
    token = str(uuid4())
    user_id = new_id(desk.clock)
    async with transaction(desk.pool) as tx:
        code = await deposits.enroll_user(tx, user_id)
        await store.add_user(
            tx,
            token_sha256=store.fingerprint(token),
            user_id=user_id,
            deposit_code=code,
            created_at=desk.clock.now(),
        )
    deployment = desk.shop.deployment
    return told(
        {
            "api_token": token,
            "deposit_code": code.hex(),
            "status": "pending_deposit",
            "deposit_address": str(deployment.till_vault),
            "instructions": {
                "contract_address": str(deployment.program_id),
                "dashboard_url": f"{desk.shop.dashboard_url}/dashboard?token={token}",
            },
        }
    )


@router.get("/proxy/{token}/balance", summary="What a token can still spend")
async def show_balance(request: Request, token: str) -> Response:
    """`usdc_balance` is in microunits of USDC; what running requests reserved is not in it.

    `arriving` lists deposits that are confirmed and not final yet: they count when they are.
    """
    desk = desk_of(request)
    caller = await desk.callers.known(token)
    now = await desk.charges.spendable(caller.user.user_id)
    async with reading(desk.pool) as conn:
        coming = await arrivals.for_user(conn, caller.user.user_id)
    return told(
        {
            "api_token": token,
            "usdc_balance": max(0, now),
            "credit_balance": 0,
            "deposit_code": caller.user.deposit_code.hex(),
            "is_active": caller.activated,
            "arriving": arriving_of(coming),
        }
    )


@router.get("/proxy/{token}/v1/models", summary="Models somebody serves now")
async def models(request: Request, token: str) -> Response:
    """Free of charge, in the OpenAI shape."""
    desk = desk_of(request)
    await desk.callers.known(token)
    return told({"object": "list", "data": _models(desk)})


def _models(desk: Desk) -> list[dict[str, object]]:
    return [
        {"id": name, "object": "model", "created": 0, "owned_by": "marketplace"}
        for name in desk.routes.models()
    ]
