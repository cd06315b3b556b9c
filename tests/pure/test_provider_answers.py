"""The backend's answers: a function of the prompt, as long as asked, each piece one token."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from localnet.backend_answers import (
    Behaviour,
    ChatRequest,
    Message,
    RequestRefused,
    answer_to,
    count_tokens,
)

GOOD = Behaviour()


def asking(text: str, **options: object) -> ChatRequest:
    body = {"model": "m", "messages": [{"role": "user", "content": text}], **options}
    return msgspec.convert(body, ChatRequest)


@settings(max_examples=50)
@given(st.text(max_size=60), st.integers(1, 300))
def test_every_piece_is_a_token_and_the_text_counts_as_many(text: str, limit: int) -> None:
    answer = answer_to(asking(text, max_tokens=limit), GOOD)
    assert answer == answer_to(asking(text, max_tokens=limit), GOOD)
    assert 1 <= answer.output_tokens == len(answer.pieces) <= limit
    assert count_tokens("".join(answer.pieces)) == answer.output_tokens


def test_a_longer_answer_starts_with_the_shorter() -> None:
    short = answer_to(asking("say 200 words", max_tokens=20), GOOD)
    long = answer_to(asking("say 200 words", max_tokens=90), GOOD)
    assert long.pieces[:20] == short.pieces


@pytest.mark.parametrize(
    ("options", "length", "finish"),
    [
        ({}, 40, "stop"),
        ({"max_tokens": 40}, 40, "stop"),
        ({"max_tokens": 39}, 39, "length"),
        ({"max_completion_tokens": 7}, 7, "length"),
        ({"max_completion_tokens": 7, "max_tokens": 30}, 7, "length"),
    ],
)
def test_as_long_as_asked(options: dict[str, int], length: int, finish: str) -> None:
    answer = answer_to(asking("give me 40 tokens", **options), GOOD)
    assert (answer.output_tokens, answer.finish_reason) == (length, finish)


def test_another_prompt_gets_another_answer() -> None:
    assert (
        answer_to(asking("40 words a"), GOOD).pieces != answer_to(asking("40 words b"), GOOD).pieces
    )


def test_the_prompt_is_counted_with_its_template() -> None:
    assert answer_to(asking("hello world"), GOOD).prompt_tokens == 3 + 3 + 1 + 2


def test_parts_that_are_text_count() -> None:
    parts: list[dict[str, object]] = [
        {"type": "text", "text": "hello"},
        {"type": "image_url", "image_url": {"url": "data:"}},
        {"type": "text", "text": " world"},
    ]
    assert Message(role="user", content=parts).text() == "hello world"
    assert Message(role="assistant").text() == ""


TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def test_tools_are_called_and_their_result_is_answered() -> None:
    call = answer_to(asking("Vienna", tools=[TOOL]), GOOD)
    assert call.finish_reason == "tool_calls"
    assert call.tool_call is not None
    assert call.tool_call["function"] == {"name": "weather", "arguments": '{"city": "Vienna"}'}
    after = asking("Vienna", tools=[TOOL])
    after.messages.append(Message(role="tool", content="sunny"))
    assert answer_to(after, GOOD).tool_call is None
    assert answer_to(asking("Vienna", tools=[TOOL], tool_choice="none"), GOOD).tool_call is None


@pytest.mark.parametrize(
    ("request_", "complaint"),
    [
        (ChatRequest(model="m", messages=[]), "empty"),
        (asking("x", max_tokens=0), "at least 1"),
        (asking("x", max_tokens=-5), "at least 1"),
        (asking("x", max_tokens=200_000), "maximum context length is 131072"),
    ],
)
def test_what_a_real_backend_refuses(request_: ChatRequest, complaint: str) -> None:
    with pytest.raises(RequestRefused, match=complaint) as refused:
        answer_to(request_, GOOD)
    assert refused.value.status == 400


def test_a_tool_nobody_offered_is_refused() -> None:
    choice = {"type": "function", "function": {"name": "sing"}}
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": "x"}],
        "tools": [TOOL],
        "tool_choice": choice,
    }
    with pytest.raises(RequestRefused, match="sing"):
        answer_to(msgspec.convert(body, ChatRequest), GOOD)
