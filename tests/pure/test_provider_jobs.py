"""What an agent makes of a job frame, of a stream's usage, and of a lost connection."""

import json
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localnet.provider_agent import Backoff
from localnet.provider_jobs import Job, JobMalformed, UsageReader

FRAME: dict[str, object] = {
    "type": "job",
    "job_id": "6A1F0C1E-7A0E-4B52-8A44-000000000001",
    "model_id": "tiny-chat",
    "request": {"messages": [], "stream": False},
    "deadline_ms": 300_000,
}


def test_a_job_is_read_and_posted_streaming_with_usage() -> None:
    job = Job.parse(FRAME)
    assert job.job_id == UUID("6a1f0c1e-7a0e-4b52-8a44-000000000001")
    assert job.deadline_ms == 300_000
    assert json.loads(job.body()) == {
        "messages": [],
        "stream": True,
        "stream_options": {"include_usage": True},
        "model": "tiny-chat",
    }


def test_what_the_server_chose_is_left_alone() -> None:
    request: dict[str, object] = {"model": "other", "stream_options": {}, "stream": True}
    assert json.loads(Job.parse({**FRAME, "request": request}).body()) == request


def test_a_request_that_is_no_object_is_forwarded_as_it_is() -> None:
    assert Job.parse({**FRAME, "request": [1]}).body() == b"[1]"


@pytest.mark.parametrize(
    ("given", "taken"),
    [(None, 60_000), ("5", 60_000), (True, 60_000), (-1, 60_000), (0, 1), (2**32 + 7, 7)],
)
def test_the_deadline_has_a_default_and_32_bits(given: object, taken: int) -> None:
    assert Job.parse({**FRAME, "deadline_ms": given}).deadline_ms == taken


@pytest.mark.parametrize(
    "change",
    [{"job_id": None}, {"job_id": "x"}, {"job_id": 5}, {"model_id": None}, {"model_id": 1}],
)
def test_a_malformed_job_is_not_answered(change: dict[str, object]) -> None:
    with pytest.raises(JobMalformed):
        Job.parse({**FRAME, **change})


def test_a_job_without_a_request_is_not_answered() -> None:
    with pytest.raises(JobMalformed):
        Job.parse({key: value for key, value in FRAME.items() if key != "request"})


STREAM = (
    b'data: {"choices":[{"delta":{"content":"h\xc3\xa4"}}],"usage":null}\r\n\r\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n'
    b'data:{"choices":[],"usage":{"input_tokens":17,"output_tokens":23}}\n\n'
    b"data: [DONE]\n\n"
)


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_usage_is_found_wherever_the_stream_is_cut(cuts: list[int]) -> None:
    reader = UsageReader()
    bounds = [0, *sorted(cuts), len(STREAM)]
    for start, end in pairwise(bounds):
        reader.push(STREAM[start:end])
    reader.finish()
    assert (reader.input_tokens, reader.output_tokens) == (17, 23)


@pytest.mark.parametrize(
    "line",
    [
        b'{"usage":{"input_tokens":9}}',
        b'event: {"usage":{"input_tokens":9}}',
        b'data: {"usage":{"input_tokens":9}',
        b'data: {"usage":[9]}',
        b'data: {"usage":{"input_tokens":"9"}}',
        b'data: {"usage":{"input_tokens":-9}}',
        b'data: {"usage":{"input_tokens":4294967296}}',
        b'data: {"usage":{"input_tokens":true}}',
    ],
)
def test_what_is_no_usage_counts_for_nothing(line: bytes) -> None:
    reader = UsageReader()
    reader.push(line + b"\n")
    reader.finish()
    assert (reader.input_tokens, reader.output_tokens) == (0, 0)


def test_usage_on_an_unfinished_last_line_counts() -> None:
    reader = UsageReader()
    reader.push(b'data: {"usage":{"input":3,"output":4}}')
    reader.finish()
    assert (reader.input_tokens, reader.output_tokens) == (3, 4)


def test_failures_wait_longer_and_longer() -> None:
    backoff = Backoff(jitter=lambda: 1.0)
    assert [backoff.wait_seconds() for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]


def test_a_planned_cycle_waits_a_second_and_a_failure_after_it_two() -> None:
    backoff = Backoff(jitter=lambda: 1.0)
    for _ in range(5):
        backoff.wait_seconds()
    backoff.was_connected()
    assert [backoff.wait_seconds() for _ in range(3)] == [1, 2, 4]


def test_the_jitter_is_a_fifth_either_way() -> None:
    waits = [Backoff().wait_seconds() for _ in range(200)]
    assert all(0.8 <= wait <= 1.2 for wait in waits)
    assert max(waits) - min(waits) > 0.1
