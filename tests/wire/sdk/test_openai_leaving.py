"""A user who hangs up: the provider is told to stop, and what was delivered is paid, no more."""

import asyncio

from localnet.backend_answers import Behaviour
from tests.wire.market import Market
from tests.wire.sdk.bills import Books, client_of, gross_of
from tests.wire.waiting import eventually

FUNDS = 1_000_000
PROMPT = "500 words"


async def test_leaving_in_mid_stream_pays_for_what_came(market: Market) -> None:
    gate = asyncio.Event()
    behaviour = Behaviour(gate=gate, gate_after_tokens=3)
    provider = await market.provider({"tiny-chat": behaviour})
    user = await market.user(funds_microusdc=FUNDS)
    books = Books(market=market, user=user, provider=provider, spendable=FUNDS)
    client = await client_of(market, user)
    stream = await client.chat.completions.create(
        model="tiny-chat", messages=[{"role": "user", "content": PROMPT}], stream=True
    )
    text = ""
    async for chunk in stream:
        text += chunk.choices[0].delta.content or ""
        if len(text.split()) == 3:
            break
    assert await market.held(user) > 0
    await stream.close()
    await eventually(lambda: provider.backend.aborted == 1)
    await market.until_settled(user)
    books.charge(gross_of(PROMPT, text))
    await books.check()
    cancels = [text for sender, text in provider.frames if sender == "server" and "cancel" in text]
    assert len(cancels) == 1
    gate.set()
    answer = await client.chat.completions.create(
        model="tiny-chat", messages=[{"role": "user", "content": "4 words"}]
    )
    books.charge(gross_of("4 words", answer.choices[0].message.content or ""))
    await books.check()


async def test_leaving_before_anything_came_costs_nothing(market: Market) -> None:
    behaviour = Behaviour(gate=asyncio.Event(), gate_after_tokens=-1)
    provider = await market.provider({"tiny-chat": behaviour})
    user = await market.user(funds_microusdc=FUNDS)
    books = Books(market=market, user=user, provider=provider, spendable=FUNDS)
    client = await client_of(market, user)
    for stream in (True, False):
        pending = asyncio.create_task(
            client.chat.completions.create(
                model="tiny-chat", messages=[{"role": "user", "content": PROMPT}], stream=stream
            )
        )
        await eventually(lambda: provider.backend.running == 1)
        pending.cancel()
        await asyncio.gather(pending, return_exceptions=True)
        await eventually(lambda: provider.backend.running == 0)
        await market.until_settled(user)
        await books.check()


async def test_leaving_an_unstreamed_answer_costs_nothing(market: Market) -> None:
    behaviour = Behaviour(gate=asyncio.Event(), gate_after_tokens=3)
    provider = await market.provider({"tiny-chat": behaviour})
    user = await market.user(funds_microusdc=FUNDS)
    books = Books(market=market, user=user, provider=provider, spendable=FUNDS)
    client = await client_of(market, user)
    pending = asyncio.create_task(
        client.chat.completions.create(
            model="tiny-chat", messages=[{"role": "user", "content": PROMPT}]
        )
    )
    await eventually(lambda: any("job_chunk" in text for _, text in provider.frames))
    pending.cancel()
    await asyncio.gather(pending, return_exceptions=True)
    await eventually(lambda: provider.backend.aborted == 1)
    await market.until_settled(user)
    await books.check()
