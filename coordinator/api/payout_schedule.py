"""Automatic payouts: every six hours, above a threshold; off until the operator asks for them."""

from decimal import Decimal
from typing import Annotated

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from coordinator.api.body import json_of, schema_of
from coordinator.api.desk import Desk, desk_of, told
from settlement.db.pool import reading, transaction
from settlement.money import format_usdc, parse_usdc
from settlement.schedules import store
from settlement.schedules.slots import following
from settlement.schedules.store import THRESHOLD, Schedule, Tick

router = APIRouter(prefix="/v1/host", tags=["hosts"])

_TICKS_SHOWN = 10


class PayoutSchedule(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Whether, above how many dollars, and where to; without a destination, the enrolled wallet."""

    enabled: bool
    threshold_usdc: Decimal
    destination: Annotated[str, msgspec.Meta(min_length=32, max_length=44)] | None = None


@router.get("/payout-schedule", summary="My automatic payouts")
async def show(request: Request) -> Response:
    """What is set, when it is looked at next, and what became of the last times."""
    desk = desk_of(request)
    host, _ = await desk.callers.host(request.headers.get("authorization"))
    async with reading(desk.pool) as conn:
        schedule = await store.schedule_of(conn, host.provider_id, limits=desk.withdrawing.limits)
        ticks = await store.ticks_of(conn, host.provider_id, limit=_TICKS_SHOWN)
    return told(_shown(desk, schedule) | {"last": [_tick(one) for one in ticks]})


@router.put(
    "/payout-schedule", summary="Set my automatic payouts", openapi_extra=schema_of(PayoutSchedule)
)
async def put(request: Request) -> Response:
    """Replaces what was set. All that is withdrawable goes, if it is the threshold or more."""
    desk = desk_of(request)
    host, _ = await desk.callers.host(request.headers.get("authorization"))
    asked = await json_of(request, PayoutSchedule)
    threshold = parse_usdc(asked.threshold_usdc, field=THRESHOLD)
    async with transaction(desk.pool) as tx:
        await store.choose(
            tx,
            host.provider_id,
            enabled=asked.enabled,
            threshold_microusdc=threshold,
            destination=asked.destination,
            deployment=desk.shop.deployment,
            limits=desk.withdrawing.limits,
            now=desk.clock.now(),
        )
        schedule = await store.schedule_of(tx, host.provider_id, limits=desk.withdrawing.limits)
    return told(_shown(desk, schedule))


def _shown(desk: Desk, schedule: Schedule) -> dict[str, object]:
    next_at = following(desk.clock.now()) if schedule.enabled else None
    return {
        "enabled": schedule.enabled,
        "threshold_usdc": format_usdc(schedule.threshold_microusdc),
        "threshold_microusdc": schedule.threshold_microusdc,
        "destination": schedule.destination or schedule.wallet,
        "next_at": None if next_at is None else next_at.isoformat(),
    }


def _tick(tick: Tick) -> dict[str, object]:
    amount = tick.amount_microusdc
    return {
        "at": tick.slot_at.isoformat(),
        "outcome": tick.outcome.value,
        "withdrawal_id": None if tick.withdrawal_id is None else str(tick.withdrawal_id),
        "amount_usdc": None if amount is None else format_usdc(amount),
        "reason": tick.detail,
    }
