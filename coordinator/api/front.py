"""The front door: one ASGI app that sends each connection to the plane it belongs to.

Paid requests and agents go to raw ASGI apps; everything else to FastAPI. There is no middleware
between them and the server: one class of it costs more than the whole relay (gateway.md §2).
"""

import re

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from coordinator.api import (
    agents,
    cases,
    errors,
    hosts,
    pairing,
    payment_requests,
    payout_schedule,
    standing,
    status,
    users,
    withdrawals,
)
from coordinator.api.body import ClientGone, Receive, Scope, Send
from coordinator.api.desk import Desk
from coordinator.api.inference import Inference
from coordinator.metrics import Metrics
from coordinator.sessions import Sessions
from settlement.db.pool import TRANSIENT
from settlement.errors import PodError

_CHAT = re.compile(r"/proxy/([^/]+)/v1/chat/completions")
AGENTS_PATH = "/provider/connect"


class Front:
    """What the server runs."""

    def __init__(self, control: FastAPI, inference: Inference, sessions: Sessions) -> None:
        self._control = control
        self._inference = inference
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send a connection where it belongs."""
        if scope["type"] == "websocket":
            if scope["path"] == AGENTS_PATH:
                return await agents.serve(self._sessions, receive, send)
            return await agents.refuse(receive, send)
        chat = _CHAT.fullmatch(scope["path"]) if scope["type"] == "http" else None
        if chat is not None:
            return await self._inference.serve(scope, receive, send, chat[1])
        return await self._control(scope, receive, send)


def control_plane(desk: Desk, metrics: Metrics) -> FastAPI:
    """Everything but inference and agents, with `/docs`."""
    app = FastAPI(title="podledger coordinator", version=status.VERSION, redirect_slashes=False)
    app.state.desk = desk
    app.state.metrics = metrics
    routers = (users, pairing, hosts, standing, cases, withdrawals, payout_schedule)
    for each in (*routers, payment_requests, status):
        app.include_router(each.router)
    app.add_exception_handler(PodError, _told)
    for kind in TRANSIENT:
        app.add_exception_handler(kind, _told)
    app.add_exception_handler(ClientGone, _nobody)
    app.add_exception_handler(HTTPException, _routed)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _broken)
    return app


def _says_it_twice(request: Request) -> bool:
    """Hosts and wallets look for the message at the top level."""
    return request.url.path.startswith(("/v1/host/", payment_requests.PREFIX))


def _response(request: Request, answer: errors.Answer) -> Response:
    open_to = payment_requests.ANY_ORIGIN
    any_origin = open_to if request.url.path.startswith(payment_requests.PREFIX) else {}
    return Response(
        answer.body,
        status_code=answer.status,
        media_type="application/json",
        headers={"cache-control": "no-store"} | any_origin | answer.headers,
    )


async def _told(request: Request, error: Exception) -> Response:
    known = errors.translated(error)
    assert known is not None, "registered for these kinds only"
    return _response(request, errors.answer(known, twice=_says_it_twice(request)))


async def _routed(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    told = _response(request, errors.of_http(error.status_code, twice=_says_it_twice(request)))
    told.headers.update(error.headers or {})
    return told


async def _invalid(request: Request, _error: Exception) -> Response:
    return _response(request, errors.of_http(400, twice=_says_it_twice(request)))


async def _broken(request: Request, _error: Exception) -> Response:
    return _response(request, errors.of_http(500, twice=_says_it_twice(request)))


async def _nobody(_request: Request, _error: Exception) -> Response:
    return Response(status_code=400)
