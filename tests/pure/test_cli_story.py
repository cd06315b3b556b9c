"""The demo notices what is not right, repeats what may be repeated, and stops where it must."""

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from cli.story.api import Api, ApiRefused
from cli.story.departures import pass_ninety_days
from cli.story.pairing import Offer, pair
from cli.story.report import PaidRequest, Report, Step, StoryFailed, line_of
from cli.story.trade import check_split
from settlement.chain.rpc import RpcClient, RpcRefused

_OFFER = Offer(model_id="m-1", input_per_1m=1, output_per_1m=2, max_concurrent=4)


@dataclass
class FakeServer:
    """Answers with the statuses of its script, then with `{"ok": true}`; remembers the calls."""

    script: list[int] = field(default_factory=list[int])
    keys: list[str | None] = field(default_factory=list[str | None])

    async def answer(self, request: web.Request) -> web.Response:
        self.keys.append(request.headers.get("Idempotency-Key"))
        status = self.script.pop(0) if self.script else 200
        return web.json_response({"ok": True}, status=status)


@asynccontextmanager
async def _serving(fake: FakeServer) -> AsyncGenerator[Api]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", fake.answer)
    async with TestServer(app) as server, aiohttp.ClientSession() as http:
        yield Api(http, str(server.make_url("")).rstrip("/"))


async def test_a_call_is_repeated_with_the_same_key() -> None:
    fake = FakeServer(script=[503, 500, 429])
    async with _serving(fake) as api:
        assert await api.post("/v1/register") == {"ok": True}
        assert await api.post("/v1/register") == {"ok": True}
    *first, second = fake.keys
    assert len(first) == 4
    assert len(set(first)) == 1
    assert second not in first


async def test_a_client_error_is_told_at_once() -> None:
    fake = FakeServer(script=[402])
    async with _serving(fake) as api:
        with pytest.raises(ApiRefused, match="GET /balance: HTTP 402"):
            await api.get("/balance")
    assert len(fake.keys) == 1


@dataclass
class FakeMarket:
    """A provider that forgets its first setup, and a coordinator that then does not know its code.

    It is the server of all three parts of a pairing.
    """

    setups: int = 0
    claims: list[str] = field(default_factory=list[str])

    async def answer(self, request: web.Request) -> web.Response:
        offered = "CODE-0002" in self.claims
        match request.path:
            case "/setup":
                self.setups += 1
                return web.json_response({"pair_code": f"CODE-000{self.setups}"})
            case "/v1/host/pair/claim":
                code = (await request.json())["pair_code"]
                self.claims.append(code)
                return web.json_response({}, status=404 if code == "CODE-0001" else 200)
            case "/v1/models":
                return web.json_response({"data": [{"id": "m-1"}] if offered else []})
            case _:
                state = "connected" if offered else "idle"
                return web.json_response({"state": state, "last_error": None, "public_key": "key"})


async def test_a_lost_pairing_is_begun_again() -> None:
    market = FakeMarket()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", market.answer)
    async with TestServer(app) as server, aiohttp.ClientSession() as http:
        api = Api(http, str(server.make_url("")).rstrip("/"))
        assert await pair(api, api, api, _OFFER) == "key"
    assert market.claims == ["CODE-0001", "CODE-0002"]


def _request(gross: int, operator: int, treasury: int) -> PaidRequest:
    return PaidRequest(
        id="r", streamed=False, output_tokens=1, gross=gross, operator=operator, treasury=treasury
    )


@pytest.mark.parametrize(("gross", "operator", "treasury"), [(0, 0, 0), (4, 4, 0), (9, 8, 1)])
def test_a_right_split_passes(gross: int, operator: int, treasury: int) -> None:
    check_split(_request(gross, operator, treasury))


@pytest.mark.parametrize(
    ("gross", "operator", "treasury"), [(10, 8, 1), (10, 7, 3), (10, 9, 1), (9, 7, 2)]
)
def test_a_split_that_is_off_by_a_microunit_fails(gross: int, operator: int, treasury: int) -> None:
    with pytest.raises(StoryFailed):
        check_split(_request(gross, operator, treasury))


class _Clockless(RpcClient):
    """A chain that cannot move its clock, or that refuses for another reason."""

    def __init__(self, session: aiohttp.ClientSession, error_code: int) -> None:
        super().__init__(["http://127.0.0.1:1"], session)
        self._error_code = error_code

    async def call(
        self, method: str, params: Sequence[object] = (), *, timeout_seconds: float = 10.0
    ) -> object:
        raise RpcRefused(method=method, error_code=self._error_code, text="no")


async def test_a_chain_whose_clock_stands_is_told_about() -> None:
    report = Report(told=lambda _: None)
    async with aiohttp.ClientSession() as session:
        assert not await pass_ninety_days(_Clockless(session, -32_601), report)
        assert report.stopped_because
        with pytest.raises(StoryFailed):
            await pass_ninety_days(_Clockless(session, -32_602), report)


def test_the_report_is_one_object() -> None:
    heard: list[Step] = []
    report = Report(told=heard.append)
    report.step("deposit", id="signature", amount=25_000_000)
    report.requests.append(_request(10, 8, 2))
    read = json.loads(report.as_json())
    assert read["steps"] == [
        {"name": "deposit", "id": "signature", "amount": 25_000_000, "note": ""}
    ]
    assert read["requests"][0]["treasury"] == 2
    assert read["withdrawal"] is None
    assert line_of(heard[0]).split() == ["deposit", "25.000000", "USDC", "signature"]
