"""Every parameter with everything wrong: its name, in Solana Pay's shape and in ours, and no 500.

No chain is needed: what is wrong with a link or a body is said before the chain is asked.
"""

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from urllib.parse import quote

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from settlement.chain.program import Deployment
from tests.conftest import Database
from tests.wire.market import Json, Market, market_at

KEY = str(Keypair().pubkey())
PLACE = Deployment(
    Pubkey.from_string("BBAdcqUkg68JXNiPQ1HR1wujfZuayyK3eQTQSYAh6FSW"),
    Pubkey.from_string("EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"),
)
NOT_KEYS = ("", "x", KEY[:40], KEY + "1", "1" + KEY, "0" * 44, KEY + " ", "💸", "l" * 44)
VIEWS = ("", "/link", "/qr.svg")
_SETTINGS = {
    "POD_PROGRAM_ID": str(PLACE.program_id),
    "POD_USDC_MINT": str(PLACE.mint),
    "POD_PUBLIC_URL": "https://pod.test",
    "POD_COORDINATOR_PAYMENTS_PER_MINUTE": "100000",
}


@pytest.fixture
async def offline(database: Database, tmp_path: Path) -> AsyncGenerator[Market]:
    """A coordinator without any RPC node."""
    async with market_at(database.dsn, tmp_path, **_SETTINGS) as market:
        yield market


async def judged(
    market: Market,
    method: str,
    path: str,
    status: int,
    field: str | None,
    body: bytes | None = None,
) -> Json:
    """Send it and hold the answer against what a wrong link is to be told."""
    url = f"{market.url}/v1/pay/{path}"
    async with market.http.request(method, url, data=body) as response:
        told: Json = await response.json()
        assert response.status == status, (path, body, told)
        assert response.headers["access-control-allow-origin"] == "*"
        assert response.headers["cache-control"] == "no-store"
    error = told["error"]
    assert isinstance(error, dict)
    assert told["message"] == error["message"], told
    assert error["param"] == field, (path, body, told)
    assert field is None or status != 400 or field in str(told["message"]), told
    return told


async def everywhere(market: Market, path: str, query: str, status: int, field: str | None) -> None:
    """The same refusal from every route of this way to pay."""
    for view in VIEWS:
        await judged(market, "GET", f"{path}{view}?{query}", status, field)
    body = json.dumps({"account": KEY}).encode()
    await judged(market, "POST", f"{path}?{query}", status, field, body)


AMOUNTS = (
    *("", "0", "0.0", "0.0000000", "-1", "+1", "1e3", "1E3", ".5", "5.", "1.0000001", "1,5"),
    *("1_000", " 1", "1 ", "0x10", "NaN", "Infinity", "five", "\u0661", "½", "1.5.5", "1\n"),
    *("9223372036854.775808", "18446744073709.551616", "9" * 20, "9" * 400, "1\x00"),
)
CODES = (
    *("", "x", "0" * 15, "0" * 17, "g" * 16, " " * 16, "0x" + "0" * 14, "POD-BOND-", "POD-BOND-x"),
    *("POD-BOND-ABCD123!", "POD-BOND-ABCD12345", "pod-bond-ABCD1234", "POD-ENROLL-ABCD1234"),
    *("POD-BOND-ÀBCD1234", "\u0660" * 16, "POD-BOND-ABCD1234\n", "\x00" * 16, "a" * 5000),
)


async def test_amounts(offline: Market) -> None:
    code = (await offline.user()).deposit_code.hex()
    for amount in AMOUNTS:
        query = f"code={code}&amount={quote(amount)}"
        await judged(offline, "GET", f"deposit?{query}", 400, "amount")
    await everywhere(offline, "deposit", f"code={code}", 400, "amount")
    for amount in ("0.000001", "1", "0001", "25.5", "1.500000", "9223372036854.775807"):
        status, _ = await offline.call("GET", f"/v1/pay/deposit?code={code}&amount={amount}")
        assert status == 200, amount


async def test_codes(offline: Market) -> None:
    for code in CODES:
        query = quote(code)
        await judged(offline, "GET", f"deposit?code={query}&amount=1", 400, "code")
        for path in ("bond", "bond/retire", "bond/cancel", "bond/release"):
            await judged(offline, "GET", f"{path}?code={query}", 400, "code")
    await everywhere(offline, "deposit", "amount=1", 400, "code")
    for path in ("bond", "bond/retire", "bond/cancel", "bond/release"):
        await everywhere(offline, path, "", 400, "code")


async def test_codes_that_nobody_has(offline: Market) -> None:
    for code in ("0011223344556677", "POD-BOND-ZZZZZZZZ"):
        await everywhere(offline, "deposit", f"code={code}&amount=1", 404, "code")
    for path in ("bond", "bond/retire", "bond/cancel", "bond/release"):
        await everywhere(offline, path, "code=POD-BOND-ZZZZZZZZ", 404, "code")


async def test_a_code_in_capitals_is_the_same_code(offline: Market) -> None:
    code = (await offline.user()).deposit_code.hex()
    query = f"code={code.upper()}&amount=25.500"
    status, told = await offline.call("GET", f"/v1/pay/deposit/link?{query}")
    assert status == 200
    assert told["url"] == f"https://pod.test/v1/pay/deposit?code={code}&amount=25.5"


async def test_references(offline: Market) -> None:
    code = (await offline.user()).deposit_code.hex()
    good = f"code={code}&amount=1"
    for key in NOT_KEYS:
        await judged(offline, "GET", f"deposit?{good}&reference={quote(key)}", 400, "reference")
    twice = f"{good}&reference={KEY}&reference={KEY}"
    await everywhere(offline, "deposit", twice, 400, "reference")
    keys = [str(Keypair().pubkey()) for _ in range(9)]
    many = "".join(f"&reference={key}" for key in keys)
    await everywhere(offline, "deposit", good + many, 400, "reference")
    eight = "".join(f"&reference={key}" for key in keys[:8])
    assert (await offline.call("GET", f"/v1/pay/deposit?{good}{eight}"))[0] == 200


async def test_beneficiaries(offline: Market) -> None:
    operator = await offline.operator(bonded=False)
    good = f"code=POD-BOND-{operator.code}"
    for key in NOT_KEYS:
        await judged(offline, "GET", f"bond?{good}&beneficiary={quote(key)}", 400, "beneficiary")
    await everywhere(offline, "bond", f"{good}&beneficiary={KEY}", 400, "beneficiary")
    mine = f"/v1/pay/bond?{good}&beneficiary={operator.wallet}"
    assert (await offline.call("GET", mine))[0] == 200


async def test_parameters_that_are_not_there_or_there_twice(offline: Market) -> None:
    operator = await offline.operator(bonded=False)
    user = await offline.user()
    good, bond = f"code={user.deposit_code.hex()}&amount=1", f"code=POD-BOND-{operator.code}"
    for path, query, field in (
        ("deposit", f"{good}&ammount=2", "ammount"),
        ("deposit", f"{good}&beneficiary={KEY}", "beneficiary"),
        ("deposit", f"{good}&amount=1", "amount"),
        ("deposit", f"{good}&amount=2", "amount"),
        ("deposit", f"{good}&code={'0' * 16}", "code"),
        ("deposit", f"{good}&{'x' * 3000}=1", "x" * 64),
        ("deposit", f"{good}&=1", ""),
        ("deposit", f"{good}&%00=1", "\x00"),
        ("bond", f"{bond}&reference={KEY}", "reference"),
        ("bond", f"{bond}&amount=1", "amount"),
        ("bond", f"{bond}&beneficiary={operator.wallet}&beneficiary={operator.wallet}",
         "beneficiary"),
        ("bond/retire", f"{bond}&beneficiary={operator.wallet}", "beneficiary"),
        ("bond/release", f"{bond}&code=POD-BOND-{operator.code}", "code"),
    ):  # fmt: skip
        await everywhere(offline, path, query, 400, field)


async def test_accounts(offline: Market) -> None:
    code = (await offline.user()).deposit_code.hex()
    path = f"deposit?code={code}&amount=1"
    for key in (*NOT_KEYS, str(PLACE.till_authority), str(PLACE.till_vault)):
        body = json.dumps({"account": key}).encode()
        await judged(offline, "POST", path, 400, "account", body)
    bodies: list[tuple[object, str | None]] = [
        (b"", None),
        (b"{", None),
        (b"\xff\xfe", None),
        (b"[" * 50_000, None),
        (b"[]", None),
        (b"null", None),
        (b'"' + KEY.encode() + b'"', None),
        (b"account=" + KEY.encode(), None),
        ({}, "account"),
        ({"Account": KEY}, "account"),
        ({"account": None}, "account"),
        ({"account": 7}, "account"),
        ({"account": [KEY]}, "account"),
        ({"account": {"key": KEY}}, "account"),
    ]
    for body, field in bodies:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        await judged(offline, "POST", path, 400, field, raw)
    await judged(offline, "POST", path, 413, None, b" " * 300_000)


async def test_without_a_node_links_are_made_and_payments_are_not(offline: Market) -> None:
    code = (await offline.user()).deposit_code.hex()
    path = f"deposit?code={code}&amount=1"
    told = await judged(
        offline, "POST", path, 503, None, json.dumps({"account": KEY, "more": [1]}).encode()
    )
    assert "no Solana RPC" in str(told["message"])
    assert (await offline.call("GET", f"/v1/pay/{path}"))[0] == 200


@pytest.mark.parametrize(
    ("public_url", "made"),
    [
        ("https://pod.test", True),
        ("http://localhost:8402", True),
        ("http://pod.localhost", True),
        ("http://127.0.0.1:8402", True),
        ("http://[::1]:8402", True),
        ("http://pod.test", False),
        ("http://localhost.pod.test", False),
        ("http://192.168.1.7:8402", False),
        ("ftp://localhost", False),
        ("pod.test", False),
    ],
)
async def test_links_are_https(
    database: Database, tmp_path: Path, public_url: str, made: bool
) -> None:
    settings = {**_SETTINGS, "POD_PUBLIC_URL": public_url}
    async with market_at(database.dsn, tmp_path, **settings) as market:
        code = (await market.user()).deposit_code.hex()
        path = f"/v1/pay/deposit/link?code={code}&amount=1"
        status, told = await market.call("GET", path)
        assert status == (200 if made else 503)
        if not made:
            await judged(market, "GET", path.removeprefix("/v1/pay/"), 503, None)
            drawn = f"deposit/qr.svg?code={code}&amount=1"
            told = await judged(market, "GET", drawn, 503, None)
            assert "https" in str(told["message"])


async def test_asking_is_limited_per_address(database: Database, tmp_path: Path) -> None:
    settings = {**_SETTINGS, "POD_COORDINATOR_PAYMENTS_PER_MINUTE": "3"}
    async with market_at(database.dsn, tmp_path, **settings) as market:
        code = (await market.user()).deposit_code.hex()
        path = f"/v1/pay/deposit?code={code}&amount=1"
        answers = [(await market.call("GET", path))[0] for _ in range(4)]
        assert answers == [200, 200, 200, 429]
        body = json.dumps({"account": KEY}).encode()
        await judged(market, "POST", path.removeprefix("/v1/pay/"), 429, None, body)
        async with market.http.get(f"{market.url}/v1/pay/icon.png") as icon:
            assert icon.status == 200


async def test_the_code_and_its_image(offline: Market) -> None:
    operator = await offline.operator(bonded=False)
    query = f"code=POD-BOND-{operator.code}"
    for path in ("bond", "bond/retire", "bond/cancel", "bond/release"):
        _, told = await offline.call("GET", f"/v1/pay/{path}/link?{query}")
        url = f"https://pod.test/v1/pay/{path}?{query}"
        assert told == {
            "link": "solana:" + quote(url, safe=""),
            "url": url,
            "qr": f"https://pod.test/v1/pay/{path}/qr.svg?{query}",
        }
        async with offline.http.get(f"{offline.url}/v1/pay/{path}/qr.svg?{query}") as response:
            assert response.content_type == "image/svg+xml"
            assert response.headers["content-security-policy"] == "default-src 'none'"
            image = await response.text()
        assert image.startswith("<svg ")
        assert "script" not in image
