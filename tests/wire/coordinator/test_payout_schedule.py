"""`GET` and `PUT /v1/host/payout-schedule`."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from solders.keypair import Keypair

from tests.conftest import Database
from tests.wire.coordinator.scripted import Operator
from tests.wire.coordinator.test_hosts import bearer, told
from tests.wire.coordinator.world import DEPLOYMENT, DOLLAR, World, world

PATH = "/v1/host/payout-schedule"


async def put(w: World, operator: Operator, body: object) -> tuple[int, dict[str, Any]]:
    async with w.http.put(w.url + PATH, json=body, headers=bearer(operator)) as response:
        return response.status, await response.json()


async def test_off_until_asked_for(database: Database) -> None:
    async with world(database.dsn) as w:
        operator = await w.operator(bonded=False)
        assert await told(w, PATH, operator) == {
            "enabled": False,
            "threshold_usdc": "5.000000",
            "threshold_microusdc": 5 * DOLLAR,
            "destination": operator.wallet,
            "next_at": None,
            "last": [],
        }


async def test_what_is_set_is_shown_and_replaced(database: Database) -> None:
    async with world(database.dsn) as w:
        operator, elsewhere = await w.operator(bonded=False), str(Keypair().pubkey())
        code, made = await put(
            w, operator, {"enabled": True, "threshold_usdc": 12.5, "destination": elsewhere}
        )
        assert code == 200
        assert made["threshold_microusdc"] == 12_500_000
        assert (made["enabled"], made["destination"]) == (True, elsewhere)
        next_at = datetime.fromisoformat(made["next_at"])
        assert timedelta() < next_at - datetime.now(UTC) <= timedelta(hours=6)
        assert next_at.hour in (0, 6, 12, 18)
        assert await told(w, PATH, operator) == made | {"last": []}
        await put(w, operator, {"enabled": False, "threshold_usdc": "20"})
        shown = await told(w, PATH, operator)
        assert (shown["enabled"], shown["next_at"]) == (False, None)
        assert (shown["threshold_usdc"], shown["destination"]) == ("20.000000", operator.wallet)
        other = await w.operator(bonded=False)
        assert (await told(w, PATH, other))["enabled"] is False


BAD: list[tuple[object, str]] = [
    ({"threshold_usdc": 5}, "enabled"),
    ({"enabled": "yes", "threshold_usdc": 5}, "enabled"),
    ({"enabled": True}, "threshold_usdc"),
    ({"enabled": True, "threshold_usdc": 4.999999}, "threshold_usdc"),
    ({"enabled": True, "threshold_usdc": 5.0000001}, "threshold_usdc"),
    ({"enabled": True, "threshold_usdc": -5}, "threshold_usdc"),
    ({"enabled": True, "threshold_usdc": 0}, "threshold_usdc"),
    ({"enabled": True, "threshold_usdc": "1e400"}, "threshold_usdc"),
    ({"enabled": True, "threshold_usdc": "NaN"}, "threshold_usdc"),
    ({"enabled": True, "threshold_usdc": None}, "threshold_usdc"),
    ({"enabled": True, "threshold_usdc": 5, "destination": "x"}, "destination"),
    ({"enabled": True, "threshold_usdc": 5, "destination": "0" * 40}, "destination"),
    ({"enabled": True, "threshold_usdc": 5, "destination": str(DEPLOYMENT.mint)}, "destination"),
    ({"enabled": True, "threshold_usdc": 5, "treshold": 6}, "treshold"),
    ([], ""),
    ("", ""),
]


@pytest.mark.parametrize(("body", "field"), BAD)
async def test_bad_input_names_its_field(database: Database, body: object, field: str) -> None:
    async with world(database.dsn) as w:
        operator = await w.operator(bonded=False)
        code, refused = await put(w, operator, body)
        assert code == 400, refused
        assert field in str(refused["error"])
        assert refused["message"]
        assert await w.pool.fetchval("select count(*) from settlement.payout_schedule") == 0


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_nobody_without_the_token(database: Database, method: str) -> None:
    async with world(database.dsn) as w:
        body = {"enabled": True, "threshold_usdc": 5}
        async with w.http.request(method, w.url + PATH, json=body) as response:
            assert response.status == 401
