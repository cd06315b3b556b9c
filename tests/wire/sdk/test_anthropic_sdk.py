"""The Anthropic SDK finds no /v1/messages yet, and is told so in a way it understands."""

import pytest
from anthropic import AsyncAnthropic, NotFoundError

from tests.wire.market import Market


async def test_messages_are_not_there_yet(market: Market) -> None:
    user = await market.user(funds_microusdc=1_000)
    base = f"{market.url}/proxy/{user.token}"
    async with AsyncAnthropic(base_url=base, api_key="any", max_retries=2) as client:
        with pytest.raises(NotFoundError) as refused:
            await client.messages.create(
                model="tiny-chat", max_tokens=5, messages=[{"role": "user", "content": "hi"}]
            )
    assert refused.value.status_code == 404
    assert "there is nothing at this path" in str(refused.value.body)
    assert await market.balance(user) == 1_000
