"""The unmodified OpenAI Python SDK gets its answers, and the books are exact after each of them."""

import asyncio
from collections.abc import Sequence

from openai import AsyncOpenAI, OpenAI, omit
from openai.types.chat import ChatCompletionChunk, ChatCompletionToolParam

from localnet.backend_answers import Behaviour
from tests.wire.market import Market, User
from tests.wire.sdk.bills import Books, check_usage, client_of, gross_of

FUNDS = 5_000_000
WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


async def books_of(market: Market, model: str = "tiny-chat") -> tuple[Books, AsyncOpenAI, User]:
    provider = await market.provider({model: Behaviour()})
    user = await market.user(funds_microusdc=FUNDS)
    books = Books(market=market, user=user, provider=provider, spendable=FUNDS)
    return books, await client_of(market, user), user


async def streamed(
    client: AsyncOpenAI,
    prompt: str,
    *,
    tools: Sequence[ChatCompletionToolParam] = (),
    include_usage: bool | None = None,
) -> list[ChatCompletionChunk]:
    stream = await client.chat.completions.create(
        model="tiny-chat",
        messages=[{"role": "user", "content": prompt}],
        stream=True,
        tools=tools or omit,
        stream_options=omit if include_usage is None else {"include_usage": include_usage},
    )
    return [chunk async for chunk in stream]


def text_of(chunks: list[ChatCompletionChunk]) -> str:
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


async def test_a_whole_answer(market: Market) -> None:
    books, client, _ = await books_of(market)
    prompt = "Tell me something in 40 words, please."
    answer = await client.chat.completions.create(
        model="tiny-chat", messages=[{"role": "user", "content": prompt}]
    )
    text = answer.choices[0].message.content or ""
    assert len(text.split()) == 40
    assert answer.object == "chat.completion"
    assert answer.model == "tiny-chat"
    assert answer.choices[0].finish_reason == "stop"
    check_usage(answer.usage, prompt, text)
    books.charge(gross_of(prompt, text))
    await books.check()


async def test_a_streamed_answer_is_the_same_answer_at_the_same_price(market: Market) -> None:
    books, client, _ = await books_of(market)
    prompt = "Tell me something in 40 words, please."
    chunks = await streamed(client, prompt)
    text = text_of(chunks)
    assert len(text.split()) == 40
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk.id for chunk in chunks}) == 1
    reasons = [choice.finish_reason for chunk in chunks for choice in chunk.choices]
    assert reasons.pop() == "stop"
    assert set(reasons) == {None}
    assert all(chunk.usage is None for chunk in chunks), "usage comes only to those who ask"
    assert all(chunk.choices for chunk in chunks)
    books.charge(gross_of(prompt, text))
    await books.check()
    whole = await client.chat.completions.create(
        model="tiny-chat", messages=[{"role": "user", "content": prompt}]
    )
    assert whole.choices[0].message.content == text
    books.charge(gross_of(prompt, text))
    await books.check()


async def test_usage_for_those_who_ask(market: Market) -> None:
    books, client, _ = await books_of(market)
    prompt = "7 words"
    *chunks, last = await streamed(client, prompt, include_usage=True)
    assert last.choices == []
    check_usage(last.usage, prompt, text_of(chunks))
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)
    books.charge(gross_of(prompt, text_of(chunks)))
    chunks = await streamed(client, prompt, include_usage=False)
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)
    books.charge(gross_of(prompt, text_of(chunks)))
    await books.check()


async def test_limits_end_an_answer_with_length(market: Market) -> None:
    books, client, _ = await books_of(market)
    for limit in ("max_tokens", "max_completion_tokens"):
        answer = await client.chat.completions.create(
            model="tiny-chat",
            messages=[{"role": "user", "content": "40 words"}],
            extra_body={limit: 5},
        )
        text = answer.choices[0].message.content or ""
        assert (len(text.split()), answer.choices[0].finish_reason) == (5, "length")
        books.charge(gross_of("40 words", text))
        await books.check()


async def test_ten_answers_streamed_and_not_at_once(market: Market) -> None:
    books, client, _ = await books_of(market)

    async def one(number: int) -> int:
        prompt = f"story {number} of {10 + number} words"
        if number % 2:
            return gross_of(prompt, text_of(await streamed(client, prompt)))
        answer = await client.chat.completions.create(
            model="tiny-chat", messages=[{"role": "user", "content": prompt}]
        )
        return gross_of(prompt, answer.choices[0].message.content or "")

    for four in ((0, 1, 2, 3), (4, 5, 6, 7), (8, 9)):  # as many as the provider takes at once
        for gross in await asyncio.gather(*(one(number) for number in four)):
            books.charge(gross)
        await books.check()


async def test_a_tool_call_and_its_result_pass_through(market: Market) -> None:
    _, client, _ = await books_of(market)
    answer = await client.chat.completions.create(
        model="tiny-chat", messages=[{"role": "user", "content": "Vienna"}], tools=[WEATHER]
    )
    assert answer.choices[0].finish_reason == "tool_calls"
    message = answer.choices[0].message
    assert message.tool_calls
    call = message.tool_calls[0]
    assert call.type == "function"
    assert (call.function.name, call.function.arguments) == ("weather", '{"city": "Vienna"}')
    after = await client.chat.completions.create(
        model="tiny-chat",
        messages=[
            {"role": "user", "content": "Vienna"},
            {
                "role": "assistant",
                "tool_calls": [
                    {
                        "id": call.id,
                        "type": "function",
                        "function": {"name": "weather", "arguments": call.function.arguments},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": call.id, "content": "sunny, 12 words"},
        ],
        tools=[WEATHER],
    )
    assert len((after.choices[0].message.content or "").split()) == 12


async def test_a_streamed_tool_call_comes_in_fragments(market: Market) -> None:
    _, client, _ = await books_of(market)
    chunks = await streamed(client, "Vienna", tools=[WEATHER])
    calls = [
        call
        for chunk in chunks
        for choice in chunk.choices
        for call in choice.delta.tool_calls or ()
    ]
    assert calls[0].id
    assert {call.index for call in calls} == {0}
    named = [call.function.name for call in calls if call.function and call.function.name]
    assert named == ["weather"]
    arguments = "".join(call.function.arguments or "" for call in calls if call.function)
    assert arguments == '{"city": "Vienna"}'
    assert len(calls) > 2
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


async def test_models_are_listed_and_a_vendors_prefix_does_not_matter(market: Market) -> None:
    books, client, _ = await books_of(market, "vendor/Tiny-Chat")
    listed = [model.id async for model in client.models.list()]
    assert listed == ["Tiny-Chat"]
    for spelling in ("vendor/Tiny-Chat", "Tiny-Chat", "tiny-chat", "another/tiny-chat"):
        answer = await client.chat.completions.create(
            model=spelling, messages=[{"role": "user", "content": "3 words"}]
        )
        text = answer.choices[0].message.content or ""
        books.charge(gross_of("3 words", text))
        assert books.provider.backend.requests[-1]["model"] == "vendor/Tiny-Chat"
    await books.check()


async def test_the_blocking_client_works_too(market: Market) -> None:
    _, _, user = await books_of(market)

    def ask() -> str:
        with OpenAI(base_url=user.base_url, api_key="any") as client:
            stream = client.chat.completions.create(
                model="tiny-chat", messages=[{"role": "user", "content": "9 words"}], stream=True
            )
            return "".join(chunk.choices[0].delta.content or "" for chunk in stream)

    assert len((await asyncio.to_thread(ask)).split()) == 9


async def test_the_headers_the_sdk_shows(market: Market) -> None:
    books, client, user = await books_of(market)
    raw = await client.chat.completions.with_raw_response.create(
        model="tiny-chat", messages=[{"role": "user", "content": "5 words"}]
    )
    answer = raw.parse()
    books.charge(gross_of("5 words", answer.choices[0].message.content or ""))
    assert raw.headers["x-pod-route"] == "marketplace"
    assert raw.headers["x-pod-provider-id"] == str(books.provider.operator.provider_id)
    assert raw.headers["x-balance-remaining"] == str(books.spendable)
    assert raw.request_id
    assert await market.balance(user) == books.spendable


async def test_a_provider_that_lies_about_its_tokens_earns_nothing_by_it(market: Market) -> None:
    provider = await market.provider({"tiny-chat": Behaviour(claimed_output_tokens=1_000_000)})
    user = await market.user(funds_microusdc=FUNDS)
    books = Books(market=market, user=user, provider=provider, spendable=FUNDS)
    chunks = await streamed(await client_of(market, user), "6 words", include_usage=True)
    check_usage(chunks[-1].usage, "6 words", text_of(chunks))
    books.charge(gross_of("6 words", text_of(chunks)))
    await books.check()


async def test_a_backend_without_usage_or_done_or_streaming_is_served_as_well(
    market: Market,
) -> None:
    models = {
        "no-usage": Behaviour(reports_usage=False),
        "no-done": Behaviour(ends_with_done=False),
        "no-stream": Behaviour(ignores_stream=True),
    }
    provider = await market.provider(models)
    user = await market.user(funds_microusdc=FUNDS)
    books = Books(market=market, user=user, provider=provider, spendable=FUNDS)
    client = await client_of(market, user)
    for model in models:
        whole = await client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "6 words"}]
        )
        check_usage(whole.usage, "6 words", whole.choices[0].message.content or "")
        stream = await client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "6 words"}], stream=True
        )
        text = text_of([chunk async for chunk in stream])
        assert text == whole.choices[0].message.content
        books.charge(gross_of("6 words", text))
        books.charge(gross_of("6 words", text))
        await books.check()
