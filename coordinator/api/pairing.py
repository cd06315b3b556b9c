"""Pairing an agent with its operator (wire.md §3)."""

from importlib import resources
from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from coordinator import pairings
from coordinator.api.body import json_of, schema_of
from coordinator.api.desk import Desk, desk_of, told
from coordinator.offers import LARGEST_MODEL_ID, LARGEST_PRICE_PER_1M_MICROUSDC
from coordinator.pairings import Active, Pending
from coordinator.transcode.request import BodyInvalid
from settlement.bonds import lifecycle
from settlement.bonds.lifecycle import Standing
from settlement.db.pool import Tx, reading, transaction
from settlement.errors import Conflict

router = APIRouter(tags=["pairing"])

PUBKEY_BYTES = 32
_MOST_MODELS = 256
_DEFAULT_CONCURRENT = 4

_ModelId = Annotated[str, msgspec.Meta(min_length=1, max_length=LARGEST_MODEL_ID)]
_Price = Annotated[int, msgspec.Meta(ge=0, le=LARGEST_PRICE_PER_1M_MICROUSDC)]


class BondNotActive(Conflict):
    """operator bond must be active before pairing"""


class Issue(msgspec.Struct, kw_only=True):
    """The agent's public key, base64."""

    agent_pubkey: bytes


class _Backend(msgspec.Struct, kw_only=True):
    kind: str
    url: str = ""
    models: list[str] = []


class _Found(msgspec.Struct, kw_only=True):
    backends: Annotated[list[_Backend], msgspec.Meta(max_length=64)] = []
    agent_version: str = ""


class Poll(msgspec.Struct, kw_only=True):
    """What the agent polls with, and what it found on its machine."""

    poll_token: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    capabilities: _Found | None = None


class Model(msgspec.Struct, kw_only=True):
    """One model to serve; a price of 0 means ours."""

    model_id: _ModelId
    input_per_1m: _Price = 0
    output_per_1m: _Price = 0
    max_concurrent: Annotated[int, msgspec.Meta(ge=1, le=256)] = _DEFAULT_CONCURRENT


class Claim(msgspec.Struct, kw_only=True):
    """The code the agent shows, and what it shall serve (all it found, when empty)."""

    pair_code: Annotated[str, msgspec.Meta(pattern=r"^[A-Z0-9]{4}-[A-Z0-9]{4}$")]
    activated_models: Annotated[list[_ModelId | Model], msgspec.Meta(max_length=_MOST_MODELS)] = []


@router.post(
    "/v1/host/pair/issue", summary="Agent: get a pair code", openapi_extra=schema_of(Issue)
)
async def issue(request: Request) -> Response:
    """Called by the agent's setup; no authentication."""
    desk = desk_of(request)
    asked = await json_of(request, Issue)
    if len(asked.agent_pubkey) != PUBKEY_BYTES:
        raise BodyInvalid(problem="an Ed25519 public key has 32 bytes", field="agent_pubkey")
    async with transaction(desk.pool) as tx:
        issued = await pairings.issue(tx, asked.agent_pubkey, desk.clock.now())
    return told(
        {
            "pair_code": issued.pair_code,
            "poll_token": issued.poll_token,
            "expires_at": issued.expires_at.isoformat(),
        }
    )


@router.post("/v1/host/pair/poll", summary="Agent: was I claimed?", openapi_extra=schema_of(Poll))
async def poll(request: Request) -> Response:
    """`pending`, `active` or `expired`, always with status 200: anything else ends the setup."""
    desk = desk_of(request)
    asked = await json_of(request, Poll)
    async with reading(desk.pool) as conn:
        found = await pairings.poll(conn, asked.poll_token, desk.clock.now())
    match found:
        case None:
            return told({"status": "expired"})
        case Pending():
            if asked.capabilities is not None:
                known = msgspec.json.encode(asked.capabilities).decode()
                async with transaction(desk.pool) as tx:
                    await pairings.keep_capabilities(tx, found.pair_code, known)
            return told({"status": "pending"})
        case Active():
            return told(
                {
                    "status": "active",
                    "host_token": found.host_token,
                    "provider_id": str(found.provider_id),
                    "model_config": msgspec.Raw(found.model_config.encode()),
                }
            )


@router.post(
    "/v1/host/pair/claim", summary="Operator: take an agent on", openapi_extra=schema_of(Claim)
)
async def claim(request: Request) -> Response:
    """Binds the agent's key to the operator; refused until the bond is posted."""
    desk = desk_of(request)
    host, token = await desk.callers.host(request.headers.get("authorization"))
    asked = await json_of(request, Claim)
    now = desk.clock.now()
    async with transaction(desk.pool) as tx:
        await _require_bond(tx, host.provider_id)
        pairing = await pairings.claimable(tx, asked.pair_code, host.provider_id, now)
        models = _chosen(desk, asked, pairing.capabilities)
        await pairings.claim(
            tx,
            pairing,
            provider_id=host.provider_id,
            host_token=token,
            model_config=msgspec.json.encode(models).decode(),
            now=now,
        )
    await desk.sessions.drop(host.provider_id)
    desk.routes.look_again()
    return told({"status": "active", "provider_id": str(host.provider_id), "model_config": models})


async def _require_bond(tx: Tx, provider_id: UUID) -> None:
    standing = await lifecycle.standing(tx, provider_id)
    if standing.state is not Standing.POSTED:
        raise BondNotActive(state=standing.state.value)


def _chosen(desk: Desk, asked: Claim, capabilities: str | None) -> list[Model]:
    """What the agent is told to serve; every price above 0, or it would hide the model."""
    wanted: list[Model] = [
        Model(model_id=each) if isinstance(each, str) else each for each in asked.activated_models
    ]
    if not wanted and capabilities is not None:
        found = msgspec.json.decode(capabilities, type=_Found)
        ids = {model for backend in found.backends for model in backend.models}
        wanted = [Model(model_id=model) for model in sorted(ids)[:_MOST_MODELS]]
    for model in wanted:
        model.input_per_1m = model.input_per_1m or desk.shop.default_input_per_1m_microusdc
        model.output_per_1m = model.output_per_1m or desk.shop.default_output_per_1m_microusdc
    return wanted


@router.get("/host/pair", summary="The page where an operator types the pair code")
async def page() -> HTMLResponse:
    """Where the agent's setup sends its operator."""
    text = resources.files("coordinator").joinpath("pages/pair.html").read_text()
    return HTMLResponse(
        text,
        headers={
            "content-security-policy": "default-src 'none'; style-src 'unsafe-inline';"
            " script-src 'unsafe-inline'; connect-src 'self'; form-action 'none';"
            " base-uri 'none'; frame-ancestors 'none'",
            "referrer-policy": "no-referrer",
        },
    )
