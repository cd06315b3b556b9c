"""Solana Pay transaction requests: pay from a phone (docs/paying-from-a-phone.md).

A *transfer* request cannot be used: wallets refuse one to a derived owner, and it carries no code.
So a QR code leads here. A wallet asks with GET who we are, shows it, POSTs its account, gets one
unsigned transaction of our program, shows what it does, signs it and sends it itself. Nothing is
remembered and nothing is believed: what the wallet does with it, the indexer sees on chain, or not.

Every way to pay is a row of `_WAYS` with the same five routes. All may be called from any web page.
"""

import base64
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from importlib import resources
from typing import Any, Final, TypeAlias, assert_never

import msgspec
from fastapi import APIRouter
from solders.pubkey import Pubkey
from starlette.requests import Request
from starlette.responses import Response

from coordinator.api.body import json_of, schema_of
from coordinator.api.desk import Desk, desk_of, told
from coordinator.api.payments import asked, link, refusals, transactions
from coordinator.api.payments.asked import Asked, BondAsked, BondStep, DepositAsked, StepAsked
from coordinator.api.payments.state import Seen
from coordinator.api.payments.transactions import Prepared
from coordinator.order import monotonic
from settlement import deposits
from settlement.bonds import lifecycle
from settlement.bonds.lifecycle import Standing
from settlement.chain.layouts import BOND_SIZE
from settlement.db.pool import reading
from settlement.deposits import BondCode, UserCode

router = APIRouter(tags=["payments"])

Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]

ANY_ORIGIN: Final = {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "GET, POST, OPTIONS",
    "access-control-allow-headers": "content-type, accept, accept-encoding, content-encoding",
    "access-control-max-age": "86400",
}
PREFIX: Final = link.BASE_PATH + "/"
_ICON_PATH: Final = f"{link.BASE_PATH}/icon.png"
_MAINNET: Final = "mainnet-beta"
_NAME: Final = "podledger"


class Payer(msgspec.Struct, kw_only=True):
    """The wallet that will sign, in base58. More fields are let pass, as Solana Pay wants it."""

    account: str


@dataclass(frozen=True, kw_only=True)
class _Way:
    """One thing that can be paid or done from a phone."""

    path: str
    title: str
    read: Callable[[asked.Query], Asked]
    parameters: tuple[tuple[str, bool, str], ...]  # name, required, what it is


_BOND_CODE: Final = ("code", True, "the bond's code, `POD-BOND-XXXXXXXX`")
_WAYS: Final = (
    _Way(
        path="deposit",
        title="prepaid money, under a code",
        read=asked.deposit,
        parameters=(
            ("code", True, "a deposit code (16 hex digits) or a bond's, `POD-BOND-XXXXXXXX`"),
            ("amount", True, "USDC with at most 6 decimals, as in `25.5`"),
            ("reference", False, f"a base58 key to find it by; up to {asked.MOST_REFERENCES}"),
        ),
    ),
    _Way(
        path="bond",
        title="an operator's bond; its amount is the one on chain",
        read=asked.bond,
        parameters=(
            _BOND_CODE,
            ("beneficiary", False, "checked only: it must be the enrolled wallet"),
        ),
    ),
    _Way(
        path="bond/retire",
        title="start a bond's cooldown",
        read=partial(asked.step, BondStep.RETIRE),
        parameters=(_BOND_CODE,),
    ),
    _Way(
        path="bond/cancel",
        title="stop a bond's cooldown",
        read=partial(asked.step, BondStep.CANCEL),
        parameters=(_BOND_CODE,),
    ),
    _Way(
        path="bond/release",
        title="get a bond back after its cooldown",
        read=partial(asked.step, BondStep.RELEASE),
        parameters=(_BOND_CODE,),
    ),
)


def _described(way: _Way) -> Endpoint:
    async def describe(request: Request) -> Response:
        """Who is asking for the payment: a name and an icon for the wallet to show."""
        desk, _, _ = await _known(way, request)
        shop = desk.shop
        label = _NAME if shop.cluster == _MAINNET else f"{_NAME} ({shop.cluster})"
        return _shown({"label": label, "icon": shop.public_url + _ICON_PATH})

    return describe


def _prepared(way: _Way) -> Endpoint:
    async def prepare(request: Request) -> Response:
        """The unsigned transaction, base64; only the account given signs it, and pays its fee."""
        desk, wanted, owner = await _known(way, request)
        payer = await json_of(request, Payer)
        try:
            account = deposits.check_wallet(payer.account)
        except deposits.InvalidWallet:
            raise deposits.InvalidWallet(field="account") from None
        ready = await _ready(desk, wanted, owner, account)
        blockhash = await desk.payments.chain.blockhash()
        raw = transactions.unsigned(ready, account, blockhash)
        return _shown({"transaction": base64.b64encode(raw).decode(), "message": ready.message})

    return prepare


def _linked(way: _Way) -> Endpoint:
    async def show_link(request: Request) -> Response:
        """The link for an `href` or a QR code of one's own, and where ours is."""
        desk, wanted, _ = await _known(way, request)
        public_url = desk.shop.public_url
        return _shown(
            {
                "link": link.payment_link(public_url, wanted),
                "url": link.request_url(public_url, wanted),
                "qr": link.request_url(public_url, wanted, "/qr.svg"),
            }
        )

    return show_link


def _drawn(way: _Way) -> Endpoint:
    async def draw(request: Request) -> Response:
        """The link as a QR code, for an `<img>`."""
        desk, wanted, _ = await _known(way, request)
        image = link.svg(link.payment_link(desk.shop.public_url, wanted))
        headers = ANY_ORIGIN | {
            "cache-control": "no-store",
            "content-security-policy": "default-src 'none'",
            "x-content-type-options": "nosniff",
        }
        return Response(image, media_type="image/svg+xml", headers=headers)

    return draw


async def _preflight(_request: Request) -> Response:
    return Response(status_code=204, headers=ANY_ORIGIN)


@router.get(_ICON_PATH, summary="What wallets show beside our name", include_in_schema=False)
async def icon() -> Response:
    """A PNG, as some wallets draw no SVG."""
    image = resources.files("coordinator").joinpath("pages/icon.png").read_bytes()
    headers = ANY_ORIGIN | {"cache-control": "public, max-age=86400"}
    return Response(image, media_type="image/png", headers=headers)


async def _known(way: _Way, request: Request) -> tuple[Desk, Asked, UserCode | BondCode]:
    """What the link asks for and whose code it names: the part that needs no chain."""
    desk = desk_of(request)
    caller = request.client.host if request.client else "unknown"
    desk.payments.callers.admit(caller, monotonic())
    wanted = way.read(request.query_params.multi_items())
    async with reading(desk.pool) as conn:
        owner = await deposits.owner_of_code(conn, wanted.code)
    match wanted, owner:
        case (_, None):
            raise refusals.CodeUnknown(field="code")
        case (BondAsked(beneficiary=Pubkey() as named), BondCode()) if str(named) != owner.wallet:
            raise refusals.WrongBeneficiary(field="beneficiary", valid=owner.wallet)
        case _:
            return desk, wanted, owner


async def _ready(
    desk: Desk, wanted: Asked, owner: UserCode | BondCode, account: Pubkey
) -> Prepared:
    place, chain = desk.shop.deployment, desk.payments.chain
    match wanted:
        case DepositAsked():
            seen = await chain.see(account)
            if isinstance(owner, BondCode):
                await _check_owed(desk, owner, seen)
            return transactions.deposit(place, wanted, seen)
        case BondAsked():
            assert isinstance(owner, BondCode), "a user's code is never a bond's"
            return await _ready_bond(desk, wanted.code, owner, account)
        case StepAsked():
            assert isinstance(owner, BondCode), "a user's code is never a bond's"
            address = place.bond(wanted.code, Pubkey.from_string(owner.wallet))
            seen = await chain.see(account, address)
            if seen.bond is None:
                raise refusals.NoBond(field="code")
            receiver = None
            if wanted.step is BondStep.RELEASE:
                receiver = await chain.usdc_of(seen.bond.beneficiary)
            return transactions.bond_step(place, wanted.step, seen.bond, seen, receiver)
        case _:
            assert_never(wanted)


async def _ready_bond(desk: Desk, code: bytes, owner: BondCode, account: Pubkey) -> Prepared:
    place, chain = desk.shop.deployment, desk.payments.chain
    beneficiary = Pubkey.from_string(owner.wallet)
    seen = await chain.see(account, place.bond(code, beneficiary))
    await _check_owed(desk, owner, seen)
    rent_lamports = await chain.rent_lamports(BOND_SIZE)
    return transactions.post_bond(place, code, beneficiary, seen, rent_lamports)


async def _check_owed(desk: Desk, owner: BondCode, seen: Seen) -> None:
    """A bond is paid once: not beside one that stands, nor beside money on its way to it."""
    async with reading(desk.pool) as conn:
        standing = await lifecycle.standing(conn, owner.provider_id)
    if standing.state in (Standing.POSTED, Standing.RETIRING):
        raise refusals.BondExists
    if standing.state in (Standing.RELEASED, Standing.SEIZED):
        raise refusals.BondClosed
    if standing.pending_microusdc >= seen.config.parameters.bond_amount_microusdc:
        raise refusals.BondPaidAlready


def _shown(answer: dict[str, Any]) -> Response:
    response = told(answer)
    response.headers.update(ANY_ORIGIN)
    return response


def _add_routes(way: _Way) -> None:
    """The five routes of one way to pay."""
    path = f"{link.BASE_PATH}/{way.path}"
    parameters = {
        "parameters": [
            {
                "name": name,
                "in": "query",
                "required": required,
                "description": text,
                "schema": {"type": "string"},
            }
            for name, required, text in way.parameters
        ]
    }
    for suffix, method, summary, endpoint, extra in (
        ("", "GET", f"Wallet: who asks? ({way.title})", _described(way), {}),
        ("", "POST", f"Wallet: {way.title}", _prepared(way), schema_of(Payer)),
        ("/link", "GET", f"The link: {way.title}", _linked(way), {}),
        ("/qr.svg", "GET", f"The QR code: {way.title}", _drawn(way), {}),
    ):
        router.add_api_route(
            path + suffix,
            endpoint,
            methods=[method],
            summary=summary,
            openapi_extra=parameters | extra,
        )
        router.add_api_route(
            path + suffix, _preflight, methods=["OPTIONS"], include_in_schema=False
        )


for _way in _WAYS:
    _add_routes(_way)
