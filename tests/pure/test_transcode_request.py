"""Request bodies: what is read, what is passed on, and everything that is refused."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.transcode.request import BodyInvalid, parse

GOOD: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}]}


def body(**changes: object) -> bytes:
    return json.dumps(GOOD | changes).encode()


def test_the_least_request() -> None:
    ask = parse(body())
    assert (ask.model, ask.stream, ask.wants_usage) == ("tiny", False, False)
    assert (ask.max_tokens, ask.choices, ask.texts) == (None, 1, ("hi",))


def test_null_is_as_good_as_absent() -> None:
    ask = parse(body(stream=None, max_tokens=None, n=None, tools=None, stream_options=None))
    assert (ask.stream, ask.max_tokens, ask.choices) == (False, None, 1)


def test_everything_that_goes_in_is_text_to_count() -> None:
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "be brief", "name": "boss"},
        {"role": "user", "content": [{"type": "text", "text": "look"}, {"type": "image_url"}]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "function": {}}]},
        {"role": "tool", "content": "42", "tool_call_id": "c"},
    ]
    ask = parse(body(messages=messages, tools=[{"type": "function"}]))
    assert ask.texts == (
        "boss",
        "be brief",
        "look",
        '{"id": "c", "function": {}}',
        "42",
        '{"type": "function"}',
    )


def test_the_agent_gets_its_own_model_a_stream_and_a_bound() -> None:
    ask = parse(body(model="vendor/Tiny", temperature=0.25, unknown={"kept": [1, 2]}))
    sent = json.loads(bytes(ask.for_provider(provider_model_id="Tiny-Q4", max_tokens=77)))
    assert sent == {
        "model": "Tiny-Q4",
        "messages": GOOD["messages"],
        "temperature": 0.25,
        "unknown": {"kept": [1, 2]},
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 77,
    }


@pytest.mark.parametrize(
    ("given_limits", "sent_limits", "limit"),
    [
        ({"max_tokens": 5}, {"max_tokens": 3}, 5),
        ({"max_completion_tokens": 5}, {"max_completion_tokens": 3}, 5),
        (
            {"max_tokens": 9, "max_completion_tokens": 5},
            {"max_tokens": 3, "max_completion_tokens": 3},
            5,
        ),
    ],
)
def test_the_bound_is_put_where_the_client_put_its_own(
    given_limits: dict[str, int], sent_limits: dict[str, int], limit: int
) -> None:
    ask = parse(body(**given_limits))
    assert ask.max_tokens == limit
    sent = json.loads(bytes(ask.for_provider(provider_model_id="m", max_tokens=3)))
    assert {key: value for key, value in sent.items() if key.startswith("max_")} == sent_limits


def test_usage_is_given_to_those_who_ask() -> None:
    assert parse(body(stream=True, stream_options={"include_usage": True})).wants_usage
    assert not parse(body(stream=True, stream_options={"include_usage": False})).wants_usage


BAD: list[tuple[bytes, str | None]] = [
    (b"", None),
    (b"{", None),
    (b"nonsense", None),
    (b"[]", None),
    (b"null", None),
    (b'"text"', None),
    (b'{"model": "m", "messages": [{"role": "user", "content": "\xff"}]}', None),
    (b'{"a": ' + b"[" * 100_000 + b"}", None),
    (b"{}", "model"),
    (body(model=7), "model"),
    (body(model=""), "model"),
    (body(model=None), "model"),
    (body(model="x" * 257), "model"),
    (json.dumps({"model": "m"}).encode(), "messages"),
    (body(messages=[]), "messages"),
    (body(messages="hi"), "messages"),
    (body(messages=[7]), "messages[0]"),
    (body(messages=[{"content": "hi"}]), "messages[0].role"),
    (body(messages=[{"role": "user", "content": 7}]), "messages[0].content"),
    (body(messages=[{"role": "user", "content": [{"text": "x"}]}]), "messages[0].content[0].type"),
    (body(messages=[{"role": 1, "content": "x"}]), "messages[0].role"),
    (body(stream="yes"), "stream"),
    (body(stream=1), "stream"),
    (body(stream_options=[]), "stream_options"),
    (body(stream_options={"include_usage": "no"}), "stream_options.include_usage"),
    (body(max_tokens=0), "max_tokens"),
    (body(max_tokens=-1), "max_tokens"),
    (body(max_tokens=1.5), "max_tokens"),
    (body(max_tokens="5"), "max_tokens"),
    (body(max_tokens=True), "max_tokens"),
    (body(max_tokens=2**63), "max_tokens"),
    (body(max_completion_tokens=0), "max_completion_tokens"),
    (body(n=0), "n"),
    (body(n=17), "n"),
    (body(tools={}), "tools"),
]


@pytest.mark.parametrize(("raw", "field"), BAD, ids=lambda value: str(value)[:40])
def test_what_is_wrong_is_refused_and_named(raw: bytes, field: str | None) -> None:
    with pytest.raises(BodyInvalid) as raised:
        parse(raw)
    assert raised.value.details.get("field") == field
    if field is not None:
        assert raised.value.message.startswith(field)


@given(st.binary(max_size=200))
def test_no_bytes_at_all_break_the_reader(raw: bytes) -> None:
    with pytest.raises(BodyInvalid):
        parse(raw)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from([*GOOD, "n", "stream", "max_tokens", "x"]), _json))
def test_any_json_is_either_read_or_refused(drawn: dict[str, object]) -> None:
    try:
        ask = parse(body(**drawn))
    except BodyInvalid:
        return
    json.loads(bytes(ask.for_provider(provider_model_id="m", max_tokens=1)))
