"""The supply side: enroll, balance, withdraw, transactions (wire.md §4)."""

import secrets
import string
from decimal import Decimal
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
from settlement import deposits, withdrawals
from settlement.clock import new_id
from settlement.db.pool import reading, transaction
from settlement.ledger import accounts
from settlement.ledger.store import balance
from settlement.money import Split, format_usdc, parse_usdc, split_gross
from settlement.withdrawals import WithdrawalRequest

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


class Withdrawal(msgspec.Struct, kw_only=True):
    """How many dollars go where."""

    amount_usdc: Decimal
    destination: Annotated[str, msgspec.Meta(min_length=32, max_length=44)]


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


@router.post("/withdraw", summary="Send earnings to a wallet", openapi_extra=schema_of(Withdrawal))
async def withdraw(request: Request) -> Response:
    """`amount_usdc` is in dollars. With an `Idempotency-Key`, asking again pays once."""
    desk = desk_of(request)
    host, _ = await desk.callers.host(request.headers.get("authorization"))
    asked = await json_of(request, Withdrawal)
    made = await withdrawals.submit(
        desk.pool,
        desk.writer,
        WithdrawalRequest(
            provider_id=host.provider_id,
            amount_microusdc=parse_usdc(asked.amount_usdc, field="amount_usdc"),
            destination=asked.destination,
            idempotency_key=request.headers.get("idempotency-key"),
        ),
        deployment=desk.shop.deployment,
        clock=desk.clock,
    )
    return told(_withdrawal(made))


@router.get("/withdrawals/{withdrawal_id}", summary="Where a withdrawal stands")
async def show_withdrawal(request: Request, withdrawal_id: str) -> Response:
    """`requested`, `broadcast`, `confirmed`, or why not."""
    desk = desk_of(request)
    host, _ = await desk.callers.host(request.headers.get("authorization"))
    wanted = _id(withdrawal_id, field="withdrawal_id")
    async with reading(desk.pool) as conn:
        found = await withdrawals.status(conn, wanted)
    if found.provider_id != host.provider_id:
        raise withdrawals.UnknownWithdrawal(withdrawal_id=withdrawal_id)
    return told(_withdrawal(found))


def _withdrawal(made: withdrawals.Withdrawal) -> dict[str, object]:
    return {
        "withdrawal_id": str(made.withdrawal_id),
        "status": made.status.value,
        "amount_usdc": format_usdc(made.amount_microusdc),
        "amount_microusdc": made.amount_microusdc,
        "destination": made.destination,
        "requested_at": made.requested_at.isoformat(),
        "signature": made.signature,
        "reason": made.reason,
    }


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
