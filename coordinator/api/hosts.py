"""The supply side: enroll, balance, transactions (wire.md §4)."""

import secrets
import string
from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from coordinator import store
from coordinator.api.body import json_of, schema_of
from coordinator.api.desk import desk_of, told
from coordinator.callers import HOST_TOKEN_PREFIX
from coordinator.identities import BOND_PREFIX, ENROLLMENT_PREFIX
from coordinator.store import NewHost
from coordinator.transcode.request import BodyInvalid
from settlement import deposits
from settlement.clock import new_id
from settlement.db.pool import reading, transaction
from settlement.ledger import accounts
from settlement.ledger.store import balance
from settlement.money import Split, split_gross

router = APIRouter(prefix="/v1/host", tags=["hosts"])

_ALPHABET = string.ascii_letters + string.digits
_HOST_TOKEN_LETTERS = 40
_LAST_ID = UUID(int=2**128 - 1)
_PAGE = 100


class Enrollment(msgspec.Struct, kw_only=True):
    """What an operator says of itself."""

    display_name: Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
    wallet: Annotated[str, msgspec.Meta(min_length=32, max_length=44)]
    contact_email: Annotated[str, msgspec.Meta(max_length=254)] | None = None


@router.post("/enroll", summary="Become an operator", openapi_extra=schema_of(Enrollment))
async def enroll(request: Request) -> Response:
    """The host token is shown once: only its hash is kept."""
    desk = desk_of(request)
    asked = await json_of(request, Enrollment)
    if not asked.display_name.isprintable() or not asked.display_name.strip():
        raise BodyInvalid(problem="not printable text", field="display_name")
    if asked.contact_email is not None and "@" not in asked.contact_email:
        raise BodyInvalid(problem="not an e-mail address", field="contact_email")
    try:
        deposits.check_wallet(asked.wallet)
    except deposits.InvalidWallet:
        raise deposits.InvalidWallet(field="wallet") from None
    provider_id = new_id(desk.clock)
    letters = "".join(secrets.choice(_ALPHABET) for _ in range(_HOST_TOKEN_LETTERS))
    host_token = HOST_TOKEN_PREFIX + letters
    async with transaction(desk.pool) as tx:
        code = await deposits.enroll_operator(tx, provider_id, asked.wallet)
        await store.add_host(
            tx,
            NewHost(
                provider_id=provider_id,
                host_token_sha256=store.fingerprint(host_token),
                display_name=asked.display_name,
                wallet=asked.wallet,
                contact_email=asked.contact_email,
                code=code,
                enrolled_at=desk.clock.now(),
            ),
        )
    return told(
        {
            "host_token": host_token,
            "provider_id": str(provider_id),
            "enrollment_code": ENROLLMENT_PREFIX + code,
            "bond": {
                "deposit_code": BOND_PREFIX + code,
                "amount_usdc": desk.shop.bond_usdc,
                "destination": str(desk.shop.deployment.till_authority),
                "program": str(desk.shop.deployment.program_id),
            },
        }
    )


@router.get("/balance", summary="What I have earned")
async def show_balance(request: Request) -> Response:
    """In microunits of USDC; withdrawals on their way are not withdrawable."""
    desk = desk_of(request)
    host, _ = await desk.callers.host(request.headers.get("authorization"))
    async with reading(desk.pool) as conn:
        now = await balance(conn, accounts.host(host.provider_id))
    return told(
        {
            "usdc_balance": now.net_microusdc,
            "withdrawable_usdc_balance": max(0, now.available_microusdc),
        }
    )


def _id(text: str, *, field: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise BodyInvalid(problem="not a UUID", field=field) from None


@router.get("/transactions", summary="Requests I was paid for")
async def transactions(request: Request, before: str | None = None) -> Response:
    """Newest first, a page at a time; `before` is the last id of the page before."""
    desk = desk_of(request)
    host, _ = await desk.callers.host(request.headers.get("authorization"))
    last = _LAST_ID if before is None else _id(before, field="before")
    async with reading(desk.pool) as conn:
        earned = await store.earnings(conn, host.provider_id, before=last, limit=_PAGE)
    return told(
        {
            "transactions": [_credit(each) for each in earned],
            "next": str(earned[-1].request_id) if len(earned) == _PAGE else None,
        }
    )


def _credit(earning: store.Earning) -> dict[str, object]:
    split: Split = split_gross(earning.gross_microusdc)
    return {
        "id": str(earning.request_id),
        "type": "CREDIT",
        "model": earning.model,
        "input_tokens": earning.input_tokens,
        "output_tokens": earning.output_tokens,
        "gross_microusdc": earning.gross_microusdc,
        "usdc_amount": split.operator_microusdc,
        "created_at": earning.ended_at.isoformat(),
    }
