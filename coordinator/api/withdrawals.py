"""Money out, for operators and users: ask, look, list, take back (wire.md §10.6).

The two sides share everything but who they are: an operator withdraws earnings to a wallet or USDC
token account of theirs, a user an unspent balance back to where it was paid in from. Amounts are
dollars, as a JSON number or a string, and are read by their digits: no float is ever made of them.
"""

import re
from dataclasses import dataclass
from typing import Annotated, Final
from uuid import UUID

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from coordinator.api.body import json_of, schema_of
from coordinator.api.desk import Desk, desk_of, told
from coordinator.api.payments.refusals import PaymentsNotOffered
from coordinator.order import monotonic
from coordinator.transcode.request import BodyInvalid
from settlement import withdrawals
from settlement.db.pool import reading, retried, transaction
from settlement.errors import Unavailable
from settlement.ledger import store as ledger
from settlement.money import InvalidAmount, MicroUsdc, format_usdc, parse_usdc
from settlement.withdrawals import Withdrawal, WithdrawalRequest, WithdrawalStatus

router = APIRouter(tags=["withdrawals"])

_LARGEST_PAGE: Final = 100
_PAGE: Final = 50
_LONGEST_NUMBER: Final = 80
_JSON_NUMBER: Final = re.compile(rb"-?[0-9][0-9.eE+-]*")
_CAN_BE_CANCELLED: Final = frozenset({WithdrawalStatus.REQUESTED, WithdrawalStatus.APPROVED})
_DOLLARS: Final[dict[str, object]] = {
    "description": "Dollars, at most six decimals; a number or a string",
    "anyOf": [{"type": "number"}, {"type": "string"}],
    "examples": [25.00, "25.00"],
}


class WithdrawalsNotOffered(Unavailable):
    """withdrawals are not offered here: this coordinator has no Solana RPC to ask"""


class WithdrawalBody(msgspec.Struct, kw_only=True):
    """How many dollars go where."""

    amount_usdc: Annotated[msgspec.Raw, msgspec.Meta(extra_json_schema=_DOLLARS)]
    destination: Annotated[str, msgspec.Meta(min_length=32, max_length=44)]


@dataclass(frozen=True, kw_only=True)
class _Owner:
    """Who asks, and where their withdrawals are found."""

    path: str
    provider_id: UUID | None = None
    user_id: UUID | None = None

    @property
    def owner_id(self) -> UUID:
        found = self.provider_id or self.user_id
        assert found is not None, "one of the two asks"
        return found


async def _host(request: Request, desk: Desk) -> _Owner:
    host, _ = await desk.callers.host(request.headers.get("authorization"))
    return _Owner(path="/v1/host", provider_id=host.provider_id)


async def _user(desk: Desk, token: str) -> _Owner:
    caller = await desk.callers.known(token)
    return _Owner(path=f"/proxy/{token}", user_id=caller.user.user_id)


@router.post(
    "/v1/host/withdraw",
    summary="Send earnings to a wallet",
    openapi_extra=schema_of(WithdrawalBody),
)
async def withdraw(request: Request) -> Response:
    """`amount_usdc` is in dollars. With an `Idempotency-Key`, asking again pays once."""
    desk = desk_of(request)
    return await _ask(request, desk, await _host(request, desk))


@router.get("/v1/host/withdrawals", summary="My withdrawals, newest first")
async def list_withdrawals(
    request: Request, before: str | None = None, limit: str | None = None
) -> Response:
    """A page at a time; `before` is the `next` of the page before."""
    desk = desk_of(request)
    return await _list(desk, await _host(request, desk), before, limit)


@router.get("/v1/host/withdrawals/{withdrawal_id}", summary="Where a withdrawal stands")
async def show_withdrawal(request: Request, withdrawal_id: str) -> Response:
    """Its state, the reasons for it, and the signature once it was sent."""
    desk = desk_of(request)
    return await _show(desk, await _host(request, desk), withdrawal_id)


@router.delete("/v1/host/withdrawals/{withdrawal_id}", summary="Take a withdrawal back")
@router.post("/v1/host/withdrawals/{withdrawal_id}/cancel", summary="Take a withdrawal back")
async def cancel_withdrawal(request: Request, withdrawal_id: str) -> Response:
    """Possible until it has its number; the money is back at once."""
    desk = desk_of(request)
    return await _cancel(desk, await _host(request, desk), withdrawal_id)


@router.post(
    "/proxy/{token}/withdraw",
    summary="Send unspent balance back to where it was paid in from",
    openapi_extra=schema_of(WithdrawalBody),
)
async def withdraw_unspent(request: Request, token: str) -> Response:
    """Only to a wallet, or its token account, that paid a deposit of this token's."""
    desk = desk_of(request)
    return await _ask(request, desk, await _user(desk, token))


@router.get("/proxy/{token}/withdrawals", summary="A token's withdrawals, newest first")
async def list_unspent(
    request: Request, token: str, before: str | None = None, limit: str | None = None
) -> Response:
    """A page at a time; `before` is the `next` of the page before."""
    desk = desk_of(request)
    return await _list(desk, await _user(desk, token), before, limit)


@router.get("/proxy/{token}/withdrawals/{withdrawal_id}", summary="Where a withdrawal stands")
async def show_unspent(request: Request, token: str, withdrawal_id: str) -> Response:
    """Its state, the reasons for it, and the signature once it was sent."""
    desk = desk_of(request)
    return await _show(desk, await _user(desk, token), withdrawal_id)


@router.delete("/proxy/{token}/withdrawals/{withdrawal_id}", summary="Take a withdrawal back")
@router.post("/proxy/{token}/withdrawals/{withdrawal_id}/cancel", summary="Take a withdrawal back")
async def cancel_unspent(request: Request, token: str, withdrawal_id: str) -> Response:
    """Possible until it has its number; the money is back at once."""
    desk = desk_of(request)
    return await _cancel(desk, await _user(desk, token), withdrawal_id)


async def _ask(request: Request, desk: Desk, owner: _Owner) -> Response:
    desk.withdrawing.callers.admit(owner.owner_id, monotonic())
    body = await json_of(request, WithdrawalBody)
    asked = WithdrawalRequest(
        provider_id=owner.provider_id,
        user_id=owner.user_id,
        amount_microusdc=_amount(body.amount_usdc),
        destination=body.destination,
        idempotency_key=request.headers.get("idempotency-key"),
    )
    try:
        made = await _submit(desk, asked)
    except withdrawals.InsufficientUnspent:
        # Some of it may be set aside for requests that nobody makes: that is unspent, too.
        await desk.charges.give_back(owner.owner_id)
        made = await _submit(desk, asked)
    return told(_shown(made, owner))


async def _submit(desk: Desk, asked: WithdrawalRequest) -> Withdrawal:
    try:
        return await withdrawals.submit(
            desk.pool,
            desk.writer,
            asked,
            deployment=desk.shop.deployment,
            clock=desk.clock,
            limits=desk.withdrawing.limits,
            chain=desk.payments.chain,
        )
    except PaymentsNotOffered:
        raise WithdrawalsNotOffered from None


async def _list(desk: Desk, owner: _Owner, before: str | None, limit: str | None) -> Response:
    size = _page_size(limit)
    async with reading(desk.pool) as conn:
        last = None
        if before is not None:
            try:
                last = await withdrawals.owned(conn, _id(before, "before"), owner.owner_id)
            except withdrawals.UnknownWithdrawal:
                raise BodyInvalid(problem="no withdrawal of yours", field="before") from None
        found = await withdrawals.listed(conn, owner.owner_id, before=last, limit=size + 1)
    page = found[:size]
    return told(
        {
            "withdrawals": [_shown(each, owner) for each in page],
            "next": str(page[-1].withdrawal_id) if len(found) > size else None,
        }
    )


async def _show(desk: Desk, owner: _Owner, withdrawal_id: str) -> Response:
    wanted = _id(withdrawal_id, "withdrawal_id")
    async with reading(desk.pool) as conn:
        found = await withdrawals.owned(conn, wanted, owner.owner_id)
    return told(_shown(found, owner))


async def _cancel(desk: Desk, owner: _Owner, withdrawal_id: str) -> Response:
    wanted = _id(withdrawal_id, "withdrawal_id")

    async def once() -> Withdrawal:
        async with transaction(desk.pool) as tx:
            found, operations = await withdrawals.cancel(
                tx, wanted, owner_id=owner.owner_id, reason="cancelled by its owner"
            )
            for outcome in await ledger.apply(tx, desk.writer, operations):
                assert outcome.done, f"a withdrawal's hold ended as {outcome.code}"
            return found

    return told(_shown(await retried(once), owner))


def _amount(raw: msgspec.Raw) -> MicroUsdc:
    """Raises `InvalidAmount`, for a JSON value that is neither number nor string as well."""
    text = bytes(raw)
    if text.startswith(b'"'):
        return parse_usdc(msgspec.json.decode(text, type=str), field="amount_usdc")
    if _JSON_NUMBER.fullmatch(text):
        return parse_usdc(text.decode("ascii"), field="amount_usdc")
    raise InvalidAmount(field="amount_usdc", got=text[:_LONGEST_NUMBER].decode(errors="replace"))


def _page_size(text: str | None) -> int:
    if text is None:
        return _PAGE
    if not re.fullmatch(r"[0-9]{1,3}", text, re.ASCII) or not 1 <= int(text) <= _LARGEST_PAGE:
        raise BodyInvalid(problem=f"a whole number from 1 to {_LARGEST_PAGE}", field="limit")
    return int(text)


def _id(text: str, field: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise BodyInvalid(problem="not a UUID", field=field) from None


def _shown(made: Withdrawal, owner: _Owner) -> dict[str, object]:
    here = f"{owner.path}/withdrawals/{made.withdrawal_id}"
    may_cancel = made.status in _CAN_BE_CANCELLED and made.sequence is None
    return {
        "withdrawal_id": str(made.withdrawal_id),
        "state": made.status.value,
        "status": made.status.value,
        "amount_usdc": format_usdc(made.amount_microusdc),
        "amount_microusdc": made.amount_microusdc,
        "destination": made.destination,
        "destination_account": made.destination_account,
        "requested_at": made.requested_at.isoformat(),
        "not_before": None if made.not_before is None else made.not_before.isoformat(),
        "signature": made.signature,
        "reasons": [{"code": each.code, "message": each.text} for each in made.reasons],
        "links": {"self": here, "cancel": f"{here}/cancel" if may_cancel else None},
    }
