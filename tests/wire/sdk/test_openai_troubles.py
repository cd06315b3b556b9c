"""What goes wrong reaches the OpenAI SDK as its own exceptions, and nobody pays for it."""

from typing import cast
from uuid import uuid4

import openai
import pytest
from openai import AsyncOpenAI

from localnet.backend_answers import Behaviour
from tests.wire.market import Market, User
from tests.wire.sdk.bills import Books, client_of
from tests.wire.waiting import eventually_true

FUNDS = 1_000_000


async def ask(
    client: AsyncOpenAI,
    model: str = "tiny-chat",
    prompt: str = "8 words",
    headers: dict[str, str] | None = None,
) -> str:
    answer = await client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": prompt}], extra_headers=headers
    )
    return answer.choices[0].message.content or ""


def told(error: openai.APIError) -> dict[str, object]:
    assert isinstance(error.body, dict)
    return cast(dict[str, object], error.body)


async def metric(market: Market, line: str) -> float:
    async with market.http.get(f"{market.url}/metrics") as response:
        found = [one for one in (await response.text()).splitlines() if one.startswith(line)]
    return float(found[0].split()[-1]) if found else 0.0


async def test_tokens_that_may_not_spend(market: Market) -> None:
    provider = await market.provider({"tiny-chat": Behaviour()})
    unfunded = await market.user()
    for token, message in (
        ("not-a-uuid", "unauthorized: invalid token format"),
        (str(uuid4()), "unauthorized: token not found or not activated"),
        (unfunded.token, "unauthorized: token not found or not activated"),
    ):
        user = User(token=token, deposit_code=b"", base_url=f"{market.url}/proxy/{token}/v1")
        with pytest.raises(openai.AuthenticationError) as refused:
            await ask(await client_of(market, user, max_retries=2))
        assert refused.value.status_code == 401
        assert told(refused.value)["type"] == "unauthorized"
        assert told(refused.value)["message"] == message
    assert provider.backend.started == 0


async def test_too_little_is_402_and_the_sdk_does_not_ask_again(market: Market) -> None:
    provider = await market.provider({"tiny-chat": Behaviour()}, output_per_1m=10**9)
    user = await market.user(funds_microusdc=999)
    with pytest.raises(openai.APIStatusError) as refused:
        await ask(await client_of(market, user, max_retries=2))
    assert refused.value.status_code == 402
    assert told(refused.value)["type"] == "insufficient_balance"
    assert await metric(market, 'pod_coordinator_requests_refused_total{code="') == 1.0
    assert provider.backend.started == 0
    assert await market.balance(user) == 999


async def test_a_small_balance_buys_what_it_buys_and_is_never_overdrawn(market: Market) -> None:
    provider = await market.provider({"tiny-chat": Behaviour()}, output_per_1m=1_000_000)
    user = await market.user(funds_microusdc=11)
    client = await client_of(market, user)
    answer = await client.chat.completions.create(
        model="tiny-chat", messages=[{"role": "user", "content": "400 words"}]
    )
    text = answer.choices[0].message.content or ""
    assert answer.choices[0].finish_reason == "length"
    assert len(text.split()) == 10  # 2 tokens in cost 0.8, ten out cost 10
    assert await market.balance(user) == 0
    assert await market.earned(provider.operator) + await market.treasury() == 11
    with pytest.raises(openai.APIStatusError) as refused:
        await ask(client)
    assert refused.value.status_code == 402


async def test_a_price_ceiling_too_low_is_402_with_prices_that_would_do(market: Market) -> None:
    provider = await market.provider({"tiny-chat": Behaviour()})
    user = await market.user(funds_microusdc=FUNDS)
    client = await client_of(market, user)
    for header in ("X-Pod-Max-Price-Input", "X-Pod-Max-Price-Output"):
        with pytest.raises(openai.APIStatusError) as refused:
            await ask(client, headers={header: "399999", "X-Pod-Routing-Mode": "marketplace-only"})
        assert refused.value.status_code == 402
        problem = told(refused.value)
        assert problem["type"] == "no_provider_at_price"
        assert problem["message"] == "No provider available at your price ceiling."
        assert problem["details"] == {
            "suggested_min_input_per_1m": 400_000,
            "suggested_min_output_per_1m": 600_000,
        }
    assert provider.backend.started == 0
    assert await ask(
        client, headers={"X-Pod-Max-Price-Input": "400000", "X-Pod-Max-Price-Output": "600000"}
    )


BAD_WISHES: list[dict[str, str]] = [
    {"X-Pod-Max-Price-Input": "-1"},
    {"X-Pod-Max-Price-Input": "1.5"},
    {"X-Pod-Max-Price-Output": "cheap"},
    {"X-Pod-Max-Price-Output": "9" * 30},
    {"X-Pod-Routing-Mode": "fastest"},
    {"X-Pod-Providers": "nobody"},
    {"X-Pod-Providers": "openai", "X-Pod-Routing-Mode": "marketplace-only"},
]


async def test_routing_headers_that_mean_nothing_are_400(market: Market) -> None:
    await market.provider({"tiny-chat": Behaviour()})
    user = await market.user(funds_microusdc=FUNDS)
    client = await client_of(market, user)
    for headers in BAD_WISHES:
        with pytest.raises(openai.BadRequestError) as refused:
            await ask(client, headers=headers)
        assert str(told(refused.value)["message"]).startswith("bad request: ")
    assert await market.balance(user) == FUNDS


async def test_a_pin_nobody_can_serve_names_it(market: Market) -> None:
    await market.provider({"tiny-chat": Behaviour()})
    user = await market.user(funds_microusdc=FUNDS)
    with pytest.raises(openai.InternalServerError, match="groq") as refused:
        await ask(await client_of(market, user), headers={"X-Pod-Providers": "groq"})
    assert refused.value.status_code == 503


BAD_BODIES: list[dict[str, object]] = [
    {"messages": []},
    {"messages": "hello"},
    {"messages": [{"content": "no role"}]},
    {"model": ""},
    {"model": 5},
    {"max_tokens": 0},
    {"max_tokens": -1},
    {"max_tokens": 1.5},
    {"max_tokens": 2**63},
    {"stream": "yes"},
    {"n": 0},
]


async def test_bodies_that_make_no_sense_are_400_and_free(market: Market) -> None:
    provider = await market.provider({"tiny-chat": Behaviour()})
    user = await market.user(funds_microusdc=FUNDS)
    client = await client_of(market, user)
    for change in BAD_BODIES:
        with pytest.raises(openai.BadRequestError) as refused:
            await client.chat.completions.create(
                model="tiny-chat",
                messages=[{"role": "user", "content": "8 words"}],
                extra_body=change,
            )
        assert str(told(refused.value)["message"]).startswith("bad request: ")
    assert provider.backend.started == 0
    assert (await market.balance(user), await market.held(user)) == (FUNDS, 0)


async def test_paths_and_models_that_are_not_there(market: Market) -> None:
    await market.provider({"tiny-chat": Behaviour()})
    user = await market.user(funds_microusdc=FUNDS)
    client = await client_of(market, user)
    with pytest.raises(openai.NotFoundError):
        await client.embeddings.create(model="tiny-chat", input="x")
    with pytest.raises(openai.InternalServerError) as refused:
        await ask(client, model="nobody-has-this")
    assert refused.value.status_code == 503
    assert told(refused.value)["type"] == "no_provider"
    assert told(refused.value)["message"] == "no healthy provider for model: nobody-has-this"
    assert await market.balance(user) == FUNDS


async def test_a_retry_finds_the_provider_that_came_meanwhile(market: Market) -> None:
    user = await market.user(funds_microusdc=FUNDS)
    client = await client_of(market, user, max_retries=3)
    pending = market.start(ask(client))

    async def refused_once() -> bool:
        return await metric(market, "pod_coordinator_requests_refused_total") >= 1

    await eventually_true(refused_once)
    await market.provider({"tiny-chat": Behaviour()})
    assert len((await pending).split()) == 8


async def test_a_backend_that_refuses_the_request_is_the_users_400(market: Market) -> None:
    provider = await market.provider({"tiny-chat": Behaviour(refuses_with_status=400)})
    user = await market.user(funds_microusdc=FUNDS)
    with pytest.raises(openai.BadRequestError):
        await ask(await client_of(market, user))
    books = Books(market=market, user=user, provider=provider, spendable=FUNDS)
    await books.check()


async def test_a_failing_provider_alone_is_503_and_free(market: Market) -> None:
    models = {
        "fails": Behaviour(refuses_with_status=500),
        "locked": Behaviour(refuses_with_status=401),
        "busy": Behaviour(refuses_with_status=429),
        "cut": Behaviour(cut_after_tokens=0, token_delay_seconds=0.01),
    }
    provider = await market.provider(models)
    user = await market.user(funds_microusdc=FUNDS)
    client = await client_of(market, user)
    books = Books(market=market, user=user, provider=provider, spendable=FUNDS)
    for model in models:
        with pytest.raises(openai.InternalServerError) as refused:
            await ask(client, model)
        assert refused.value.status_code == 503
        await books.check()


async def test_a_stream_that_breaks_raises_and_costs_nothing(market: Market) -> None:
    behaviour = Behaviour(cut_after_tokens=3, token_delay_seconds=0.02)
    provider = await market.provider({"tiny-chat": behaviour})
    user = await market.user(funds_microusdc=FUNDS)
    client = await client_of(market, user)
    stream = await client.chat.completions.create(
        model="tiny-chat", messages=[{"role": "user", "content": "8 words"}], stream=True
    )
    seen: list[str] = []

    async def read() -> None:
        async for chunk in stream:
            seen.extend(choice.delta.content or "" for choice in chunk.choices)

    with pytest.raises(openai.APIError) as broken:
        await read()
    assert 1 <= len("".join(seen).split()) <= 3
    assert broken.value.code == "provider_failed"
    books = Books(market=market, user=user, provider=provider, spendable=FUNDS)
    await books.check()
