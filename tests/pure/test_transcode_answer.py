"""Chunks folded into a body, unstreamed bodies unfolded, and the endings we write ourselves."""

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from coordinator.meter import Reading
from coordinator.transcode import chunk as chunks
from coordinator.transcode.answer import Fold
from coordinator.transcode.chunk import ProviderAnswerError, ProviderAnswerInvalid
from coordinator.transcode.reading import Part, Reader

READING = Reading(input_tokens=9, output_tokens=3)


def fold() -> Fold:
    return Fold(fallback_id="fallback", fallback_model="asked", created=1)


def data(**told: object) -> bytes:
    return json.dumps({"id": "c-1", "created": 7, "model": "tiny"} | told).encode()


def choice(index: int = 0, finish: str | None = None, **delta: object) -> dict[str, object]:
    return {"index": index, "delta": delta, "finish_reason": finish}


def folded(*choices: dict[str, object], one: Fold | None = None) -> dict[str, Any]:
    into = one or fold()
    for each in choices:
        chunk = chunks.read(data(choices=[each]))
        into.identify(chunk)
        into.add(chunk)
    return json.loads(into.body(READING, gross_microusdc=12), parse_float=Decimal)


def test_texts_are_joined() -> None:
    told = folded(
        choice(role="assistant", content=""),
        choice(content="Hel"),
        choice(content="lo"),
        choice(finish="stop"),
    )
    assert told == {
        "id": "c-1",
        "object": "chat.completion",
        "created": 7,
        "model": "tiny",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 9,
            "completion_tokens": 3,
            "total_tokens": 12,
            "cost": Decimal("0.000012"),
        },
    }


def test_tool_calls_are_put_together_from_their_fragments() -> None:
    def fragment(index: int, **more: object) -> dict[str, object]:
        return {"index": index, **more}

    told = folded(
        choice(tool_calls=[fragment(0, id="a", type="function", function={"name": "add"})]),
        choice(tool_calls=[fragment(0, function={"arguments": '{"x":'})]),
        choice(tool_calls=[fragment(1, id="b", function={"name": "now", "arguments": "{}"})]),
        choice(tool_calls=[fragment(0, function={"arguments": "1}"})]),
        choice(finish="tool_calls"),
    )
    message = told["choices"][0]["message"]
    assert message["content"] is None
    assert message["tool_calls"] == [
        {"id": "a", "type": "function", "function": {"name": "add", "arguments": '{"x":1}'}},
        {"id": "b", "type": "function", "function": {"name": "now", "arguments": "{}"}},
    ]


def test_choices_reasoning_refusals_and_logprobs_are_kept() -> None:
    probed = choice(1, content="yes") | {"logprobs": {"content": [{"token": "yes"}]}}
    told = folded(
        choice(0, reasoning_content="hm"),
        choice(0, reasoning=" so"),
        choice(0, refusal="no", finish="stop"),
        probed,
        choice(1, finish="length"),
    )
    first, second = told["choices"]
    assert first["message"]["reasoning_content"] == "hm so"
    assert first["message"]["refusal"] == "no"
    assert second["logprobs"] == {"content": [{"token": "yes"}]}
    assert (first["finish_reason"], second["finish_reason"]) == ("stop", "length")


def test_an_answer_has_finished_when_every_choice_has() -> None:
    one = fold()
    one.identify(chunks.read(data(choices=[choice(0, "stop")])))
    assert one.has_finished(1)
    assert not one.has_finished(2)
    one.identify(chunks.read(data(choices=[choice(1, "length")])))
    assert one.has_finished(2)


def test_a_cut_answer_says_that_its_length_was_reached() -> None:
    one = fold()
    folded(choice(0, content="a"), choice(1, content="b", finish="stop"), one=one)
    one.cut()
    told = json.loads(one.body(READING, gross_microusdc=1))
    assert [each["finish_reason"] for each in told["choices"]] == ["length", "stop"]
    (ended,) = json.loads(one.cut_event(2)[6:])["choices"]
    assert ended == {"index": 0, "delta": {}, "finish_reason": "length"}


def test_an_answer_cut_before_its_first_word_is_empty_not_missing() -> None:
    one = fold()
    one.cut()
    told = json.loads(one.body(READING, gross_microusdc=1))
    assert told["id"] == "fallback"
    assert told["choices"][0]["finish_reason"] == "length"
    assert told["choices"][0]["message"]["content"] == ""


def test_our_own_chunks_carry_the_answers_identity() -> None:
    one = fold()
    one.identify(chunks.read(data(choices=[choice(content="a")])))
    for event in (
        one.usage_event(READING, gross_microusdc=5),
        one.cut_event(1),
        one.error_event({"message": "no"}),
    ):
        assert event.startswith(b"data: {")
        assert event.endswith(b"}\n\n")
        told = json.loads(event[6:])
        assert (told["id"], told["model"], told["created"]) == ("c-1", "tiny", 7)
        assert told["object"] == "chat.completion.chunk"
    broken = json.loads(one.error_event({"message": "no"})[6:])
    assert broken["error"] == {"message": "no"}
    assert broken["choices"][0]["finish_reason"] == "error"


def test_every_text_of_a_chunk_is_told_by_its_channel() -> None:
    calls = [{"index": 2, "function": {"name": "f", "arguments": "{}"}}]
    chunk = chunks.read(
        data(choices=[choice(1, content="a", reasoning="b", refusal="c", tool_calls=calls)])
    )
    assert list(chunks.pieces(chunk)) == [
        ((1, "content"), "a"),
        ((1, "reasoning"), "b"),
        ((1, "refusal"), "c"),
        ((1, "tool 2 name"), "f"),
        ((1, "tool 2 arguments"), "{}"),
    ]


def test_reasoning_told_twice_counts_once() -> None:
    chunk = chunks.read(data(choices=[choice(reasoning="b", reasoning_content="b")]))
    assert list(chunks.pieces(chunk)) == [((0, "reasoning"), "b")]


def test_the_extra_usage_chunk_is_recognised() -> None:
    assert chunks.is_usage_only(chunks.read(data(choices=[], usage={"prompt_tokens": 1})))
    assert not chunks.is_usage_only(chunks.read(data(choices=[], usage=None)))
    assert not chunks.is_usage_only(chunks.read(data(choices=[choice()], usage={})))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"nonsense",
        b"[]",
        b'{"choices": 7}',
        b'{"choices": [{"delta": {"content": 7}}]}',
        b'{"choices": [{"index": "0"}]}',
        b"\xff",
        b"[" * 100_000,
    ],
)
def test_what_is_no_chunk_is_a_providers_fault(raw: bytes) -> None:
    with pytest.raises(ProviderAnswerInvalid):
        chunks.read(raw)


def test_an_error_in_the_stream_is_a_providers_fault() -> None:
    with pytest.raises(ProviderAnswerError):
        chunks.read(b'{"error": {"message": "out of memory"}}')
    chunks.read(b'{"error": null, "choices": []}')


def test_events_are_passed_on_byte_for_byte_and_the_end_mark_is_left_out() -> None:
    first = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}],  "odd":1}\n\n'
    reader = Reader()
    parts = reader.feed(b"\xef\xbb\xbf" + first + b": hm\n\ndata: [DONE]\n\n")
    assert [part.raw for part in parts] == [first, b": hm\n\n"]
    assert [part.chunk is None for part in parts] == [False, True]
    assert reader.end() == []


def test_an_event_without_its_blank_line_still_counts_at_the_end() -> None:
    reader = Reader()
    assert reader.feed(b'data: {"choices":[{"finish_reason":"stop"}]}\n') == []
    (part,) = reader.end()
    assert part.raw.endswith(b"}\n\n")
    assert part.chunk is not None


def test_a_backend_that_does_not_stream_is_unfolded() -> None:
    message: dict[str, object] = {
        "role": "assistant",
        "content": "Hi",
        "tool_calls": [{"id": "a", "function": {}}],
    }
    whole = data(
        object="chat.completion",
        choices=[{"index": 0, "message": message, "finish_reason": "stop"}],
        usage={"prompt_tokens": 1},
    )
    reader = Reader()
    assert reader.feed(b"\n " + whole[:30]) == []
    assert reader.feed(whole[30:]) == []
    (part,) = reader.end()
    told = json.loads(part.raw[6:])
    assert told["object"] == "chat.completion.chunk"
    assert told["choices"][0]["delta"]["content"] == "Hi"
    assert told["choices"][0]["delta"]["tool_calls"][0]["index"] == 0
    assert told["choices"][0]["finish_reason"] == "stop"
    assert text(part) == "Hi"


@pytest.mark.parametrize("raw", [b"{", b'{"choices": [{"index": 0}]}', b'{"error": {"m": 1}}'])
def test_a_body_that_is_no_answer_is_a_providers_fault(raw: bytes) -> None:
    reader = Reader()
    reader.feed(raw)
    with pytest.raises((ProviderAnswerInvalid, ProviderAnswerError)):
        reader.end()


def test_a_body_of_nothing_is_no_answer_at_all() -> None:
    reader = Reader()
    assert reader.feed(b"\n\n") == []
    assert reader.end() == []


def text(part: Part) -> str:
    assert part.chunk is not None
    return "".join(told for (_, channel), told in chunks.pieces(part.chunk) if channel == "content")


def test_raw_numbers_are_not_turned_into_floats() -> None:
    event = fold().usage_event(READING, gross_microusdc=2**53 + 1)
    assert b'"cost":9007199254.740993' in event
    assert msgspec.json.decode(event[6:])
